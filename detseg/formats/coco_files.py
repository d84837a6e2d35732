"""COCO datasets that others made, a file or a folder of them, with the files of their images.

A class whose supercategory is "stuff" is that; all others are things.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detseg.errors import FormatError
from detseg.files import open_regular
from detseg.formats import ImageLabels
from detseg.formats.coco import decode_shape
from detseg.formats.coco_entries import (
    box_problem,
    mask_problem,
    truth_problem,
    whole_numbers,
    without_lines,
)
from detseg.formats.coco_index import CocoIndex, IndexedImage, index_coco
from detseg.formats.dataset import Opened
from detseg.formats.folders import find_below, named_size, size_of
from detseg.taxonomy import classes_of
from detseg.types import Instance, Kind, Size

_PREFIX = "instances"
_FOLDERS = ("annotations", "labels")
"""Folders of files of labels, above which the dataset lies."""
_UNSAID = {"area": 0, "iscrowd": 0}
"""What annotations may leave out, as far as it matters here."""


def read_coco_files(path: Path) -> Opened:
    """Open a JSON file, or a folder with ``annotations/instances*.json``, Roboflow's files or ``*.json``.

    The split is in the name, as ``instances_train``, or is the folder's. Raises FormatError for what is none,
    and while images are read for an annotation that is wrong.
    """
    files = tuple(index_coco(file) for file in find_files(path, _PREFIX))
    kinds: dict[str, Kind] = {
        name: "stuff" if name in file.stuff else "thing" for file in files for name in file.labels.values()
    }
    reader = _Reader(files, Counter())
    return Opened(classes_of(kinds), reader.images, reader.left_out)


@dataclass(frozen=True, slots=True)
class _Reader:
    files: Sequence[CocoIndex]
    left_out: Counter[str]

    def images(self) -> Iterator[ImageLabels]:
        self.left_out.clear()
        for index in self.files:
            if index.n_unlisted:
                self.left_out["annotations of images that are not listed"] += index.n_unlisted
            split = split_of(index.path, _PREFIX)
            folders = image_folders(index.path, split)
            with open_regular(index.path) as file:
                for image, positions, found in index.entries(file):
                    uri = find_image(folders, image.name)
                    size = _size(index, image, uri)
                    instances = tuple(self._instances(index, positions, found, size))
                    yield ImageLabels(image.name, size, instances, split, uri)

    def _instances(
        self, index: CocoIndex, positions: Sequence[int], found: Sequence[Any], size: Size
    ) -> Iterator[Instance]:
        """Crowds are no single objects, and are left out. Stuff has its mask alone, if it has one."""
        entries, _ = without_lines(whole_numbers(found, "category_id", "iscrowd"))
        for position, entry in zip(positions, entries, strict=True):
            label = _checked(index, entry, size, position)
            if entry.get("iscrowd"):
                self.left_out["crowds"] += 1
                continue
            box, mask = decode_shape(entry, size, self.left_out)
            if box is None and mask is None:
                self.left_out["regions without area"] += 1
            elif label in index.stuff:
                yield Instance(label, "stuff", None if mask is not None else box, mask)
            else:
                yield Instance(label, "thing", box, mask)


def _checked(index: CocoIndex, entry: Any, size: Size, position: int) -> str:
    """The label of an annotation. Raises FormatError."""
    label, mask = index.label(entry.get("category_id")), entry.get("segmentation")
    problem = (
        box_problem(entry.get("bbox"))
        or (mask_problem(mask, (size.height, size.width)) if mask else None)
        or truth_problem(entry if "area" in entry and "iscrowd" in entry else {**_UNSAID, **entry})
    )
    if label is None:
        problem = f"category_id {entry.get('category_id')!r:.60} is none of the categories"
    if label is None or problem:
        raise FormatError(f"{index.path}, annotations {position}: {problem}")
    return label


def split_of(file: Path, prefix: str) -> str:
    """The split that a file's name says after the prefix, else its folder's.

    >>> names = ("annotations/instances_val2017.json", "a/instances.json")
    >>> [split_of(Path(name), "instances") for name in names]
    ['val2017', '']
    >>> [split_of(Path(name), "instances") for name in ("valid/_annotations.coco.json", "labels.json")]
    ['valid', '']
    """
    if file.stem.startswith(f"{prefix}_"):
        return file.stem.removeprefix(f"{prefix}_")
    return file.parent.name if file.stem == "_annotations.coco" else ""


def find_files(path: Path, prefix: str) -> list[Path]:
    """The JSON files of a dataset: the path itself, or those in the folder that are so called, else all."""
    if path.is_file():
        return [path]
    for pattern in (f"annotations/{prefix}*.json", "*/_annotations.coco.json", "*.json"):
        if found := sorted(path.glob(pattern)):
            return found
    raise FormatError(f"{path} has no COCO file: expected annotations/{prefix}*.json, or name the file")


def image_folders(file: Path, split: str) -> tuple[Path, ...]:
    """The folders that a file's images may be in: as COCO is laid out, or beside it."""
    above = file.parent.parent
    folders = [above / (split or "images"), above / "images", file.parent, file.parent / "images"]
    if file.parent.name in _FOLDERS:
        folders.append(above)
    return tuple(folder for folder in dict.fromkeys(folders) if folder.is_dir())


def find_image(folders: Sequence[Path], name: str) -> str:
    """The path of an image in the first of the folders that has it; empty for none."""
    return next((path for folder in folders if (path := find_below(folder, name))), "")


def _size(index: CocoIndex, image: IndexedImage, uri: str) -> Size:
    if image.width and image.height:
        return named_size(image.width, image.height, f"{index.path}, {image.name}")
    if not uri:
        raise FormatError(
            f"{index.path}, {image.name}: it has no width and height, and its file is not there"
        )
    return size_of(Path(uri))
