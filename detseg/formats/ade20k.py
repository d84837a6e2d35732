"""ADE20K as of 2021: https://github.com/CSAILVision/ADE20K.

Beside ``training/<image>`` there are ``<stem>.json`` with its objects, ``<stem>_seg.png`` (red and green: the
class, blue: the object) and a folder ``<stem>`` with the mask of each object, so that masks may overlap.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from detseg.files import write_whole
from detseg.formats import ImageLabels
from detseg.formats.ade20k_files import SEGMENTS_ENDING, folder_of_split, read_ade20k
from detseg.formats.dataset import Contents, Format, Loss, check_new, controls_problem, stem_of, take_stem
from detseg.formats.layers import check_count, number_pixels, write_numbers
from detseg.geometry.masks import mask_to_bitmap, mask_to_box
from detseg.geometry.polygons import outer_rings
from detseg.types import Mask

_MOST_CLASSES = 6_655
"""Red counts 256 classes in steps of 10, up to 250."""
_WHOLE = 255


def image_path(image: ImageLabels) -> str:
    return f"{folder_of_split(image.split)}/{image.name}"


def losses(image: ImageLabels) -> Mapping[Loss, int]:
    """What has no mask, boxes that are more than the masks', and which regions are stuff."""
    lost: Counter[Loss] = Counter()
    for one in image.instances:
        if one.mask is None or not one.mask.area:
            lost["regions without a mask left out"] += 1
        else:
            lost["boxes beside masks left out"] += one.box not in (None, mask_to_box(one.mask))
            lost["stuff written as things"] += one.kind == "stuff"
    return +lost


def write(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Write a JSON file and a PNG for each image, and a PNG for each mask, in one pass over the images."""
    check_count("ade20k", len(contents.classes), "classes", _MOST_CLASSES)
    numbers = {cls.name: number for number, cls in enumerate(contents.classes, 1)}
    stems: dict[str, set[str]] = {}
    for image in contents.images():
        split = folder_of_split(image.split)
        stem = take_stem(stems.setdefault(split, set()), stem_of(image.name))
        _write_image(image, numbers, folder / split / stem)
    return tuple(folder / split for split in sorted(stems))


ADE20K = Format("ade20k", image_path, losses, write, controls_problem, read=read_ade20k, unsplit="training")


def _write_image(image: ImageLabels, numbers: Mapping[str, int], below: Path) -> None:
    """Write the files of an image; ``below`` is its path without ending."""
    classes = [numbers[one.label] for one in image.instances]
    objects = [place % 255 + 1 for place in range(len(classes))]
    segments = np.stack(
        number_pixels(image, [n // 256 * 10 for n in classes], [n % 256 for n in classes], objects)
    )
    write_numbers(
        below.with_name(below.name + SEGMENTS_ENDING), np.moveaxis(segments, 0, -1).astype(np.uint8)
    )
    entries: list[dict[str, Any]] = []
    for one, number in zip(image.instances, classes, strict=True):
        if one.mask is not None and one.mask.area:
            path = below / f"instance_{len(entries):03}_{below.name}.png"
            write_numbers(path, mask_to_bitmap(one.mask).astype(np.uint8) * _WHOLE)
            inside = str(path.relative_to(below.parent))
            entries.append(
                _encode_object(one.label, one.mask, number=number, place=len(entries), path=inside)
            )
    sides = [image.size.height, image.size.width, 3]
    facts = {"filename": PurePosixPath(image.name).name, "folder": below.parent.name, "imsize": sides}
    path = below.with_name(f"{below.name}.json")
    check_new(path)
    write_whole(path, json.dumps({"annotation": {**facts, "object": entries}}))


def _encode_object(label: str, mask: Mask, *, number: int, place: int, path: str) -> dict[str, Any]:
    """An object with its mask's file, and the outline of its largest piece."""
    ring = max(outer_rings(mask), key=len).tolist()
    return {
        "id": place,
        "name": label,
        "name_ndx": number,
        "hypernym": [],
        "raw_name": label,
        "attributes": [],
        "depth_ordering_rank": None,
        "occluded": "no",
        "crop": "0",
        "parts": {"hasparts": [], "ispartof": [], "part_level": 0},
        "scores": None,
        "saved_date": "",
        "polygon": {"x": [x for x, _ in ring], "y": [y for _, y in ring], "click_date": []},
        "instance_mask": path,
    }
