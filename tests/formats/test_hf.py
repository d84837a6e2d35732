"""Hugging Face forms that ``datasets`` loads: images, boxes, masks and classes as they were."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from pycocotools import mask as coco_mask

from detseg.errors import DatasetError
from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Format
from detseg.formats.hf import HF, HF_IMAGEFOLDER, write_parquet
from detseg.geometry.extent import extent
from detseg.geometry.masks import mask_to_bitmap
from detseg.types import Box, Instance, Size
from tests.formats.made import CLASSES, make_mask

SIZE = Size(23, 17)
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
NAMES = [cls.name for cls in CLASSES]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``datasets.load_dataset`` without a network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    datasets.disable_progress_bars()
    return lambda folder: datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))


def made() -> list[ImageLabels]:
    """Images of three splits; the last of each is empty."""
    images = []
    for split in ("", "val", "test"):
        for number in range(3):
            box = Box(number + 0.25, 1, 20, 16.5)
            masked = Instance("bolt", "thing", None, make_mask(SIZE, number))
            both = Instance(NAMES[1], "thing", box, make_mask(SIZE, number + 1))
            surface = Instance("belt", "stuff", mask=make_mask(SIZE, number + 2))
            found = (Instance("bolt", "thing", box), masked, both, surface) if number < 2 else ()
            images.append(
                ImageLabels(f"größe {split}{number}.png", SIZE, found, split, f"/there/{number}.png")
            )
    return images


def picture(image: ImageLabels) -> bytes:
    rng = np.random.default_rng(len(image.name) + ord(image.name[-5]))
    written = io.BytesIO()
    pixels = rng.integers(0, 256, (image.size.height, image.size.width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def write(format_: Format, images: list[ImageLabels], folder: Path, **more: bool) -> tuple[Path, ...]:
    if format_.image_path is not None:
        for image in images:
            path = folder / format_.image_path(image)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(image))
    return format_.write(Contents(CLASSES, lambda: iter(images), picture, **more), folder)


def masks_of(objects: dict[str, Any]) -> Iterator[Any]:
    for entry in objects["segmentation"]:
        yield coco_mask.decode(entry).astype(bool) if entry and entry["counts"] else None


def check_shapes(objects: dict[str, Any], image: ImageLabels) -> None:
    found = zip(objects["bbox"], objects["area"], masks_of(objects), strict=True)
    for one, (bbox, area, mask) in zip(image.instances, found, strict=True):
        x, y, width, height = bbox
        np.testing.assert_allclose((x, y, x + width, y + height), extent(one).xyxy)
        assert area == pytest.approx(extent(one).area if one.mask is None else one.mask.area)
        assert (mask is None) == (one.mask is None)
        assert one.mask is None or (mask == mask_to_bitmap(one.mask)).all()


@pytest.mark.parametrize("format_", [HF, HF_IMAGEFOLDER])
def test_datasets_loads_what_was_written(format_: Format, tmp_path: Path, load: Any) -> None:
    images = made()
    folder = tmp_path / "out"
    folder.mkdir()
    write(format_, images, folder)
    read = load(folder)
    assert set(read) == {"train", "validation", "test"}
    seen: list[int] = []
    sides = {"": "train", "val": "validation", "test": "test"}
    for side, rows in read.items():
        wanted = [image for image in images if sides[image.split] == side]
        by_name = {np.asarray(Image.open(io.BytesIO(picture(image)))).tobytes(): image for image in wanted}
        assert len(rows) == len(by_name) == len(wanted)
        for row in rows:
            image = by_name[np.asarray(row["image"].convert("RGB")).tobytes()]
            assert (row["width"], row["height"]) == (image.size.width, image.size.height)
            objects = row["objects"]
            seen += objects["id"]
            categories = objects["category"]
            if format_ is HF:
                assert row["file_name"] == image.name
                assert rows.features["objects"]["category"].feature.names == NAMES
                categories = [NAMES[number] for number in categories]
            assert categories == [one.label for one in image.instances]
            assert objects["kind"] == [one.kind for one in image.instances]
            check_shapes(objects, image)
    assert sorted(seen) == list(range(1, len(seen) + 1))


def test_shards_are_numbered_and_no_group_is_large(tmp_path: Path, load: Any) -> None:
    images = [replace(image, name=f"{number}.png", split="train") for number, image in enumerate(made() * 2)]
    n_bytes = sum(len(picture(image)) for image in images)
    folder = tmp_path / "out"
    folder.mkdir()
    contents = Contents(CLASSES, lambda: iter(images), picture)
    paths = write_parquet(contents, folder, shard_bytes=n_bytes // 3, group_bytes=n_bytes // 9)
    assert len(paths) > 2
    names = [f"train-{number:05}-of-{len(paths):05}.parquet" for number in range(len(paths))]
    assert [path.name for path in paths] == names == sorted(path.name for path in (folder / "data").iterdir())
    assert all(parquet.ParquetFile(path).num_row_groups > 1 for path in paths)
    assert load(folder)["train"]["file_name"] == [image.name for image in images]


def test_without_the_images_their_places_are_written(tmp_path: Path) -> None:
    (path,) = write(HF, [one for one in made() if not one.split], tmp_path, images_inside=False)
    rows = parquet.read_table(path).to_pylist()
    assert [row["image"] for row in rows] == [{"bytes": None, "path": f"/there/{n}.png"} for n in range(3)]


def test_images_that_cannot_be_had_are_left_out(tmp_path: Path) -> None:
    images = [replace(image, split="") for image in made()[:3]]
    contents = Contents(CLASSES, lambda: iter(images), lambda one: None if one is images[1] else picture(one))
    (path,) = HF.write(contents, tmp_path)
    table = parquet.read_table(path)
    assert table["file_name"].to_pylist() == [images[0].name, images[2].name]
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}


@pytest.mark.parametrize("format_", [HF, HF_IMAGEFOLDER])
def test_splits_that_datasets_would_not_find_are_refused(format_: Format, tmp_path: Path) -> None:
    image = replace(made()[0], split="fold-1")
    with pytest.raises(DatasetError, match="cannot have a split 'fold-1': give it letters"):
        format_.write(Contents(CLASSES, lambda: iter([image]), picture), tmp_path)
