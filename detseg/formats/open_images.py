"""Open Images: https://storage.googleapis.com/openimages/web/download_v7.html.

``annotations`` has CSV files: ``class-descriptions.csv``, and for each split its images, boxes as shares of
the image's sides, and masks, which are PNGs in ``masks/<split>`` and name the box that is theirs by its
sides. ``images/<split>`` has the images, which are known by their names without ending. ``images.meta``
has their sizes, as datumaro writes it.
"""

from __future__ import annotations

import csv
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from detseg.errors import DatasetError
from detseg.escaping import has_controls
from detseg.files import replacing
from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Format, Loss, stem_of, take_stem
from detseg.formats.layers import write_numbers
from detseg.formats.open_images_files import (
    ANNOTATIONS,
    BOX_COLUMNS,
    BOXES_ENDING,
    CLASSES,
    IMAGE_COLUMNS,
    IMAGES,
    LISTS_ENDING,
    MASK_COLUMNS,
    MASKS,
    MASKS_ENDING,
    SIZES,
    folder_of_split,
    read_open_images,
)
from detseg.formats.yolo import share_text
from detseg.geometry.boxes import clip_box
from detseg.geometry.extent import extent
from detseg.geometry.masks import mask_to_bitmap
from detseg.types import Box, Instance, Mask, Size

WriteRow = Callable[[Sequence[str]], object]

_DRAWN = "freeform"
_FLAGS = ("-1", "-1", "0", "-1", "-1")
"""Whether it is occluded, truncated, a group, a depiction, seen from inside: nobody said, but no group."""


def image_path(image: ImageLabels) -> str:
    return f"{IMAGES}/{folder_of_split(image.split)}/{image.name}"


def losses(image: ImageLabels) -> Mapping[Loss, int]:
    """Which regions are stuff, and what is outside of the image."""
    lost: Counter[Loss] = Counter()
    for one in image.instances:
        if (box := clip_box(extent(one), image.size)) is None:
            lost["regions without area left out"] += 1
        else:
            lost["boxes cut at the image's border"] += box != extent(one)
            lost["stuff written as things"] += one.kind == "stuff"
    return +lost


def write(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Write the CSV files of each split, and a PNG for each mask, in one pass over the images."""
    below = folder / ANNOTATIONS
    below.mkdir(exist_ok=True)
    with ExitStack() as stack:
        classes = _open(below / CLASSES, stack)
        for cls in contents.classes:
            classes((cls.name, cls.name))
        sizes = stack.enter_context(replacing(below / SIZES))
        splits: dict[str, _SplitWriter] = {}
        stems: set[str] = set()
        for image in contents.images():
            if has_controls(image.name):
                raise DatasetError(
                    f"open-images lists images in lines, where {image.name!r:.80} has no place: give it "
                    "another name"
                )
            split, stem = folder_of_split(image.split), take_stem(stems, stem_of(image.name))
            if split not in splits:
                splits[split] = _SplitWriter(folder, split, stack)
            splits[split].add(image, stem)
            sizes.write(f"{shlex.quote(stem)} {image.size.height} {image.size.width}\n")
    masks = [folder / MASKS / split for split, one in sorted(splits.items()) if one.has_masks]
    return (*sorted(below.iterdir()), *masks)


OPEN_IMAGES = Format("open-images", image_path, losses, write, unsplit="train", read=read_open_images)


class _SplitWriter:
    """The CSV files of a split in the making, and its folder of masks."""

    def __init__(self, folder: Path, split: str, stack: ExitStack) -> None:
        below = folder / ANNOTATIONS
        self._split, self._masks = split, folder / MASKS / split
        self._list_image = _open(below / f"{split}{LISTS_ENDING}", stack, IMAGE_COLUMNS)
        self._add_box = _open(below / f"{split}{BOXES_ENDING}", stack, BOX_COLUMNS)
        self._add_mask = _open(below / f"{split}{MASKS_ENDING}", stack, MASK_COLUMNS)
        self.has_masks = False

    def add(self, image: ImageLabels, stem: str) -> None:
        self._list_image((stem, self._split, *[""] * (len(IMAGE_COLUMNS) - 2)))
        for number, one in enumerate(image.instances):
            box = clip_box(extent(one), image.size)
            if box is None:
                continue
            sides = _shares(box, image.size)
            self._add_box((stem, _DRAWN, one.label, "1", *sides, *_FLAGS))
            if one.mask is not None and one.mask.area:
                self._write_mask(one.mask, one, f"{stem}_{number:08x}.png", (stem, f"{number:08x}", *sides))

    def _write_mask(self, mask: Mask, one: Instance, name: str, facts: tuple[str, ...]) -> None:
        self.has_masks = True
        stem, box_id, *sides = facts
        write_numbers(self._masks / name, mask_to_bitmap(mask).astype(np.uint8) * 255)
        self._add_mask((name, stem, one.label, box_id, *sides, "", ""))


def _open(path: Path, stack: ExitStack, columns: Sequence[str] = ()) -> WriteRow:
    """A new CSV file that is there at the end of the stack, with the names of its columns if it has them."""
    writer = csv.writer(stack.enter_context(replacing(path)), lineterminator="\n")
    if columns:
        writer.writerow(columns)
    return writer.writerow


def _shares(box: Box, size: Size) -> tuple[str, str, str, str]:
    """XMin, XMax, YMin and YMax."""
    across, down = (box.x0 / size.width, box.x1 / size.width), (box.y0 / size.height, box.y1 / size.height)
    x0, x1, y0, y1 = map(share_text, (*across, *down))
    return x0, x1, y0, y1
