"""KITTI, Cityscapes, Open Images, ADE20K and Datumaro's own: others read what we write, we read theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Format
from detseg.geometry.extent import extent
from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap
from detseg.pipeline.formats import find_format
from detseg.taxonomy import LabelClass
from detseg.types import Instance, Size
from tests.formats.made import make_images
from tests.formats.oracles import ask
from tests.formats.trips import picture, respelled, write_and_read

DATUMARO_NAMES = {
    "datumaro": "datumaro",
    "kitti": "kitti_detection",
    "open-images": "open_images",
    "ade20k": "ade20k2020",
    "cityscapes": "cityscapes",
}

ROUNDED = 0.0051
"""Datumaro keeps two digits of a pixel."""


@pytest.fixture(scope="module")
def images() -> list[ImageLabels]:
    """Images with objects: datumaro cannot read one without in ADE20K."""
    return [image for image in make_images(24, seed=8) if any(one.mask for one in image.instances)]


@pytest.fixture(scope="module")
def found(images: list[ImageLabels], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What datumaro reads in our folders, by format."""
    root = tmp_path_factory.mktemp("datumaro")
    for name, theirs in DATUMARO_NAMES.items():
        write_and_read(find_format(name), images, root / theirs)
    colours = root / "cityscapes" / "label_colors.txt"  # in which datumaro reads no spaces, its own neither
    colours.write_text(colours.read_text().replace("Mutter, groß", "Mutter").replace("never there", "never"))
    answers = ask("datumaro", *(root / theirs for theirs in DATUMARO_NAMES.values()))
    return {name: answers[theirs] for name, theirs in DATUMARO_NAMES.items()}


def _by_key(format_: Format, images: Sequence[ImageLabels], without_split: str) -> dict[str, ImageLabels]:
    """The images by what datumaro calls them."""
    return {
        f"{image.split or without_split}/{Path(image.name).stem}": image
        for image in respelled(format_, images)
    }


def _pixels(one: Instance) -> list[int]:
    assert one.mask is not None
    return np.flatnonzero(mask_to_bitmap(one.mask)).tolist()


def test_datumaro_reads_its_own(found: Mapping[str, Any], images: list[ImageLabels]) -> None:
    format_ = find_format("datumaro")
    wanted = _by_key(format_, images, "default")
    assert found["datumaro"].keys() == wanted.keys()
    for key, image in wanted.items():
        theirs = defaultdict(list)
        for kind, label, group, shape in found["datumaro"][key]:
            theirs[kind].append((label, group > 0, shape))
        boxes = [(one.label, one.mask is not None, one.box) for one in image.instances if one.box]
        masks = [(one.label, one.box is not None, _pixels(one)) for one in image.instances if one.mask]
        assert theirs["mask"] == masks
        for (label, in_group, shape), (our_label, has_mask, box) in zip(theirs["bbox"], boxes, strict=True):
            assert (label, in_group) == (our_label, has_mask)
            np.testing.assert_allclose(shape, box.xyxy, atol=ROUNDED)


def test_datumaro_reads_kittis_boxes(found: Mapping[str, Any], images: list[ImageLabels]) -> None:
    wanted = _by_key(find_format("kitti"), images, "train")
    items = {key.replace("training/", "train/"): those for key, those in found["kitti"].items()}
    assert items.keys() == wanted.keys()
    for key, image in wanted.items():
        things = [one for one in image.instances if one.kind == "thing"]
        for (kind, label, _, shape), one in zip(items[key], things, strict=True):
            assert (kind, label) == ("bbox", one.label)
            np.testing.assert_allclose(shape, extent(one).xyxy, atol=ROUNDED)


def test_datumaro_reads_open_images(found: Mapping[str, Any], images: list[ImageLabels]) -> None:
    wanted = _by_key(find_format("open-images"), images, "train")
    items = {key.replace("validation/", "val/"): those for key, those in found["open-images"].items()}
    assert items.keys() == wanted.keys()
    for key, image in wanted.items():
        boxes = [(label, shape) for kind, label, _, shape in items[key] if kind == "bbox"]
        for (label, shape), one in zip(boxes, image.instances, strict=True):
            assert label == one.label
            np.testing.assert_allclose(shape, extent(one).xyxy, atol=ROUNDED)
        masks = [(label, group, shape) for kind, label, group, shape in items[key] if kind == "mask"]
        assert all(group for _, group, _ in masks)  # each has found its box
        assert [(label, shape) for label, _, shape in masks] == [
            (one.label, _pixels(one)) for one in image.instances if one.mask
        ]


def test_datumaro_reads_ade20k(found: Mapping[str, Any], images: list[ImageLabels]) -> None:
    wanted = _by_key(find_format("ade20k"), images, "train")
    for key, those in found["ade20k"].items():
        image = wanted[key.replace("training/", "train/").replace("validation/", "val/")]
        polygons = [label for kind, label, _, _ in those if kind == "polygon"]
        masks = [one for one in image.instances if one.mask]
        assert polygons == [one.label for one in masks]
        theirs = [shape for kind, _, _, shape in those if kind == "mask"]
        for one in masks:
            whole = (
                one.mask is not None and one.mask.area == image.size.area
            )  # which datumaro reads as nothing
            assert whole or _pixels(one) in theirs


def test_datumaro_reads_the_stuff_of_cityscapes(found: Mapping[str, Any]) -> None:
    """Its reader knows no objects: it looks for the numbers of classes alone."""
    stuff = {label for those in found["cityscapes"].values() for _, label, _, _ in those}
    assert stuff == {"belt"}


def test_we_read_what_datumaro_writes(images: list[ImageLabels], tmp_path: Path) -> None:
    """Datumaro's masks have no boxes and its boxes no masks where they are not in a group."""
    write_and_read(find_format("datumaro"), images, tmp_path / "ours")
    ask("write", tmp_path / "ours")
    n_boxes = sum(one.box is not None for image in images for one in image.instances)
    n_masks = sum(one.mask is not None for image in images for one in image.instances)
    for name, folder in (
        ("datumaro", "datumaro"),
        ("open-images", "open_images"),
        ("kitti", "kitti_detection"),
    ):
        read = find_format(name).read
        assert read is not None
        if name == "kitti":  # rows whose classes have spaces are none
            for path in (tmp_path / f"written_{folder}").rglob("*.txt"):
                path.write_text(path.read_text().replace("Mutter, groß", "Mutter"))
        opened = read(tmp_path / f"written_{folder}")
        instances = [one for image in opened.images() for one in image.instances]
        assert sum(one.box is not None for one in instances) == n_boxes, name
        if name != "kitti":
            assert sum(one.mask is not None for one in instances) == n_masks, name
            assert {one.label for one in instances} == {
                one.label for image in images for one in image.instances
            }


CITY = (
    LabelClass("car"),
    LabelClass("person"),
    LabelClass("road", "stuff"),
    LabelClass("traffic light", "stuff"),
)


def test_cityscapes_own_scripts_read_instances_and_polygons(tmp_path: Path) -> None:
    """Classes that Cityscapes has keep its numbers; its evaluation and its painter see what we see."""
    size = Size(60, 40)
    boxes = {
        "car": ((2, 2, 22, 12), (30, 5, 50, 15)),
        "person": ((5, 25, 12, 38),),
        "road": ((0, 0, 60, 40),),
    }
    instances = []
    for label, those in boxes.items():
        for x0, y0, x1, y1 in those:
            bitmap = np.zeros((size.height, size.width), dtype=bool)
            bitmap[y0:y1, x0:x1] = True
            kind = "stuff" if label == "road" else "thing"
            instances.append(Instance(label, kind, mask=bitmap_to_mask(bitmap)))
    image = ImageLabels("aachen_000000_000019_leftImg8bit.png", size, tuple(instances), "train")
    format_ = find_format("cityscapes")
    assert format_.image_path is not None
    path = tmp_path / format_.image_path(image)
    assert path.name == image.name
    path.parent.mkdir(parents=True)
    path.write_bytes(picture(image))
    format_.write(Contents(CITY, lambda: iter([image]), picture), tmp_path)
    assert not (tmp_path / "label_colors.txt").exists()
    answer = ask("cityscapes", tmp_path)
    (objects,) = answer["read"].values()
    assert (objects["car"], objects["person"]) == ([200, 200], [91])
    assert objects["road"] == [60 * 40 - 491]
    (drawn,) = answer["drawn"].values()
    labels = next((tmp_path / "gtFine").rglob("*_labelIds.png"))
    assert (
        np.count_nonzero(np.array(drawn) != np.asarray(Image.open(labels))) <= 200
    )  # Pillow draws edges too
    assert format_.read is not None
    opened = format_.read(tmp_path)
    assert {cls.name: cls.kind for cls in opened.classes} == {
        "car": "thing",
        "person": "thing",
        "road": "stuff",
    }
    (again,) = opened.images()
    assert [one.label for one in again.instances] == ["person", "car", "car", "road"]
