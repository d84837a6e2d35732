"""Cityscapes' fine annotations: https://github.com/mcordts/cityscapesScripts.

For ``leftImg8bit/train/<city>/<stem>_leftImg8bit.png`` there are in ``gtFine/train/<city>`` the files
``<stem>_gtFine_instanceIds.png`` (16 bits a pixel: the number of the class, of things times 1,000, plus the
number of the thing within its class), ``_labelIds.png`` (the class alone) and ``_polygons.json`` (outlines
without holes, drawn from the first to the last). Classes that Cityscapes has all keep their numbers; others
get their own, which ``label_colors.txt`` names.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from detseg.files import write_whole
from detseg.formats import ImageLabels
from detseg.formats.cityscapes_classes import OFFICIAL_THINGS, label_problem, number_classes
from detseg.formats.cityscapes_files import (
    IMAGE_ENDING,
    IMAGES,
    INSTANCES_ENDING,
    LABELS,
    OBJECTS,
    POLYGONS_ENDING,
    read_cityscapes,
)
from detseg.formats.dataset import Contents, Format, Loss, stem_of, take_stem
from detseg.formats.layers import check_count, joined_stuff, map_losses, number_pixels, write_numbers
from detseg.geometry.label_maps import segments_to_masks
from detseg.geometry.polygons import outer_rings
from detseg.types import Instance, Mask

_CITY = "city"
"""The folder that stands for a city: tools look for images in one."""

_LABELS_ENDING = "_gtFine_labelIds.png"
_MOST_CLASSES = 64
"""65 * 1,000 + 999 is more than 16 bits."""


def image_path(image: ImageLabels) -> str:
    path = PurePosixPath(image.name)
    return f"{IMAGES}/{_side(image.split)}/{_CITY}/{_stem(image.name)}{IMAGE_ENDING}{path.suffix}"


def losses(image: ImageLabels) -> Mapping[Loss, int]:
    """Boxes, what has no mask, overlaps, and which regions stuff is of."""
    lost = map_losses(image)
    lost["stuff regions joined with others of their class"] += joined_stuff(image)
    most = max(Counter(one.label for one in image.instances if one.kind == "thing").values(), default=0)
    check_count("cityscapes", most, f"objects of one class in {image.name}", OBJECTS)
    return +lost


def write(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Write two PNGs and a JSON file for each image, in one pass over the images."""
    check_count("cityscapes", len(contents.classes), "classes", _MOST_CLASSES)
    numbers = number_classes(contents.classes, folder)
    stems: dict[str, set[str]] = {}
    for image in contents.images():
        split = _side(image.split)
        stem = take_stem(stems.setdefault(split, set()), _stem(image.name))
        below = folder / LABELS / split / _CITY / stem
        classes = [numbers[one.label] for one in image.instances]
        semantic, owners = number_pixels(image, classes, range(1, len(classes) + 1))
        objects = np.array([0, *_object_numbers(image.instances, classes)])[owners]
        write_numbers(below.with_name(below.name + INSTANCES_ENDING), objects.astype(np.uint16))
        write_numbers(below.with_name(below.name + _LABELS_ENDING), semantic.astype(np.uint8))
        visible = segments_to_masks(owners, range(1, len(classes) + 1))
        write_whole(
            below.with_name(below.name + POLYGONS_ENDING), json.dumps(_encode_polygons(image, visible))
        )
    return tuple(folder / LABELS / split for split in sorted(stems))


def problem_of_label(label: str) -> str | None:
    """The problem of a label, see ``label_problem``; ``cargroup`` is a group of cars."""
    single = label.removesuffix("group")
    if single != label and single in OFFICIAL_THINGS:
        return f"which is a group of the class {single}"
    return label_problem(label)


CITYSCAPES = Format(
    "cityscapes", image_path, losses, write, problem_of_label, read=read_cityscapes, unsplit="train"
)


def _side(split: str) -> str:
    return split or "train"


def _stem(name: str) -> str:
    """The name of an image without its ending, and without Cityscapes' own before that.

    >>> _stem("aachen_000000_000019_leftImg8bit.png"), _stem("a.jpg")
    ('aachen_000000_000019', 'a')
    """
    return stem_of(name).removesuffix(IMAGE_ENDING)


def _object_numbers(instances: Sequence[Instance], classes: Sequence[int]) -> list[int]:
    """The value of each instance's pixels: things are counted within their class, from 0."""
    counted: Counter[int] = Counter()
    values = []
    for one, number in zip(instances, classes, strict=True):
        if one.kind == "stuff":
            values.append(number)
        else:
            values.append(number * OBJECTS + counted[number])
            counted[number] += 1
    return values


def _encode_polygons(image: ImageLabels, visible: Sequence[Mask]) -> dict[str, Any]:
    """The outlines of what is seen of each mask; large ones first, so that holes are drawn over."""
    shapes = [(one.label, mask) for one, mask in zip(image.instances, visible, strict=True) if mask.area]
    rings = [(label, ring.tolist()) for label, mask in shapes for ring in outer_rings(mask)]
    rings.sort(key=lambda shape: -_ring_area(shape[1]))
    objects = [{"label": label, "polygon": ring} for label, ring in rings]
    return {"imgHeight": image.size.height, "imgWidth": image.size.width, "objects": objects}


def _ring_area(ring: Sequence[Sequence[int]]) -> float:
    """The area that a ring of corners encloses (the shoelace formula)."""
    corners = np.array(ring, dtype=np.float64)  # (n, 2)
    x, y = corners[:, 0], corners[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
