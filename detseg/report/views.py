"""The parts of the page: tabs of sections of blocks. Templates print them and decide nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from detseg.types import EditKind

Role = Literal["", "quiet", "right", "wrong", "total"]
"""The look of a cell or a bar: ``quiet`` is of little weight, ``right`` and ``wrong`` have a colour."""


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
    """whether its number has room in it; the table beside it has the numbers that do not."""


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
    """the strength of its role's colour behind it, in [0, 1]"""


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
    """An entry of a key: what a colour or a word stands for."""

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
    beside: bool = False
    """whether blocks stand beside each other where there is room"""


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure. ``key`` is its name in tests; ``interval`` how sure it is, ``about`` what it counts; a
    ``quiet`` one is not to be acted on."""

    key: str
    name: str
    value: str
    interval: str = ""
    about: str = ""
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the four questions: the figure that answers it, how sure it is, and how it went.

    ``tab`` is the id of the section that shows more.
    """

    id: str
    question: str
    main: Fact
    verdict: str
    tab: str
    facts: tuple[Fact, ...] = ()
    trend: Chart | None = None
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SuspectView:
    """A label under suspicion; ``picture`` and ``link`` where there are such."""

    rule: str
    score: str
    label: str
    swatch: str | None
    author: str
    reason: str
    image: str
    link: str | None
    picture: Picture | None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in the page. ``uri`` is a data URI."""

    title: str
    uri: str
    width: int
    height: int
    alt: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One edit, in words; of the class that the model (else the person) says."""

    kind: EditKind
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Card:
    """One image of the gallery. ``failure`` says why there are no pictures."""

    name: str
    reason: str
    pictures: tuple[Picture, ...]
    changes: tuple[Change, ...]
    n_kept: int
    facts: str
    task_url: str | None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Colouring:
    """A way to colour the points: its name, the key, and the number of its entry for each point."""

    name: str
    keys: tuple[Key, ...]
    of_points: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dot:
    """A point as the template prints it; ``x`` and ``y`` in thousandths, ``tile`` the place in the sprite."""

    x: int
    y: int
    name: str
    words: str
    colours: str
    tile: str
    link: str | None


@dataclass(frozen=True, slots=True)
class MapView:
    """The map as the template prints it. ``sprite`` is one picture with all thumbnails."""

    dots: tuple[Dot, ...]
    colourings: tuple[Colouring, ...]
    sprite: str


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab of the page: suspects, cards and the map come after the first section."""

    id: str
    title: str
    sections: tuple[Section, ...]
    suspects: tuple[SuspectView, ...] = ()
    cards: tuple[Card, ...] = ()
    labels: tuple[str, ...] = ()
    """The classes by which the cards can be filtered."""
    answers: tuple[Answer, ...] = ()
    map: MapView | None = None
