"""Panoptic exports: PNGs and JSON are as panopticapi checks them, and score 1.0 against themselves."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

from detseg.errors import FormatError
from detseg.formats import ImageLabels
from detseg.formats.coco_panoptic_dataset import COCO_PANOPTIC
from detseg.formats.dataset import Contents
from detseg.geometry.masks import mask_to_bitmap
from detseg.metrics.panoptic import score_panoptic_files
from tests.formats.made import CLASSES, datasets


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(images=datasets())
def test_segments_are_the_visible_pixels(
    images: list[ImageLabels], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("panoptic")
    written = COCO_PANOPTIC.write(Contents(CLASSES, lambda: iter(images), lambda _: b""), folder)
    splits = sorted({image.split for image in images})
    names = [f"panoptic_{split}" if split else "panoptic" for split in splits]
    assert {path.name for path in written} == {*names, *(f"{name}.json" for name in names)}
    for split, name in zip(splits, names, strict=True):
        path = folder / "annotations" / f"{name}.json"
        content = json.loads(path.read_text())
        assert [(one["id"], one["name"], one["isthing"]) for one in content["categories"]] == [
            (number, cls.name, cls.kind == "thing") for number, cls in enumerate(CLASSES, 1)
        ]
        mine = [image for image in images if image.split == split]
        for entry, listed, image in zip(content["annotations"], content["images"], mine, strict=True):
            assert entry["image_id"] == listed["id"]
            assert listed["file_name"] == image.name
            assert Path(entry["file_name"]).stem == Path(image.name).stem
            check(path.with_suffix("") / entry["file_name"], entry["segments_info"], image)
        if any(one.mask for image in mine for one in image.instances):
            quality = score_panoptic_files(path, path)
            assert quality.all.pq == 1.0


def check(png: Path, segments: list[dict[str, object]], image: ImageLabels) -> None:
    """Each id of the PNG is a segment and each segment is in it, as panopticapi asks for."""
    with Image.open(png) as file:
        red, green, blue = np.moveaxis(np.asarray(file).astype(int), -1, 0)
    ids = red + 256 * green + 65536 * blue
    by_id = {segment["id"]: segment for segment in segments}
    assert set(np.unique(ids).tolist()) - {0} == by_id.keys()
    free = np.ones(ids.shape, dtype=bool)
    lost: Counter[str] = Counter()
    shaped = [one for one in image.instances if one.mask is not None]
    lost["regions without a mask left out"] += len(image.instances) - len(shaped)
    for number, one in enumerate(shaped, 1):
        assert one.mask is not None
        bitmap = mask_to_bitmap(one.mask)
        visible = bitmap & free
        assert ((ids == number) == visible).all()
        y, x = np.nonzero(bitmap)
        box = (x.min(), y.min(), x.max() + 1, y.max() + 1)
        lost["boxes beside masks left out"] += one.box is not None and one.box.xyxy != box
        if not visible.any():
            lost["regions hidden by others left out"] += 1
        else:
            lost["masks cut where others cover them"] += bool((bitmap & ~free).any())
            segment = by_id[number]
            assert CLASSES[int(str(segment["category_id"])) - 1].name == one.label
            assert segment["area"] == visible.sum()
            y, x = np.nonzero(visible)
            assert segment["bbox"] == [x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()]
        free &= ~bitmap
    assert COCO_PANOPTIC.losses is not None
    assert COCO_PANOPTIC.losses(image) == dict(+lost)


def panoptic_file(folder: Path, **changes: object) -> Path:
    """One image of 4x2 whose left half is segment 1 and right half, a crowd, is segment 2."""
    segments = [
        {"id": 1, "category_id": 7},
        {"id": 2, "category_id": 7, "iscrowd": 1},
        {"id": 3, "category_id": 7},
    ]
    content: dict[str, object] = {
        "images": [{"id": "a", "file_name": "a.jpg"}, {"id": "b", "file_name": "b.jpg"}],
        "annotations": [{"image_id": "a", "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": 7, "name": "sky", "isthing": 0}],
    }
    path = folder / "panoptic_val.json"
    path.write_text(json.dumps(content | changes))
    path.with_suffix("").mkdir(exist_ok=True)
    ids = np.zeros((2, 4, 3), dtype=np.uint8)
    ids[:, :2, 0], ids[:, 2:, 0] = 1, 2
    Image.fromarray(ids).save(path.with_suffix("") / "a.png")
    return path


def test_files_of_others_are_read(tmp_path: Path) -> None:
    read = COCO_PANOPTIC.read
    assert read is not None
    opened = read(panoptic_file(tmp_path))
    (image,) = opened.images()
    assert [(cls.name, cls.kind) for cls in opened.classes] == [("sky", "stuff")]
    assert (image.name, image.split, str(image.size)) == ("a.jpg", "val", "4x2")
    (sky,) = image.instances
    assert sky.mask is not None
    assert sky.mask.counts == (0, 4, 4)
    assert opened.left_out == {"crowds": 1, "regions without area": 1, "images without an annotation": 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": [{"id": "a"}]}, "images 0: expected a file_name"),
        ({"images": [{"id": "a", "file_name": "a.jpg", "width": 9}]}, r"a\.png is 4x2, its image 9x"),
        ({"categories": [{"id": 7, "name": "sky"}]}, "categories 0: expected id, name and isthing"),
        (
            {"annotations": [{"image_id": "a", "file_name": "b.png", "segments_info": []}]},
            r"b\.png cannot be read",
        ),
        ({"annotations": [{"image_id": "a"}]}, "annotations 0: expected image_id, file_name"),
    ],
)
def test_files_that_are_wrong_are_named(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    read = COCO_PANOPTIC.read
    assert read is not None
    with pytest.raises(FormatError, match=said):
        list(read(panoptic_file(tmp_path, **changes)).images())
