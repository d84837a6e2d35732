"""COCO's detection and instance format: https://cocodataset.org/#format-data.

Written as COCO itself is laid out: ``annotations/instances_train.json`` beside the folder ``train``; without
a split ``annotations/instances.json`` beside ``images``. Boxes are [x, y, width, height] in pixels of the
upright image, masks compressed run lengths, ids count from 1 in the order of classes, images and regions. An
image without objects is there without annotations.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from detseg.files import replacing
from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Format
from detseg.geometry.boxes import box_to_xywh
from detseg.geometry.extent import extent
from detseg.geometry.masks import encode_mask
from detseg.taxonomy import LabelClass
from detseg.types import Instance

_CHUNK = 1 << 20


def image_path(image: ImageLabels) -> str:
    return f"{image.split or 'images'}/{image.name}"


def write(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Write a file for each split, in one pass over the images."""
    (folder / "annotations").mkdir(exist_ok=True)
    files: dict[str, _CocoFile] = {}
    written = []
    with ExitStack() as stack:
        for image in contents.images():
            if image.split not in files:
                files[image.split] = _CocoFile(contents.classes, stack)
            files[image.split].add(image)
        for split, file in sorted(files.items()):
            path = folder / "annotations" / (f"instances_{split}.json" if split else "instances.json")
            file.write(path)
            written.append(path)
    return tuple(written)


COCO = Format("coco", image_path, None, write)


class _CocoFile:
    """One JSON file in the making: its images and its annotations grow in a file without a name each."""

    def __init__(self, classes: tuple[LabelClass, ...], stack: ExitStack) -> None:
        self._categories = {cls.name: i for i, cls in enumerate(classes, start=1)}
        self._classes = classes
        self._images = stack.enter_context(_spool())
        self._annotations = stack.enter_context(_spool())
        self._n_images = self._n_annotations = 0

    def add(self, image: ImageLabels) -> None:
        self._n_images += 1
        size = image.size
        entry = {
            "id": self._n_images,
            "file_name": image.name,
            "width": size.width,
            "height": size.height,
        }
        _append(self._images, entry, is_first=self._n_images == 1)
        for instance in image.instances:
            self._n_annotations += 1
            entry = {"id": self._n_annotations, "image_id": self._n_images, **self._entry(instance)}
            _append(self._annotations, entry, is_first=self._n_annotations == 1)

    def write(self, path: Path) -> None:
        categories = [
            {"id": self._categories[cls.name], "name": cls.name, "supercategory": cls.kind}
            for cls in self._classes
        ]
        with replacing(path) as file:
            file.write(f'{{"categories": {json.dumps(categories)},\n"images": [')
            for name, spooled in (("", self._images), ("annotations", self._annotations)):
                if name:
                    file.write(f'],\n"{name}": [')
                spooled.seek(0)
                file.writelines(_chunks(spooled))
            file.write("]}\n")

    def _entry(self, instance: Instance) -> dict[str, Any]:
        mask = instance.mask
        box = extent(instance)
        entry = {
            "category_id": self._categories[instance.label],
            "bbox": list(box_to_xywh(box)),
            "area": mask.area if mask is not None else box.area,
            "iscrowd": 0,
        }
        return entry if mask is None else {**entry, "segmentation": encode_mask(mask)}


def _spool() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8")


def _append(file: IO[str], entry: Mapping[str, Any], *, is_first: bool) -> None:
    file.write(("" if is_first else ",\n") + json.dumps(entry, separators=(",", ":")))


def _chunks(file: IO[str]) -> Iterator[str]:
    while text := file.read(_CHUNK):
        yield text
