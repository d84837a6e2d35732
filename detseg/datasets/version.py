"""A dataset version as a noun: what was put into it under which rules, and how much it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from detseg.datasets.sample import Sample, image_bytes
from detseg.taxonomy import LabelClass
from detseg.types import State


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a version was made by: the project's title, its classes, the rules of labels, filter and split.

    ``rules`` and ``split`` are JSON objects; ``where`` is the filter's text, empty for none.
    """

    project: str
    classes: tuple[LabelClass, ...]
    rules: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    split: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "project": self.project,
            "classes": [{**asdict(one), "aliases": list(one.aliases)} for one in self.classes],
            "rules": dict(self.rules),
            "where": self.where,
            "split": dict(self.split),
        }


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a version holds. ``regions_by_class`` and the others name every key that occurs.

    ``left_out`` says how many images of the project are not in it, by the reason.
    """

    images: int = 0
    regions: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    splits: Mapping[str, int] = field(default_factory=dict)
    regions_by_class: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


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
    """One image of a version, without its regions.

    ``image`` and ``digest`` (of its row) are 32 bytes each. ``source`` is a hash of all that the row was made
    from: an image whose source is the same needs no second look. ``labels`` has an entry for each region,
    sorted.
    """

    image: bytes
    digest: bytes
    source: bytes
    pack: str
    split: str
    state: State
    labels: tuple[str, ...]
    authors: tuple[str, ...]
    updated_at: datetime | None
    metadata: str


def version_id(recipe: Recipe, rows: Iterable[IndexRow]) -> str:
    """The SHA-256, in hex, of a recipe and of the rows, which are sorted by image."""
    hashed = hashlib.sha256(json.dumps(recipe.to_json(), sort_keys=True, separators=(",", ":")).encode())
    for row in rows:
        hashed.update(row.image + row.digest + row.split.encode() + b"\0")
    return hashed.hexdigest()


@dataclass(frozen=True, slots=True)
class Addition:
    """An image that is new in a version, or not as it was in the parent."""

    sample: Sample
    source: bytes
    split: str

    def index_row(self, digest: bytes) -> IndexRow:
        """Its row in the index, in no pack yet."""
        annotation = self.sample.annotation
        return IndexRow(
            image=image_bytes(annotation.image),
            digest=digest,
            source=self.source,
            pack="",
            split=self.split,
            state=annotation.state,
            labels=tuple(sorted(region.instance.label for region in annotation.regions)),
            authors=self.sample.authors,
            updated_at=annotation.updated_at,
            metadata=self.sample.metadata,
        )
