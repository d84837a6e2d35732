"""COCO files that may be larger than memory: where in the file the annotations of each image are.

Images, categories and the places of annotations are kept, 16 bytes each; annotations are read again where
their image is, wherever in the file they are.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError
from detseg.files import parse_json
from detseg.formats.coco_entries import (
    Numbers,
    category_problem,
    image_problem,
    is_id,
    name_kind,
    spells_number,
    whole_number,
    whole_numbers,
)
from detseg.formats.json_lists import ReadElement, read_lists

Ints = npt.NDArray[np.int64]

_PORTION = 1 << 20
"""Bytes of annotations that are read and decoded together; those of one image are never parted."""
_FARTHEST = 64
"""Bytes between two annotations in a row that are read as one text."""


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """An image of a file. Sides that the file does not say are None."""

    key: int
    name: str
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True, eq=False)
class CocoIndex:
    """``labels`` are by number, ``stuff`` are those whose supercategory is that.

    Annotation i begins at byte ``places[i, 0]`` of the file and has ``places[i, 1]`` bytes. Those of image j
    are ``order[starts[j]:starts[j + 1]]``, in the file's order; the last are on images that are not listed.
    """

    path: Path
    images: Sequence[IndexedImage]
    labels: Mapping[int, str]
    stuff: frozenset[str]
    numbers: Numbers
    places: Ints
    order: Ints
    starts: Ints

    @property
    def n_unlisted(self) -> int:
        """Annotations of images that the file does not list."""
        return len(self.order) - int(self.starts[-1])

    def label(self, category: Any) -> str | None:
        """The label of a category by its id, number or text; None if there is none."""
        if type(category) is int and category >= 0:
            return self.labels.get(category)
        return self.labels.get(self.numbers.number(category)) if isinstance(category, str) else None

    def entries(self, file: IO[bytes]) -> Iterator[tuple[IndexedImage, Sequence[int], Sequence[Any]]]:
        """Yield each image with its annotations in the opened file: their places in the list, and they."""
        for first, last in self._portions():
            begin = int(self.starts[first])
            positions = self.order[begin : self.starts[last]]
            found = self._read(file, positions)
            edges = (self.starts[first : last + 1] - begin).tolist()
            for number, start, end in zip(range(first, last), edges[:-1], edges[1:], strict=True):
                yield self.images[number], positions[start:end].tolist(), found[start:end]

    def _portions(self) -> Iterator[tuple[int, int]]:
        """The first image and the one after the last of each portion."""
        n_bytes = self.places[self.order[: self.starts[-1]], 1]
        before = np.concatenate(([0], np.cumsum(n_bytes)))[self.starts[:-1]]
        edges = np.flatnonzero(np.diff(before // _PORTION)) + 1
        numbers = [0, *edges.tolist(), len(self.images)]
        return pairwise(numbers)

    def _read(self, file: IO[bytes], positions: Ints) -> list[Any]:
        """Read the annotations at those positions. Those that lie one after another are read as one text."""
        offsets, ends = self.places[positions, 0], self.places[positions].sum(axis=1)
        gaps = offsets[1:] - ends[:-1]
        is_apart = (np.diff(positions) != 1) | (gaps < 0) | (gaps > _FARTHEST)
        for breaks in (np.flatnonzero(is_apart) + 1, np.arange(1, len(positions))):
            starts = offsets[np.concatenate(([0], breaks))] if len(positions) else offsets
            stops = ends[np.concatenate((breaks - 1, [len(positions) - 1]))] if len(positions) else ends
            parts = (
                os.pread(file.fileno(), stop - start, start)
                for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
            )
            try:
                found: list[Any] = parse_json(b"[" + b",".join(parts) + b"]", str(self.path))
            except FormatError:
                continue  # a list that is there twice may lie between two annotations
            if len(found) == len(positions):
                return found
        raise FormatError(f"{self.path} has changed since it was opened: try again")


def index_coco(path: Path) -> CocoIndex:
    """Go through a dataset once. Ids may be text.

    Raises FormatError for a file that is none, and for images and categories that are wrong or there twice.
    """
    index = _Index(path)
    lists: dict[str, ReadElement] = {
        "images": index.add_image,
        "annotations": index.add_annotation,
        "categories": index.add_category,
    }
    read_lists(path, lists, "a COCO dataset")
    owners = index.owners()
    order = np.argsort(owners, kind="stable")
    return CocoIndex(
        path,
        index.images,
        index.labels,
        frozenset(index.stuff),
        Numbers(index.of_names),
        np.array(index.places, dtype=np.int64).reshape(-1, 2),
        order,
        np.searchsorted(owners[order], np.arange(len(index.images) + 1)),
    )


class _Index:
    """The parts of a file that are kept while it is read. Ids that are names get the numbers below 0."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.images: list[IndexedImage] = []
        self.labels: dict[int, str] = {}
        self.stuff: set[str] = set()
        self.places = array("q")
        self.of_names: dict[str, int] = {}
        self._owners = array("q")
        self._seen: set[int | str] = set()

    def add_image(self, image: Any, *_: int) -> None:
        where = f"{self._path}, images {len(self.images)}"
        (image,) = whole_numbers([image], "id", "width", "height")
        if problem := image_problem(_numbered(image)):
            raise FormatError(f"{where}: {problem}")
        name, key = image.get("file_name"), self._number(image["id"])
        if not isinstance(name, str) or name in self._seen:
            raise FormatError(f"{where}: expected a file_name of its own, not {name!r:.60}")
        if key in self._seen:
            raise FormatError(f"{self._path}, images: the id {image['id']!r} is there twice")
        self._seen |= {name, key}
        self.images.append(IndexedImage(key, name, image.get("width") or None, image.get("height") or None))

    def add_category(self, category: Any, *_: int) -> None:
        (category,) = whole_numbers([category], "id")
        if problem := category_problem(_numbered(category)):
            raise FormatError(f"{self._path}, categories {len(self.labels)}: {problem}")
        key, name = self._number(category["id"]), category["name"]
        for what, known, value in (("id", self.labels, key), ("name", self.labels.values(), name)):
            if value in known:
                raise FormatError(f"{self._path}, categories: the {what} {category[what]!r} is there twice")
        self.labels[key] = name
        if category.get("supercategory") == "stuff":
            self.stuff.add(name)

    def add_annotation(self, entry: Any, offset: int, n_bytes: int) -> None:
        if not isinstance(entry, dict):
            raise self._annotation_error(f"expected an object, not {name_kind(entry)}")
        image = whole_number(entry.get("image_id"))
        if not is_id(image) and not isinstance(image, str):
            raise self._annotation_error(f"expected a whole number or text as image_id, not {image!r:.60}")
        self._owners.append(self._number(image))
        self.places.append(offset)
        self.places.append(n_bytes)

    def _annotation_error(self, problem: str) -> FormatError:
        return FormatError(f"{self._path}, annotations {len(self._owners)}: {problem}")

    def owners(self) -> Ints:
        """The place of each annotation's image; for one that is not listed, the number of images."""
        keys = np.array([image.key for image in self.images], dtype=np.int64)
        wanted = np.array(self._owners, dtype=np.int64)
        by_key = np.argsort(keys)
        found = np.searchsorted(keys, wanted, sorter=by_key)
        places = np.append(by_key, len(keys))[found]
        is_listed = np.append(keys, -1)[places] == wanted
        return np.where(is_listed & (places < len(keys)), places, len(keys))

    def _number(self, key: int | str) -> int:
        if isinstance(key, str) and not spells_number(key):
            return self.of_names.setdefault(key, -1 - len(self.of_names))
        return int(key)


def _numbered(entry: Any) -> Any:
    """The entry with any number in place of a text as id, for checks that want numbers."""
    is_text = isinstance(entry, dict) and isinstance(entry.get("id"), str)
    return {**entry, "id": 0} if is_text else entry
