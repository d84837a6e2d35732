"""The masks of an image laid over each other, for formats in which a pixel has one owner.

A pixel belongs to the first mask that covers it, as everywhere in detseg. Maps of numbers are PNGs: of
classes, and of the things of an image from 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from detseg.errors import DatasetError, FormatError
from detseg.files import replacing
from detseg.formats import ImageLabels
from detseg.formats.dataset import Loss, check_new
from detseg.formats.label_maps import read_label_map
from detseg.geometry.boxes import clip_box
from detseg.geometry.extent import extent
from detseg.geometry.label_maps import LabelMap, map_to_array, paint, renumber, shared_pixels
from detseg.geometry.masks import mask_to_box
from detseg.types import Box, Instance, Size

Numbers = npt.NDArray[np.int32]


def paint_masks(image: ImageLabels) -> LabelMap:
    """The map of an image: the place of the owner among the image's instances, from 1; 0 for none."""
    places, masks = [0], []
    for place, one in enumerate(image.instances, 1):
        if one.mask is not None:
            places.append(place)
            masks.append(one.mask)
    return renumber(paint(masks, image.size), np.array(places))


def count_visible(owners: LabelMap, n_instances: int) -> npt.NDArray[np.int64]:
    """The pixels of such a map that have no owner, then those of each instance: shape (n_instances + 1,)."""
    return shared_pixels(owners, shape=(n_instances + 1,))


def overlap_losses(image: ImageLabels, *, boxes: bool) -> Counter[Loss]:
    """Masks that lose pixels to those before them, some or all; with ``boxes`` things still have theirs."""
    lost: Counter[Loss] = Counter()
    visible = count_visible(paint_masks(image), len(image.instances))[1:].tolist()
    for one, n_pixels in zip(image.instances, visible, strict=True):
        if one.mask is None or n_pixels == one.mask.area:
            continue
        if n_pixels:
            lost["masks cut where others cover them"] += 1
        elif boxes and one.kind == "thing":
            lost["masks hidden by others left out"] += 1
        else:
            lost["regions hidden by others left out"] += 1
    return lost


def map_losses(image: ImageLabels) -> Counter[Loss]:
    """What a map of pixels alone cannot hold: boxes, what has no mask, and overlaps."""
    lost = overlap_losses(image, boxes=False)
    for one in image.instances:
        if one.mask is None or not one.mask.area:
            lost["regions without a mask left out"] += 1
        elif one.box is not None and one.box != mask_to_box(one.mask):
            lost["boxes beside masks left out"] += 1
    return lost


def joined_stuff(image: ImageLabels) -> int:
    """The stuff regions that are no regions of their own where pixels have a class."""
    shapes = Counter(one.label for one in image.instances if one.kind == "stuff" and one.mask is not None)
    return shapes.total() - len(shapes)


def box_and_map_losses(image: ImageLabels) -> Counter[Loss]:
    """What boxes of things beside a map of pixels cannot hold."""
    lost = overlap_losses(image, boxes=True)
    lost["stuff regions joined with others of their class"] += joined_stuff(image)
    for one in image.instances:
        if one.kind == "stuff":
            lost["regions without a mask left out"] += one.mask is None
        elif (box := clip_box(extent(one), image.size)) is None:
            lost["regions without area left out"] += 1
        else:
            lost["boxes cut at the image's border"] += box != extent(one)
    return lost


def things_with_area(image: ImageLabels) -> list[tuple[int, Instance, Box]]:
    """The things of an image that have area in it, with their places among its instances and their boxes."""
    return [
        (place, one, box)
        for place, one in enumerate(image.instances)
        if one.kind == "thing" and (box := clip_box(extent(one), image.size))
    ]


def has_masks(image: ImageLabels) -> bool:
    """Tell whether any of the image's instances has a mask."""
    return any(one.mask is not None for one in image.instances)


def number_pixels(image: ImageLabels, *numbers: Sequence[int]) -> tuple[Numbers, ...]:
    """Maps of an image, (H, W) each: at each pixel the number of its owner's place; 0 where there is none."""
    owners = map_to_array(paint_masks(image))
    return tuple(np.array([0, *those], dtype=np.int32)[owners] for those in numbers)


def check_count(format_: str, n: int, what: str, most: int) -> None:
    """Raises DatasetError where there are more of something than a format's PNGs have numbers for."""
    if n > most:
        raise DatasetError(
            f"{format_} cannot hold {n} {what}: its PNGs have {most} numbers; coco-panoptic has no such limit"
        )


def write_numbers(path: Path, numbers: npt.NDArray[Any], palette: Iterable[int] | None = None) -> None:
    """Write a PNG of 8 bits a pixel, or of 16 as the numbers' type is, which no other image has got."""
    path.parent.mkdir(parents=True, exist_ok=True)
    check_new(path)
    picture = Image.fromarray(numbers)
    if palette is not None:
        picture.putpalette(list(palette))
    with replacing(path, binary=True) as file:
        picture.save(file, "PNG")


def read_numbers(path: Path, size: Size | None) -> Numbers | None:
    """The numbers of a PNG, shape (H, W); None where there is no such file.

    Raises FormatError for one that is no such PNG, and for one that has another size than its image.
    """
    if not path.exists():
        return None
    found = read_label_map(path)
    if size is not None and found.size != size:
        raise FormatError(f"{path} is {found.size}, its image is {size}")
    return map_to_array(found)
