"""COCO files that pycocotools reads: every box, mask and class as it was, and empty images."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pycocotools import coco as pycocotools_coco

from detseg.formats import ImageLabels
from detseg.formats.coco_dataset import COCO
from detseg.formats.dataset import Contents
from detseg.geometry.masks import mask_to_bitmap
from tests.formats.made import CLASSES, datasets

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")


def read_coco(path: Path) -> pycocotools_coco.COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return pycocotools_coco.COCO(str(path))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(images=datasets())
def test_pycocotools_reads_what_was_written(
    images: list[ImageLabels], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("coco")
    paths = COCO.write(Contents(CLASSES, lambda: iter(images), lambda _: b""), folder)
    assert {path.name for path in folder.iterdir()} == {"annotations"}
    by_split: dict[str, list[ImageLabels]] = {}
    for image in images:
        by_split.setdefault(image.split, []).append(image)
    names = {"instances.json" if not split else f"instances_{split}.json": split for split in by_split}
    assert sorted(path.name for path in paths) == sorted(names)
    for path in paths:
        check(read_coco(path), by_split[names[path.name]])


def check(read: pycocotools_coco.COCO, images: list[ImageLabels]) -> None:
    """What pycocotools found is what the images have, in their order."""
    assert [one["file_name"] for one in read.dataset["images"]] == [image.name for image in images]
    names = {one["id"]: one["name"] for one in read.dataset["categories"]}
    assert list(names.values()) == [cls.name for cls in CLASSES]
    for entry, image in zip(read.dataset["images"], images, strict=True):
        size = image.size
        assert (entry["width"], entry["height"]) == (size.width, size.height)
        found = read.loadAnns(read.getAnnIds(imgIds=[entry["id"]]))
        for annotation, instance in zip(found, image.instances, strict=True):
            assert names[annotation["category_id"]] == instance.label
            assert annotation["iscrowd"] == 0
            if instance.box is not None:
                x, y, width, height = annotation["bbox"]
                np.testing.assert_allclose((x, y, x + width, y + height), instance.box.xyxy)
            if instance.mask is None:
                assert "segmentation" not in annotation
            else:
                bitmap = mask_to_bitmap(instance.mask)
                assert (read.annToMask(annotation) == bitmap).all()
                assert annotation["area"] == bitmap.sum()
