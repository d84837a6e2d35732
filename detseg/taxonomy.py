"""The project's classes: what annotators are asked for, and how a model's names map to them.

Names meet exactly, then by alias, then by letter case alone; nothing is guessed. What no class takes is
unmapped: it is counted and reported, never silently dropped.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from detseg.errors import ConfigError
from detseg.escaping import has_controls
from detseg.types import Kind

_GOLDEN_RATIO = 0.618033988749895


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One class. ``colour`` is ``#rrggbb``; ``aliases`` are other names that models use for it."""

    name: str
    kind: Kind = "thing"
    colour: str = "#888888"
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """The project's classes, in the order in which annotators see them.

    A name meets a class exactly, by alias or by letter case. Raises ConfigError for a name or alias that
    stands for two classes.
    """

    classes: tuple[LabelClass, ...]
    _by_name: Mapping[str, LabelClass] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, LabelClass] = {}
        for cls in self.classes:
            for name in (cls.name, *cls.aliases):
                if not name.strip():
                    raise ConfigError("a class without a name: give every entry of [[classes]] a name")
                taken = by_name.setdefault(name.casefold(), cls)
                if taken is not cls:
                    raise ConfigError(
                        f"the name {name!r} stands for two classes, {taken.name!r} and {cls.name!r}: "
                        "rename one in [[classes]]"
                    )
        object.__setattr__(self, "_by_name", by_name)

    def find(self, name: str) -> LabelClass | None:
        """Return the class that a model's name means; None if no class takes it."""
        return self._by_name.get(name.casefold())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) is not None

    def __getitem__(self, name: str) -> LabelClass:
        found = self.find(name)
        if found is None:
            raise ConfigError(
                f"the label {name!r} is not in the taxonomy ({', '.join(self.names)}): "
                "add it to [[classes]], or as an alias of one of them"
            )
        return found

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(cls.name for cls in self.classes)

    def of_kind(self, kind: Literal["thing", "stuff"]) -> tuple[LabelClass, ...]:
        return tuple(cls for cls in self.classes if cls.kind == kind)


def distinct_colour(index: int) -> str:
    """A colour ``#rrggbb`` for the class at that position: hues a golden ratio apart."""
    hue = (0.02 + index * _GOLDEN_RATIO) % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, 0.5 + 0.08 * (index % 3 - 1), 0.72)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def taxonomy_of_labels(things: Iterable[str], stuff: Iterable[str] = ()) -> Taxonomy:
    """The taxonomy that a model's own labels make, in their order, things first."""
    kinds: dict[str, Kind] = {}
    for name in things:
        kinds.setdefault(name, "thing")
    for name in stuff:
        kinds.setdefault(name, "stuff")
    if broken := [name for name in kinds if has_controls(name)]:
        raise ConfigError(f"the model's label {broken[0]!r} has control characters: rename it in the model")
    return Taxonomy(
        tuple(LabelClass(name, kind, distinct_colour(i)) for i, (name, kind) in enumerate(kinds.items()))
    )
