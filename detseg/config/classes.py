"""The sections of the settings that say what annotators are asked for, and how that has changed."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from detseg.config.sections import ClassName, Section, plain
from detseg.taxonomy import Change, ChangeKind


def _on_one_line(text: object) -> object:
    return " ".join(text.split()) if isinstance(text, str) else text


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


ClassNames = Annotated[tuple[ClassName, ...], BeforeValidator(_listed)]
Words = Annotated[str, BeforeValidator(_on_one_line), AfterValidator(plain)]
"""Text for people. How it is cut into lines says nothing."""


class ClassSettings(Section):
    """What annotators are asked for: a table ``[[classes]]`` each. Without any, the models' own labels."""

    name: ClassName = Field(description="what annotators see and exports say")
    kind: Literal["thing", "stuff"] = Field(
        default="thing", description="a thing can be counted (bolt), stuff cannot (belt)"
    )
    colour: str | None = Field(
        default=None, pattern=r"^#[0-9a-fA-F]{6}$", description="#rrggbb; without it, one unlike the others"
    )
    aliases: tuple[ClassName, ...] = Field(default=(), description="other names that a model uses for it")
    definition: Words = Field(default="", description="what it is, for annotators and dataset versions")
    dos: tuple[Words, ...] = Field(default=(), description="what to label so")
    donts: tuple[Words, ...] = Field(default=(), description="what not to label so")
    examples: tuple[ClassName, ...] = Field(
        default=(), description="pictures of it: files, or http and https URLs that browsers load"
    )


class ChangeSettings(Section):
    """A change of the classes: a table ``[[taxonomy.changes]]`` each, the oldest first."""

    id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$", description="a short name of its own: 2026-11-screws"
    )
    date: datetime.date = Field(description="the day, as 2026-11-03")
    kind: ChangeKind = Field(description="what becomes of the old classes")
    old: ClassNames = Field(description="the classes that end: a name, or a list of them")
    new: ClassNames = Field(default=(), description="the classes in their place; none where they are dropped")
    reason: Words = Field(min_length=1, description="why, for those who ask in a year")

    def to_change(self) -> Change:
        return Change(**dict(self))


class TaxonomySettings(Section):
    """How the classes have changed. Old labels are read in the classes of now, and stay as they are."""

    changes: tuple[ChangeSettings, ...] = Field(
        default=(), description="tables [[taxonomy.changes]], the oldest first"
    )
