"""KITTI's object detection and instance segmentation: https://www.cvlibs.net/datasets/kitti/.

``training/label_2/<stem>.txt`` beside ``training/image_2/<image>`` has a row for each thing: its class, how
far it is truncated and occluded, an angle, the box as edges in pixels, and what it is in three dimensions,
which nobody knows here. ``training/instance/<stem>.png`` has 16 bits a pixel: the number of the class times
256, and of things the number of their row, from 1. ``training/semantic/<stem>.png`` has the class alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from detseg.files import replacing
from detseg.formats import ImageLabels
from detseg.formats.cityscapes_classes import label_problem as label_line_problem
from detseg.formats.cityscapes_classes import number_classes
from detseg.formats.dataset import Contents, Format, Loss, check_new, controls_problem, stem_of, take_stem
from detseg.formats.kitti_files import BOXES, IMAGES, INSTANCES, folder_of_split, read_kitti
from detseg.formats.layers import (
    box_and_map_losses,
    check_count,
    has_masks,
    number_pixels,
    things_with_area,
    write_numbers,
)
from detseg.taxonomy import LabelClass
from detseg.types import Box

_MOST = 255
_SEMANTIC = "semantic"
_UNKNOWN = "-1 -1 -1 -1000 -1000 -1000 -10"
"""Height, width and length in metres, place, and angle, as KITTI's own DontCare rows have them."""


def image_path(image: ImageLabels) -> str:
    return f"{folder_of_split(image.split)}/{IMAGES}/{image.name}"


def label_problem(label: str) -> str | None:
    """The problem of a label that a column of a row cannot hold."""
    if label != "".join(label.split()):
        return "where spaces end a column"
    if label == "DontCare":
        return "which is what is not looked at"
    return controls_problem(label) or label_line_problem(label)


def losses(image: ImageLabels) -> Mapping[Loss, int]:
    """Overlaps, and which regions stuff is of."""
    if has_masks(image):
        check_count("kitti", len(things_with_area(image)), f"objects in {image.name}", _MOST)
    return +box_and_map_losses(image)


def write(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Write a file of rows for each image, and two PNGs where it has masks, in one pass over the images.

    In a dataset with masks, images without objects have PNGs of nothing. Raises DatasetError for masks of
    more classes, or objects, than a PNG has numbers.
    """
    writer = _Writer(contents.classes, folder)
    for image in contents.images():
        writer.add(image)
    writer.close()
    kinds = (BOXES, *((INSTANCES, _SEMANTIC) if writer.has_masks else ()))
    return tuple(folder / split / kind for split in sorted(writer.stems) for kind in kinds)


KITTI = Format(
    "kitti",
    image_path,
    losses,
    write,
    label_problem,
    read=read_kitti,
    unsplit="training",
    without_images="without masks, sizes are those of the images: without these nothing can read it again",
)


class _Writer:
    """A KITTI folder in the making. ``stems`` are the images by folder of their split."""

    def __init__(self, classes: Sequence[LabelClass], folder: Path) -> None:
        self._folder, self._n_classes = folder, len(classes)
        self._numbers = number_classes(classes, folder)
        self._empty: list[ImageLabels] = []
        self.stems: dict[str, set[str]] = {}
        self.has_masks = False

    def add(self, image: ImageLabels) -> None:
        split = folder_of_split(image.split)
        stem = take_stem(self.stems.setdefault(split, set()), stem_of(image.name))
        path = self._folder / split / BOXES / f"{stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        check_new(path)
        with replacing(path) as file:
            file.writelines(f"{one.label} {_encode(box)}\n" for _, one, box in things_with_area(image))
        if has_masks(image):
            check_count("kitti", self._n_classes, "classes", _MOST)
            self._write_maps(image, stem)
        elif not image.instances:
            self._empty.append(image)

    def close(self) -> None:
        for image in self._empty if self.has_masks else ():
            self._write_maps(image, stem_of(image.name))

    def _write_maps(self, image: ImageLabels, stem: str) -> None:
        self.has_masks = True
        rows = [0] * len(image.instances)
        for row, (place, _, _) in enumerate(things_with_area(image), 1):
            rows[place] = row
        classes = [
            self._numbers[one.label] if one.kind == "stuff" or rows[place] else 0
            for place, one in enumerate(image.instances)
        ]
        semantic, objects = number_pixels(image, classes, rows)
        split = self._folder / folder_of_split(image.split)
        write_numbers(split / INSTANCES / f"{stem}.png", (semantic * 256 + objects).astype(np.uint16))
        write_numbers(split / _SEMANTIC / f"{stem}.png", semantic.astype(np.uint8))


def _encode(box: Box) -> str:
    """The columns behind the class: nothing truncated or occluded, as far as is known."""
    edges = " ".join(f"{edge:.6f}".rstrip("0").rstrip(".") for edge in box.xyxy)
    return f"0 0 -10 {edges} {_UNKNOWN}"
