"""Long sequences in pages, so that no step holds or asks for everything at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")

PAGE = 500
"""The rows that a query asks for or a transaction holds, where nothing else bounds them."""


def pages(items: Iterable[Item], size: int = PAGE) -> Iterator[tuple[Item, ...]]:
    """The items in their order, in tuples of ``size``; the last one may be shorter.

    >>> list(pages("abcde", 2))
    [('a', 'b'), ('c', 'd'), ('e',)]
    """
    remaining = iter(items)
    while page := tuple(islice(remaining, size)):
        yield page


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The items in their order, each fetched by a thread while the one before it is in use.

    >>> list(ahead(range(3)))
    [0, 1, 2]
    """
    source = iter(items)

    def fetch() -> list[Item]:
        return list(islice(source, 1))

    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(fetch)
        while fetched := coming.result():
            coming = thread.submit(fetch)
            yield fetched[0]
