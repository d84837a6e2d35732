"""Ids of COCO files: whole numbers, or text where a tool wrote them so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any


@dataclass(frozen=True, slots=True)
class Numbers:
    """The number of every id of a file's images, or of its categories.

    A text of digits is the number it spells, since some tools write ids as text in one file and as numbers in
    the other. Any other text is a name: names get the numbers after the largest, in their order.
    """

    of_names: Mapping[str, int]

    def number(self, id_: Any) -> Any:
        """The number; whatever is no id of these stays what it is."""
        if not isinstance(id_, str):
            return id_
        return int(id_) if _spells_number(id_) else self.of_names.get(id_, id_)

    def renumber(self, entries: Iterable[Any], key: str) -> list[Any]:
        """The entries with numbers under that key; what has none there stays as it is."""
        return [
            {**entry, key: self.number(entry[key])}
            if isinstance(entry, dict) and isinstance(entry.get(key), str)
            else entry
            for entry in entries
        ]


def number_ids(ids: Sequence[Any]) -> Numbers:
    """The numbers of those ids.

    >>> numbers = number_ids([3, "7", "b.jpg", "a.jpg"])
    >>> [numbers.number(id_) for id_ in (3, "3", 7, "7", "a.jpg", "b.jpg", "c.jpg")]
    [3, 3, 7, 7, 8, 9, 'c.jpg']
    """
    texts = {id_ for id_ in ids if isinstance(id_, str)}
    numbers = [id_ for id_ in ids if isinstance(id_, int)] + [
        int(text) for text in texts if _spells_number(text)
    ]
    first = max(numbers, default=-1) + 1
    names = sorted(text for text in texts if not _spells_number(text))
    return Numbers({name: first + n for n, name in enumerate(names)})


def whole_numbers(entries: Iterable[Any], *keys: str) -> list[Any]:
    """The entries with ``1`` for ``1.0`` under those keys, which pandas and others write.

    >>> whole_numbers([{"id": 1.0, "score": 1.0}, {"id": 1.5}, 7], "id")
    [{'id': 1, 'score': 1.0}, {'id': 1.5}, 7]
    """
    return [_whole(entry, keys) for entry in entries]


def _whole(entry: Any, keys: Sequence[str]) -> Any:
    if not isinstance(entry, dict):
        return entry
    changed = {key: int(entry[key]) for key in keys if _is_whole_float(entry.get(key))}
    return {**entry, **changed} if changed else entry


def _is_whole_float(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


@dataclass(frozen=True, slots=True)
class FileNames:
    """Images by what tools write in place of their ids: file name, path, or name without its ending."""

    ids: Mapping[str, int | None]
    """None for what two images are called"""

    def find(self, path: str) -> int | None:
        """The one image that a path ends with, or whose name without ending it is; None if there is none."""
        pure = PurePosixPath(path)
        ends = ("/".join(pure.parts[start:]) for start in range(len(pure.parts)))
        return next(
            (found for name in (path, *ends, pure.stem) if (found := self.ids.get(name)) is not None), None
        )


def file_names(images: Iterable[Mapping[str, Any]]) -> FileNames:
    """The names of a file's images, whose ids are numbers.

    >>> names = file_names([{"id": 1, "file_name": "x/a.jpg"}, {"id": 2, "file_name": "y/a.jpg"}, {"id": 3}])
    >>> [names.find(path) for path in ("/data/x/a.jpg", "y/a.jpg", "a.jpg", "a", "b.jpg")]
    [1, 2, None, None, None]
    >>> file_names([{"id": 7, "file_name": "a.jpg"}]).find("a")
    7
    """
    ids: dict[str, int | None] = {}
    for image in images:
        name = image.get("file_name")
        if isinstance(name, str):
            pure = PurePosixPath(name)
            for key in {name, str(pure.with_suffix("")) if pure.name else name, pure.name, pure.stem}:
                ids[key] = image["id"] if ids.get(key, image["id"]) == image["id"] else None
    return FileNames(ids)


def count_texts(entries: Iterable[Any], *keys: str) -> int:
    """How many entries have a text under one of the keys."""
    return sum(isinstance(e, dict) and any(isinstance(e.get(key), str) for key in keys) for e in entries)


def _spells_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19  # fits into 63 bits
