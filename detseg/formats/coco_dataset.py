"""COCO's detection and instance format: https://cocodataset.org/#format-data.

Written as COCO itself is laid out: ``annotations/instances_train.json`` beside the folder ``train``; without
a split ``annotations/instances.json`` beside ``images``. Boxes are [x, y, width, height] in pixels of the
upright image, masks compressed run lengths, ids count from 1 in the order of classes, images and regions. An
image without objects is there without annotations.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from detseg.formats import ImageLabels
from detseg.formats.coco import encode_image, encode_shape
from detseg.formats.coco_files import read_coco_files
from detseg.formats.dataset import Contents, Format
from detseg.formats.json_lists import JsonLists
from detseg.geometry.extent import extent
from detseg.geometry.masks import mask_area


def image_path(image: ImageLabels) -> str:
    return f"{image.split or 'images'}/{image.name}"


def write(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Write a file for each split, in one pass over the images."""
    (folder / "annotations").mkdir(exist_ok=True)
    numbers = {cls.name: i for i, cls in enumerate(contents.classes, start=1)}
    categories = [
        {"id": numbers[cls.name], "name": cls.name, "supercategory": cls.kind} for cls in contents.classes
    ]
    files: dict[str, JsonLists] = {}
    written = []
    with ExitStack() as stack:
        for image in contents.images():
            if image.split not in files:
                files[image.split] = JsonLists(("images", "annotations"), stack)
            _add(files[image.split], image, numbers)
        for split, file in sorted(files.items()):
            path = folder / "annotations" / (f"instances_{split}.json" if split else "instances.json")
            file.write(path, {"categories": categories})
            written.append(path)
    return tuple(written)


COCO = Format("coco", image_path, None, write, read=read_coco_files)


def _add(file: JsonLists, image: ImageLabels, numbers: dict[str, int]) -> None:
    image_id = file.counts["images"] + 1
    file.append("images", encode_image(image, image_id))
    entries: Iterator[dict[str, Any]] = (
        {
            "id": number,
            "image_id": image_id,
            "category_id": numbers[one.label],
            **encode_shape(one),
            "area": mask_area(one.mask) if one.mask is not None else extent(one).area,
            "iscrowd": 0,
        }
        for number, one in enumerate(image.instances, file.counts["annotations"] + 1)
    )
    file.append("annotations", *entries)
