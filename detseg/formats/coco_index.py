"""COCO files that may be larger than memory: where in the file the annotations of each image are.

Images, categories and the places of annotations are kept, 16 bytes each; annotations are read again where
their image is, wherever in the file they are.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError, NotJson
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
        is_key = is_id(category) or isinstance(category, str)
        return self.labels.get(self.numbers.number(category)) if is_key else None

    def entries(self, file: IO[bytes], number: int) -> tuple[list[int], list[Any]]:
        """The annotations of image number ``number`` in the opened file: where, and what they are."""
        positions = self.order[self.starts[number] : self.starts[number + 1]]
        places = self.places[positions].tolist()
        text = b",".join(os.pread(file.fileno(), n_bytes, offset) for offset, n_bytes in places)
        try:
            found = parse_json(b"[" + text + b"]", str(self.path))
        except NotJson:
            found = []
        if len(found) != len(places):
            raise FormatError(f"{self.path} has changed since it was opened: try again")
        return positions.tolist(), found


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
        where = f"{self._path}, annotations {len(self._owners)}"
        if not isinstance(entry, dict):
            raise FormatError(f"{where}: expected an object, not {name_kind(entry)}")
        image = whole_number(entry.get("image_id"))
        if not is_id(image) and not isinstance(image, str):
            raise FormatError(f"{where}: expected a whole number or text as image_id, not {image!r:.60}")
        self._owners.append(self._number(image))
        self.places.extend((offset, n_bytes))

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
