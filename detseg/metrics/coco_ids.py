"""Ids of COCO files: whole numbers, or text where a tool wrote them so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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


def count_texts(entries: Iterable[Any], *keys: str) -> int:
    """How many entries have a text under one of the keys."""
    return sum(isinstance(e, dict) and any(isinstance(e.get(key), str) for key in keys) for e in entries)


def _spells_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19  # fits into 63 bits
