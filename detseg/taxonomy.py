"""The project's classes: what annotators are asked for, how a model's names map to them, and how they change.

Names meet exactly, then by alias, then by letter case alone; nothing is guessed. What no class takes is
unmapped: it is counted and reported, never silently dropped.

A class that is renamed, merged, dropped or split ends, and its name never comes back. So a name means one
thing for ever, and labels of all times are read in the classes of now without asking when they were made.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any, Literal, get_args

from detseg.errors import ConfigError
from detseg.escaping import has_controls
from detseg.types import Kind

_GOLDEN_RATIO = 0.618033988749895
_COLOUR = re.compile("#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One class. ``colour`` is ``#rrggbb``; ``aliases`` are other names that models use for it.

    The rest is for annotators: what the class is, what to label so and what not, and pictures of it (paths or
    URLs).
    """

    name: str
    kind: Kind = "thing"
    colour: str = "#888888"
    aliases: tuple[str, ...] = ()
    definition: str = ""
    dos: tuple[str, ...] = ()
    donts: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The class as a JSON object, without the guidance that it does not have."""
        entry = {**asdict(self), "aliases": list(self.aliases)}
        guidance = ("definition", "dos", "donts", "examples")
        return {name: value for name, value in entry.items() if value or name not in guidance}


def class_from_json(entry: Mapping[str, Any]) -> LabelClass:
    """Return the class that ``to_json`` made the object of. Raises ValueError for any other."""
    lists = {name: tuple(value) for name, value in entry.items() if isinstance(value, list | tuple)}
    cls = LabelClass(**{**entry, **lists})
    texts = (cls.name, cls.colour, cls.definition, *cls.aliases, *cls.dos, *cls.donts, *cls.examples)
    if not all(isinstance(text, str) for text in texts) or cls.kind not in get_args(Kind):
        raise ValueError(f"{cls.name!r} is no class: it has values of other kinds")
    if not _COLOUR.fullmatch(cls.colour):
        raise ValueError(f"the class {cls.name!r} has no colour #rrggbb")
    return cls


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
                        "rename one in [[classes]], or where there are none in the labeling interface"
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


def classes_of(kinds: Mapping[str, Kind]) -> tuple[LabelClass, ...]:
    """The classes of those names, in their order, each with a colour of its own.

    >>> [(one.name, one.kind) for one in classes_of({"bolt": "thing", "belt": "stuff"})]
    [('bolt', 'thing'), ('belt', 'stuff')]
    """
    return tuple(LabelClass(name, kind, distinct_colour(i)) for i, (name, kind) in enumerate(kinds.items()))


def taxonomy_of_labels(things: Iterable[str], stuff: Iterable[str] = ()) -> Taxonomy:
    """The taxonomy that a model's own labels make, in their order, things first."""
    kinds: dict[str, Kind] = {}
    for name in things:
        kinds.setdefault(name, "thing")
    for name in stuff:
        kinds.setdefault(name, "stuff")
    if broken := [name for name in kinds if has_controls(name)]:
        raise ConfigError(f"the model's label {broken[0]!r} has control characters: rename it in the model")
    return Taxonomy(classes_of(kinds))


ChangeKind = Literal["rename", "merge", "drop", "split"]
_COUNTS: Mapping[ChangeKind, tuple[int, int, int, int, str]] = {
    "rename": (1, 1, 1, 1, "one old class and one new"),
    "merge": (1, 99, 1, 1, "old classes and one new"),
    "drop": (1, 99, 0, 0, "old classes and no new"),
    "split": (1, 1, 2, 99, "one old class and at least two new"),
}
"""The fewest and the most old classes and new ones, and the same in words."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the classes: the ``old`` ones end on that day, the ``new`` ones stand in their place.

    A class may be merged into itself (``old`` may hold the ``new`` one), which does not end it.
    """

    id: str
    date: date
    kind: ChangeKind
    old: tuple[str, ...]
    new: tuple[str, ...]
    reason: str

    @property
    def ended(self) -> tuple[str, ...]:
        return self.old if self.kind != "merge" else tuple(name for name in self.old if name not in self.new)

    def __str__(self) -> str:
        """``rename bolt > screw``, ``merge bolt + stud > screw``, ``split car > van | truck``."""
        became = f" > {' | '.join(self.new)}" if self.new else ""
        return f"{self.kind} {' + '.join(self.old)}{became}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "date": self.date.isoformat(), "old": list(self.old), "new": list(self.new)}


def change_from_json(entry: Mapping[str, Any]) -> Change:
    """Return the change that ``to_json`` made the object of."""
    lists = {name: tuple(entry[name]) for name in ("old", "new")}
    return Change(**{**entry, **lists, "date": date.fromisoformat(entry["date"])})


@dataclass(frozen=True, slots=True)
class Relabeling:
    """The way to read labels of all times in the classes of now.

    ``names`` is what each name that ended became, None where it was dropped. ``split`` are the names that
    became several classes: which one a region is of, only a person can say. ``kinds`` are those of the
    classes of now.
    """

    names: Mapping[str, str | None] = field(default_factory=dict)
    split: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    @property
    def ended(self) -> frozenset[str]:
        """The names that are no classes any more, those that await their split among them."""
        return frozenset((*self.names, *self.split))

    def successor(self, name: str) -> str | None:
        """Return the class of now that a name means, or the split one that it awaits; None for dropped."""
        return self.names.get(name, name)

    def means(self, name: str) -> frozenset[str]:
        """The names of all times that are read as that one."""
        return frozenset((name, *(old for old, now in self.names.items() if now == name)))


NO_CHANGES = Relabeling()


def taxonomy_of_all_times(taxonomy: Taxonomy, relabeling: Relabeling, seen: Taxonomy) -> Taxonomy:
    """The classes of now, and those that ended, each by its own name, as work of before holds them.

    ``seen`` are the classes of an interface that people still draw in: it knows the kinds of ended ones.
    """
    ended = relabeling.ended
    if not ended:
        return taxonomy
    now = (replace(cls, aliases=tuple(set(cls.aliases) - ended)) for cls in taxonomy.classes)
    known = {cls.name: cls for cls in seen.classes}
    kinds = {name: relabeling.kinds.get(relabeling.successor(name) or "", "thing") for name in sorted(ended)}
    before = (known.get(name) or LabelClass(name, kind) for name, kind in kinds.items())
    return Taxonomy((*now, *(replace(cls, aliases=()) for cls in before)))


def relabeling_of(changes: Sequence[Change], classes: Sequence[LabelClass]) -> Relabeling:
    """The changes in their order as one. Raises ConfigError for changes that do not lead to these classes."""
    _check_changes(changes, frozenset(cls.name for cls in classes))
    names: dict[str, str | None] = {}
    split: dict[str, tuple[str | None, ...]] = {}

    def leaves(name: str) -> tuple[str | None, ...]:
        now = names.get(name, name)
        return (None,) if now is None else split.get(now, (now,))

    for change in reversed(changes):  # so that it is known what the new ones became
        became = tuple(dict.fromkeys(leaf for new in change.new for leaf in leaves(new)))
        for old in change.ended:
            if change.kind == "split" and len(became) > 1:
                split[old] = became
            elif change.kind == "split":  # its classes were merged again, or all dropped
                (names[old],) = became
            else:
                names[old] = names.get(change.new[0], change.new[0]) if change.new else None
    choices = {old: tuple(new for new in became if new is not None) for old, became in split.items()}
    return Relabeling(names, choices, {cls.name: cls.kind for cls in classes})


def _check_changes(changes: Sequence[Change], classes: frozenset[str]) -> None:
    ended: dict[str, Change] = {}
    for before, change in zip((None, *changes), changes, strict=False):
        place = f"the change {change.id!r} ({change})"
        least_old, most_old, least_new, most_new, words = _COUNTS[change.kind]
        if not (least_old <= len(change.old) <= most_old and least_new <= len(change.new) <= most_new):
            raise ConfigError(
                f"{place} has {len(change.old)} old and {len(change.new)} new, expected {words}"
            )
        if before is not None and change.date < before.date:
            raise ConfigError(f"{place} is older than {before.id!r} above it: put changes in their order")
        if any(change.id == one.id for one in ended.values()):
            raise ConfigError(f"two changes have the id {change.id!r}: give each its own")
        if back := [name for name in change.new if name in ended or name in change.ended]:
            by = ended.get(back[0], change).id
            raise ConfigError(
                f"{place} brings {back[0]!r} back, which ended with {by!r}: old labels hold that name with "
                "its old meaning, so choose another"
            )
        if gone := [name for name in change.ended if name in ended]:
            raise ConfigError(
                f"{place} takes {gone[0]!r}, which had ended with {ended[gone[0]].id!r}: name what that "
                "became, or put the changes in their order"
            )
        ended |= dict.fromkeys(change.ended, change)
    for name, change in ended.items():
        if name in classes:
            raise ConfigError(
                f"{name!r} ended with the change {change.id!r} ({change}), and is in [[classes]]: take one "
                "of them out"
            )
    for change in changes:
        if unknown := [name for name in change.new if name not in classes and name not in ended]:
            raise ConfigError(
                f"the change {change.id!r} ({change}) leads to {unknown[0]!r}, which is unknown: add it to "
                "[[classes]], or the change that ended it"
            )
