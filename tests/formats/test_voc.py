"""Pascal VOC folders that torchvision and supervision read, and what is lost, as was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import supervision
from hypothesis import HealthCheck, given, settings
from PIL import Image
from torchvision.datasets import VOCDetection, VOCSegmentation

from detseg.errors import DatasetError
from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Loss, check_names
from detseg.formats.voc import VOC
from detseg.geometry.extent import extent
from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap
from detseg.taxonomy import LabelClass
from detseg.types import Box, Instance, Mask, Size
from tests.formats.made import CLASSES, datasets

SIZE = Size(40, 30)
NUMBERS = {cls.name: number for number, cls in enumerate(CLASSES, 1)}
SPLITS = {"": "trainval", "train": "train", "val": "val"}


def write(images: Sequence[ImageLabels], root: Path, classes: tuple[LabelClass, ...] = CLASSES) -> Path:
    """The dataset with its pictures, where torchvision looks for it."""
    folder = root / "VOCdevkit" / "VOC2012"
    (folder / "JPEGImages").mkdir(parents=True)
    for image in images:
        assert VOC.image_path is not None
        Image.new("RGB", (image.size.width, image.size.height)).save(folder / VOC.image_path(image))
    VOC.write(Contents(classes, lambda: iter(images), lambda _: b""), folder)
    return folder


def losses(image: ImageLabels) -> Mapping[Loss, int]:
    assert VOC.losses is not None
    return VOC.losses(image)


def rectangle(x0: int, y0: int, x1: int, y1: int) -> Mask:
    bitmap = np.zeros((SIZE.height, SIZE.width), dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap_to_mask(bitmap)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(made=datasets())
def test_torchvision_reads_boxes_and_masks(
    made: list[ImageLabels], tmp_path_factory: pytest.TempPathFactory
) -> None:
    images = [replace(image, name=f"größe {number}.jpg") for number, image in enumerate(made)]
    root = tmp_path_factory.mktemp("voc")
    folder = write(images, root)
    for split, name in SPLITS.items():
        mine = [image for image in images if image.split == split]
        if not mine:
            continue
        wanted = [image for image in images if split or image.split in SPLITS] if not split else mine
        read = VOCDetection(str(root), image_set=name)
        assert sorted(Path(path).name for path in read.images) == sorted(image.name for image in wanted)
        found = {Path(path).name: read[position][1] for position, path in enumerate(read.images)}
        for image in mine:
            check_boxes(found[image.name]["annotation"], image)
    if any(one.mask for image in images for one in image.instances):
        both = VOCSegmentation(str(root), image_set="trainval")
        by_name = {Path(path).name: both[position][1] for position, path in enumerate(both.images)}
        masked = [one for one in images if not one.instances or any(part.mask for part in one.instances)]
        assert by_name.keys() == {image.name for image in masked}
        for image in masked:
            with Image.open(folder / "SegmentationObject" / f"{Path(image.name).stem}.png") as file:
                objects = np.asarray(file)
            check_maps(np.asarray(by_name[image.name]), objects, image)


def check_boxes(annotation: dict[str, object], image: ImageLabels) -> None:
    size = annotation["size"]
    assert size == {"width": str(image.size.width), "height": str(image.size.height), "depth": "3"}
    assert annotation["filename"] == image.name
    things = [one for one in image.instances if one.kind == "thing"]
    objects = annotation["object"]
    assert isinstance(objects, list)
    moved = 0
    for entry, one in zip(objects, things, strict=True):
        assert entry["name"] == one.label
        corners = [int(entry["bndbox"][key]) for key in ("xmin", "ymin", "xmax", "ymax")]
        box = np.array(corners) - (1, 1, 0, 0)
        assert (np.abs(box - extent(one).xyxy) <= 0.5).all()
        moved += tuple(box.tolist()) != extent(one).xyxy
    assert losses(image).get("boxes moved to whole pixels", 0) == moved


def check_maps(classes: npt.NDArray[np.uint8], objects: npt.NDArray[np.uint8], image: ImageLabels) -> None:
    """Pixels are the first mask's that covers them; what is left of boxes without one is void."""
    lost: Counter[str] = Counter()
    wanted = np.zeros((2, *classes.shape), dtype=int)
    free = np.ones(classes.shape, dtype=bool)
    number = 0
    for one in image.instances:
        number += one.kind == "thing"
        if one.mask is not None:
            bitmap = mask_to_bitmap(one.mask)
            wanted[:, bitmap & free] = [[NUMBERS[one.label]], [number if one.kind == "thing" else 0]]
            if not (bitmap & free).any():
                what = "masks" if one.kind == "thing" else "regions"
                lost[f"{what} hidden by others left out"] += 1
            elif (bitmap & ~free).any():
                lost["masks cut where others cover them"] += 1
            free &= ~bitmap
    for one in image.instances:
        if one.mask is None and one.box is not None:
            y, x = np.mgrid[: image.size.height, : image.size.width]
            x0, y0, x1, y1 = one.box.xyxy
            wanted[:, free & (x + 1 > x0) & (x < x1) & (y + 1 > y0) & (y < y1)] = 255
    assert (classes == wanted[0]).all()
    assert (objects == wanted[1]).all()
    stuff = Counter(one.label for one in image.instances if one.kind == "stuff")
    lost["stuff regions joined with others of their class"] += stuff.total() - len(stuff)
    assert {name: n for name, n in losses(image).items() if "boxes" not in name} == dict(+lost)


def read_boxes(folder: Path) -> dict[str, list[list[float]]]:
    """What supervision reads, by the images' names."""
    read = supervision.DetectionDataset.from_pascal_voc(
        str(folder / "JPEGImages"), str(folder / "Annotations")
    )
    return {Path(name).name: found.xyxy.tolist() for name, found in read.annotations.items()}


def test_supervision_reads_the_boxes(tmp_path: Path) -> None:
    things = (Instance("bolt", "thing", Box(3, 4, 13, 20)), Instance("bolt", "thing", Box(0, 0, 40, 30)))
    folder = write([ImageLabels("a b.jpg", SIZE, things), ImageLabels("empty.jpg", SIZE)], tmp_path)
    assert read_boxes(folder) == {"a b.jpg": [[3, 4, 13, 20], [0, 0, 40, 30]], "empty.jpg": []}
    assert not (folder / "SegmentationClass").exists()
    assert losses(ImageLabels("a b.jpg", SIZE, things)) == {}


def test_names_of_classes_are_written_beside_their_colours(tmp_path: Path) -> None:
    belt = Instance("belt", "stuff", mask=rectangle(0, 0, 9, 9))
    folder = write([ImageLabels("a.jpg", SIZE, (belt,))], tmp_path)
    lines = (folder / "labelmap.txt").read_text().splitlines()
    assert lines[:3] == ["# label:color_rgb:parts:actions", "background:0,0,0::", "bolt:128,0,0::"]
    with Image.open(folder / "SegmentationClass" / "a.png") as file:
        assert (file.mode, file.getpixel((0, 0))) == ("P", 3)
        assert file.convert("RGB").getpixel((0, 0)) == (128, 128, 0)


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a: b", "# a", " a", "background", "a\nb"])
def test_labels_that_voc_cannot_spell(name: str) -> None:
    with pytest.raises(DatasetError, match=r"^voc cannot spell the class .*: rename it in \[\[classes\]\]"):
        check_names(VOC, [LabelClass("bolt"), LabelClass(name)], ())


def test_what_a_byte_cannot_number_is_refused(tmp_path: Path) -> None:
    many = tuple(
        Instance("bolt", "thing", mask=rectangle(n % 40, n // 40, n % 40 + 1, n // 40 + 1))
        for n in range(255)
    )
    with pytest.raises(
        DatasetError, match=r"voc cannot hold 255 objects in a\.jpg: its PNGs have 254 numbers"
    ):
        losses(ImageLabels("a.jpg", SIZE, many))
    write([ImageLabels("a.jpg", SIZE, many[:254])], tmp_path / "most")
    classes = tuple(LabelClass(f"class {n}") for n in range(255))
    masked = ImageLabels("a.jpg", SIZE, (Instance("class 254", "thing", mask=rectangle(0, 0, 2, 2)),))
    with pytest.raises(DatasetError, match="voc cannot hold 255 classes"):
        write([masked], tmp_path / "classes", classes)
    boxes = tuple(Instance("class 254", "thing", Box(1, 1, 3, 3)) for _ in range(300))
    write([ImageLabels("a.jpg", SIZE, boxes)], tmp_path / "boxes", classes)


def test_boxes_at_the_border_keep_a_pixel(tmp_path: Path) -> None:
    things = tuple(
        Instance("bolt", "thing", box)
        for box in (Box(39.8, 29.9, 40, 30), Box(0, 0, 0.1, 0.2), Box(-4, 2, 50, 3), Box(5.5, 5.5, 5.6, 5.6))
    )
    image = ImageLabels("a.jpg", SIZE, (*things, Instance("bolt", "thing", Box(50, 1, 60, 2))))
    folder = write([image], tmp_path)
    assert read_boxes(folder) == {"a.jpg": [[39, 29, 40, 30], [0, 0, 1, 1], [0, 2, 40, 3], [5, 5, 6, 6]]}
    assert losses(image) == {
        "boxes moved to whole pixels": 3,
        "boxes cut at the image's border": 1,
        "regions without area left out": 1,
    }
