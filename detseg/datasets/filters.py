"""``--where``: which images of a project go into a version.

    class = bolt, nut            has a region of one of these classes; != has none of them
    state = labeled              labeled or empty
    author = user-3              one of the people who labeled it, by the number in Label Studio
    updated >= 2026-01-01        by the day (UTC) of its last change: < <= = >= >
    meta.camera = 3, 4           by a column of the manifest, compared as text

Several are joined by ``and``; all of them have to hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from operator import eq, ge, gt, le, lt
from typing import Protocol

from detseg.datasets.splits import read_metadata
from detseg.errors import ConfigError

_TERM = re.compile(
    r"\s*(class|state|author|updated|meta\.[^\s=!<>]+)\s*(!=|<=|>=|=|<|>)\s*(.+?)\s*", re.DOTALL
)
_AND = re.compile(r"\s+and\s+")
_COMPARE: dict[str, Callable[[date, date], bool]] = {"<": lt, "<=": le, "=": eq, ">=": ge, ">": gt}
_META = "meta."


class Described(Protocol):
    """The fields that a filter looks at: an image's row in an index has them."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def state(self) -> str: ...
    @property
    def authors(self) -> tuple[str, ...]: ...
    @property
    def updated_at(self) -> datetime | None: ...
    @property
    def metadata(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Filter:
    """The terms of a filter; without any, it takes every image."""

    terms: tuple[Callable[[Described], bool], ...] = ()

    def __call__(self, image: Described) -> bool:
        return all(term(image) for term in self.terms)


def parse_filter(text: str) -> Filter:
    """Read a filter; an empty text takes everything. Raises ConfigError with the part that is wrong."""
    parts = _AND.split(text.strip()) if text.strip() else []
    return Filter(tuple(_parse_term(part) for part in parts))


def _parse_term(text: str) -> Callable[[Described], bool]:
    found = _TERM.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"--where {text!r}: expected class, state, author, updated or meta.COLUMN, then = or != (for "
            "updated < <= = >= >) and values with commas between them: class = bolt, nut and meta.camera != 3"
        )
    name, sign, given = found.groups()
    if name == "updated":
        return _by_day(text, sign, given)
    if sign not in ("=", "!="):
        raise ConfigError(f"--where {text!r}: {name} is compared with = or != alone")
    values = frozenset(value.strip() for value in given.split(","))
    addresses = sorted(one for one in values if "@" in one and not one.startswith("import:"))
    if name == "author" and addresses:
        raise ConfigError(
            f"--where {text!r}: {addresses[0]} is nobody here, for addresses of people are not kept: write "
            "user-3, with the number that they have in Label Studio (`detseg dataset show NAME` lists them)"
        )
    wanted = sign == "="
    return lambda image: (not values.isdisjoint(_values(image, name))) == wanted


def _values(image: Described, name: str) -> Sequence[str]:
    if name.startswith(_META):
        value = read_metadata(image.metadata).get(name.removeprefix(_META))
        return () if value is None else (value if isinstance(value, str) else f"{value}",)
    if name == "state":
        return (image.state,)
    return image.labels if name == "class" else image.authors


def _by_day(text: str, sign: str, given: str) -> Callable[[Described], bool]:
    try:
        day = date.fromisoformat(given)
        compare = _COMPARE[sign]
    except (ValueError, KeyError) as error:
        raise ConfigError(f"--where {text!r}: expected updated >= 2026-01-31, or < <= = >") from error
    return lambda image: (
        image.updated_at is not None and compare(image.updated_at.astimezone(UTC).date(), day)
    )
