"""What the page is made of: tabs of sections of blocks. Templates print them and decide nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["", "quiet", "right", "wrong", "total"]
"""How something is set: ``quiet`` is of little weight, ``right`` and ``wrong`` have a colour."""


@dataclass(frozen=True, slots=True)
class Span:
    """An interval on a scale from 0 to 100: its ends and the value between them."""

    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a stacked bar; ``x`` and ``width`` are shares of the bar in percent."""

    name: str
    value: int
    colour: str
    ink: str
    x: float
    width: float
    fits: Literal["always", "wide", "never"]
    """Whether its number has room in it; the table beside it has the numbers that do not."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, smaller words below it, and at most one of span, parts, link."""

    text: str
    detail: str = ""
    role: Role = ""
    swatch: str | None = None
    span: Span | None = None
    parts: tuple[Part, ...] | None = None
    link: str | None = None
    shade: float | None = None
    """How much of its role's colour lies behind it, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column. ``about`` says what it counts, where the name does not."""

    name: str
    kind: Literal["name", "number", "bar", "words"] = "number"
    about: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """The first cell names the row."""

    cells: tuple[Cell, ...]
    total: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """``name`` is read aloud before it; ``matrix`` sets its cells as squares."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    matrix: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture of figures (SVG of our own making) with the figures themselves behind it."""

    title: str
    svg: str
    caption: str = ""
    table: Table | None = None
    swatch: str | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """What a colour or a word stands for."""

    name: str
    meaning: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a section: what is not empty of it is shown, in this order."""

    title: str = ""
    text: str = ""
    missing: str = ""
    """Said where there is nothing to show: what to do to get it."""
    keys: tuple[Key, ...] = ()
    table: Table | None = None
    charts: tuple[Chart, ...] = ()
    points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure beside an answer. ``key`` is its name in tests and styles."""

    key: str
    name: str
    value: str
    interval: str = ""
    about: str = ""
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the four questions: the figure that answers it, how sure it is, and how it went."""

    id: str
    question: str
    main: Fact
    verdict: str
    facts: tuple[Fact, ...] = ()
    trend: Chart | None = None
    tab: str = ""


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab of the page."""

    id: str
    title: str
    sections: tuple[Section, ...]
    count: str = ""
    note: str = ""
