"""Cityscapes folders that others made: instance maps where there are any, else polygons.

Pixels of a class of things that belong to no object are a group of them, and are left out. Where
``label_colors.txt`` does not name the classes, they are those of Cityscapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from detseg.errors import FormatError
from detseg.files import read_json
from detseg.formats import ImageLabels
from detseg.formats.cityscapes_classes import (
    NOTHING,
    OFFICIAL,
    OFFICIAL_THINGS,
    find_name,
    is_group,
    named_classes,
    read_names,
)
from detseg.formats.dataset import Opened
from detseg.formats.folders import place_of, stated_size
from detseg.formats.layers import Numbers, read_numbers
from detseg.formats.picture_index import index_pictures
from detseg.geometry.label_maps import map_to_array, paint, segments_to_masks
from detseg.geometry.polygons import polygon_to_mask
from detseg.types import Instance, Kind, Size

IMAGES, LABELS = "leftImg8bit", "gtFine"
IMAGE_ENDING = f"_{IMAGES}"
INSTANCES_ENDING, POLYGONS_ENDING = "_gtFine_instanceIds.png", "_gtFine_polygons.json"
OBJECTS = 1000
"""Objects that a class may have in an image."""


def read_cityscapes(path: Path) -> Opened:
    """Open a folder with ``gtFine``, and ``leftImg8bit`` beside it.

    Raises FormatError for what is none, and while images are read for a file that is wrong, and why.
    """
    labels = path / LABELS
    files = sorted(
        {
            str(one)[: -len(ending)]
            for ending in (INSTANCES_ENDING, POLYGONS_ENDING)
            for one in labels.rglob(f"*{ending}")
        }
    )
    if not files:
        raise FormatError(
            f"{path} is no Cityscapes folder: expected {LABELS}/train/<city>/*{INSTANCES_ENDING}"
        )
    names = read_names(path)
    reader = _Reader(path, files, names, Counter())
    return Opened(named_classes(names, reader.kinds()), reader.images, reader.left_out)


def _name_of_labels(below: PurePath) -> str:
    """The path that the labels of an image have."""
    return str(below.with_name(below.stem.removesuffix(IMAGE_ENDING)))


@dataclass(frozen=True, slots=True)
class _Reader:
    """``files`` are the paths of labels up to what they have in common."""

    folder: Path
    files: Sequence[str]
    names: Mapping[int, str]
    left_out: Counter[str]

    def kinds(self) -> dict[str, Kind]:
        """The classes that are there, and whether any of their pixels belong to an object."""
        kinds: dict[str, Kind] = {}
        for file in self.files:
            for one in self._instances(file)[1]:
                if kinds.get(one.label) != "thing":
                    kinds[one.label] = one.kind
        return kinds

    def images(self) -> Iterator[ImageLabels]:
        self.left_out.clear()
        pictures = index_pictures(self.folder / IMAGES, name_of=_name_of_labels)
        self.left_out["images without labels"] += pictures.count_without(map(self._stem, self.files))
        for file in self.files:
            stem = self._stem(file)
            size, found = self._instances(file)
            picture = pictures.find(stem)
            name = picture.name if picture is not None else f"{Path(stem).name}{IMAGE_ENDING}.png"
            uri = str(picture.absolute()) if picture is not None else ""
            folders = Path(stem).parts[:-1]
            yield ImageLabels(name, size, tuple(found), folders[0] if folders else "", uri)

    def _stem(self, file: str) -> str:
        return str(Path(file).relative_to(self.folder / LABELS))

    def _instances(self, file: str) -> tuple[Size, list[Instance]]:
        """The size of an image, and what is on it."""
        path = Path(file + INSTANCES_ENDING)
        numbers = read_numbers(path, None)
        if numbers is None:
            return self._draw(Path(file + POLYGONS_ENDING))
        return Size(numbers.shape[1], numbers.shape[0]), list(self._cut(path, numbers))

    def _cut(self, path: Path, numbers: Numbers) -> Iterator[Instance]:
        """Yield the instances of a PNG: the things, then the stuff, each in the order of their numbers."""
        values = sorted(np.unique(numbers).tolist(), key=lambda value: (value < OBJECTS, value))
        for value, mask in zip(values, segments_to_masks(numbers, values), strict=True):
            number = value // OBJECTS if value >= OBJECTS else value
            if number == NOTHING:
                continue
            label = find_name(self.names, number, path)
            if value >= OBJECTS:
                yield Instance(label, "thing", mask=mask)
            elif is_group(self.names, label):
                self.left_out["groups of objects"] += 1
            else:
                yield Instance(label, "stuff", mask=mask)

    def _draw(self, path: Path) -> tuple[Size, list[Instance]]:
        """What is seen of polygons that are drawn one over the other."""
        data = read_json(path)
        try:
            size = stated_size(*(_side(data[key]) for key in ("imgWidth", "imgHeight")))
            shapes = [
                (str(one["label"]), one["polygon"]) for one in data["objects"] if not one.get("deleted")
            ]
            masks = [
                polygon_to_mask([(place_of(x), place_of(y)) for x, y in ring], size) for _, ring in shapes
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"{path}: expected imgHeight, imgWidth and objects with label and polygon ({error!r:.80})"
            ) from error
        seen = segments_to_masks(map_to_array(paint(masks[::-1], size)), range(len(masks), 0, -1))
        found = []
        for (label, _), mask in zip(shapes, seen, strict=True):
            if label.removesuffix("group") in OFFICIAL_THINGS and label not in OFFICIAL_THINGS:
                self.left_out["groups of objects"] += 1
            elif mask.area and label != self.names.get(NOTHING):
                kind: Kind = "stuff" if self.names is OFFICIAL and label not in OFFICIAL_THINGS else "thing"
                found.append(Instance(label, kind, mask=mask))
        return size, found


def _side(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(f"a side has some pixels, not {value!r:.60}")
    return value
