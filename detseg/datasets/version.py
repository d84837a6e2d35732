"""A dataset version as a noun: what was put into it under which rules, and how much it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from detseg.catalog.region_json import decode_labels
from detseg.datasets.sample import Sample, image_bytes, moment_to_us, us_to_moment
from detseg.datasets.splits import split_order
from detseg.taxonomy import Change, LabelClass, change_from_json, class_from_json
from detseg.types import State

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """The recipe of a version: the project's title, its classes, the rules of labels, filter and split.

    ``rules`` and ``split`` are JSON objects; ``where`` is the filter's text, empty for none. ``changes`` are
    those of the classes by which older labels were read, the oldest first.
    """

    project: str
    classes: tuple[LabelClass, ...]
    rules: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    split: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "project": self.project,
            "classes": [one.to_json() for one in self.classes],
            "rules": dict(self.rules),
            "where": self.where,
            "split": dict(self.split),
            **({"changes": [one.to_json() for one in self.changes]} if self.changes else {}),
        }


def recipe_from_json(entry: Mapping[str, Any]) -> Recipe:
    """Return the recipe that ``to_json`` made the object of."""
    return Recipe(
        **{
            **entry,
            "classes": tuple(map(class_from_json, entry["classes"])),
            "changes": tuple(map(change_from_json, entry.get("changes", ()))),
        }
    )


@dataclass(frozen=True, slots=True)
class Counts:
    """The size of a version. ``regions_by_class`` and the others name every key that occurs.

    ``regions_by_split`` has the regions of each class in each split. ``left_out`` says how many images of the
    project are not in it, by the reason. ``duplicates`` counts clusters of near duplicates, the images in
    them, and the pairs of them on two sides (``leaks``).
    """

    images: int = 0
    regions: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    splits: Mapping[str, int] = field(default_factory=dict)
    regions_by_class: Mapping[str, int] = field(default_factory=dict)
    regions_by_split: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    duplicates: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("splits", "regions_by_split"):
            counts = getattr(self, name)
            object.__setattr__(self, name, {key: counts[key] for key in sorted(counts, key=split_order)})
        by_key = (self.states, self.splits, self.regions_by_class, self.left_out, self.duplicates)
        several = [*by_key, *self.regions_by_split.values()]
        figures = [self.images, self.regions, *(n for counts in several for n in counts.values())]
        if not all(type(n) is int and n >= 0 for n in figures):
            raise ValueError("its counts are not all numbers")
        if self.splits.keys() != self.regions_by_split.keys():
            raise ValueError("its counts are of other splits than its regions")

    @property
    def split_names(self) -> str:
        """Return the names of the splits, for messages."""
        return ", ".join(self.splits) or "none"


@dataclass(frozen=True, slots=True)
class Version:
    """A named version. ``id`` is the SHA-256 of what it holds, so equal contents have equal ids.

    ``parent`` is the id of the version that was the newest when this one was made. ``packs`` are the files of
    its rows, by the SHA-256 of their bytes, with how many rows each has, of this version's and of others'.
    """

    name: str
    id: str
    created_at: datetime
    recipe: Recipe
    counts: Counts
    parent: str | None = None
    packs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One image of a version, without its regions, in the types of Parquet, which are cheap to read.

    ``image`` and ``digest`` (of its row) are 32 bytes each. ``source`` is a hash of all that the row was made
    from: an image whose source is the same needs no second look. ``label_lines`` has a line for each region,
    sorted, ``author_lines`` one for each person; ``updated_us`` are microseconds since 1970.
    """

    image: bytes
    digest: bytes
    source: bytes
    pack: str
    split: str
    state: State
    label_lines: str
    author_lines: str
    updated_us: int | None
    metadata: str

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.label_lines.splitlines())

    @property
    def authors(self) -> tuple[str, ...]:
        return tuple(self.author_lines.splitlines())

    @property
    def updated_at(self) -> datetime | None:
        return us_to_moment(self.updated_us)


def version_id(recipe: Recipe, rows: Iterable[IndexRow]) -> str:
    """The SHA-256, in hex, of a recipe and of the rows, which are sorted by image."""
    hashed = hashlib.sha256(json.dumps(recipe.to_json(), sort_keys=True, separators=(",", ":")).encode())
    for row in rows:
        hashed.update(row.image + row.digest + row.split.encode() + b"\0")
    return hashed.hexdigest()


def encode_version(version: Version) -> dict[str, Any]:
    """The version as an object of JSON, but for its name and when it got that."""
    return {
        "format": _FORMAT,
        "id": version.id,
        "recipe": version.recipe.to_json(),
        "counts": asdict(version.counts),
        "parent": version.parent,
        "packs": dict(version.packs),
    }


def decode_version(header: Mapping[str, Any], name: str, entry: Mapping[str, str]) -> Version:
    """The version that ``encode_version`` made ``header`` of, under that name. Raises ValueError for another
    format; also ConfigError, KeyError, TypeError and AttributeError for what that cannot have made."""
    if header["format"] != _FORMAT:
        raise ValueError(f"version {name} has format {header['format']}, and this detseg reads {_FORMAT}")
    recipe = header["recipe"]
    texts = (header["id"], header["parent"] or "", recipe["project"], recipe["where"], *header["packs"])
    tables = (recipe["rules"], recipe["split"], header["packs"])
    if not all(isinstance(one, str) for one in texts) or not all(isinstance(one, Mapping) for one in tables):
        raise ValueError("it has values of other kinds")
    return Version(
        name=name,
        id=header["id"],
        created_at=datetime.fromisoformat(entry["created_at"]),
        recipe=recipe_from_json(header["recipe"]),
        counts=Counts(**header["counts"]),
        parent=header["parent"],
        packs=header["packs"],
    )


@dataclass(frozen=True, slots=True)
class Addition:
    """An image that is new in a version, or not as it was in the parent.

    ``row`` is its row in the index, without a digest and in no pack yet.
    """

    sample: Sample
    source: bytes
    split: str
    row: IndexRow = field(init=False)

    def __post_init__(self) -> None:
        sample = self.sample
        row = IndexRow(
            image=image_bytes(sample.image),
            digest=b"",
            source=self.source,
            pack="",
            split=self.split,
            state=sample.state,
            label_lines="\n".join(sorted(decode_labels(sample.regions).values())),
            author_lines="\n".join(sample.authors),
            updated_us=moment_to_us(sample.updated_at),
            metadata=sample.metadata,
        )
        object.__setattr__(self, "row", row)
