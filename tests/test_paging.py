"""Fetching ahead: the same items, one of them early, and errors where they belong."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from detseg.paging import ahead


def test_the_next_item_is_fetched_while_one_is_in_use() -> None:
    fetched = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        fetched.set()
        yield 2

    items = ahead(source())
    assert next(items) == 1
    assert fetched.wait(10)
    assert list(items) == [2]


def test_an_error_of_the_source_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    items = ahead(source())
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_of_nothing_comes_nothing() -> None:
    assert list(ahead([])) == []
