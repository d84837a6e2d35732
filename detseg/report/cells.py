"""The cells of tables: figures in, text with intervals, bars and colours out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar

from detseg.metrics.answers import Unit
from detseg.metrics.edits import EditCounts
from detseg.metrics.intervals import MIN_UNITS, Estimate
from detseg.metrics.shown import show, show_plain
from detseg.report.corrected import EDIT_COLOURS
from detseg.report.drawing import ink_on, parse_colour
from detseg.report.views import Cell, Column, Part, Row, Span, Table
from detseg.report.wording import NOT_DEFINED, format_value, tell
from detseg.taxonomy import Taxonomy
from detseg.types import EDIT_KINDS

Figures = TypeVar("Figures")

_UNKNOWN_COLOUR = "#808080"
_WIDE_BAR_PX, _NARROW_BAR_PX, _DIGIT_PX = 220, 150, 8


def name_cell(name: str, *, taxonomy: Taxonomy | None = None, detail: str = "") -> Cell:
    """The name of a row; with the colour of the class if it is one."""
    return Cell(name, detail, swatch=colour_of(taxonomy, name) if taxonomy is not None else None)


def value_cell(value: float | None, unit: Unit, *, n: int = MIN_UNITS) -> Cell:
    """A figure without an interval, of ``n`` images."""
    return Cell(format_value(value, unit), role="" if show_plain(value, n) == "firm" else "quiet")


def count_cell(n: int) -> Cell:
    """A count; nothing is quiet."""
    return Cell(f"{n:,}", role="" if n else "quiet")


def estimate_cell(estimate: Estimate, unit: Unit, *, noun: str = "image", scale: float | None = None) -> Cell:
    """A figure with its interval; ``scale`` is the value at the right end of a graph of it, if wanted."""
    told = tell(estimate, unit, noun=noun)
    return Cell(
        told.value,
        told.behind,
        role="" if told.level == "firm" else "quiet",
        span=_span(estimate, scale) if scale else None,
    )


def edits_cell(counts: EditCounts, name: str) -> Cell:
    """All edits as one bar of a row."""
    values = [(kind, int(getattr(counts, kind)), EDIT_COLOURS[kind]) for kind in EDIT_KINDS]
    total = sum(n for _, n, _ in values)
    words = ", ".join(f"{n:,} {kind}" for kind, n, _ in values if n) or "nothing"
    return Cell(f"{name}: {words}", parts=stacked_parts(values, total=total))


def stacked_parts(values: Sequence[tuple[str, int, str]], *, total: int) -> tuple[Part, ...]:
    """The parts of a bar from (name, value, colour), those of value 0 left out; none for a total of 0."""
    parts: list[Part] = []
    x = 0.0
    for name, value, colour in values:
        if value <= 0 or total <= 0:
            continue
        share = value / total
        ink = "#" + bytes(ink_on(parse_colour(colour))).hex()
        x_pct, width_pct = round(100 * x, 3), round(100 * share, 3)
        parts.append(Part(name, value, colour, ink, x_pct, width_pct, _fits(value, share)))
        x += share
    return tuple(parts)


def cost_cell(value: float | None, largest: float) -> Cell:
    """A cost in AP with a bar as long as it is large."""
    if value is None:
        return Cell(NOT_DEFINED, role="quiet")
    length = 100.0 * max(0.0, value) / largest if largest > 0 else 0.0
    return Cell(f"{value:+.3f}".replace("-", "−"), span=Span(0.0, length, length), role="wrong")


def table(
    name: str, columns: Iterable[Column | str], rows: Iterable[Row], *, matrix: bool = False
) -> Table | None:
    """A table, or None where it has no row. Plain names head columns of numbers, the first one names."""
    heads = tuple(
        column if isinstance(column, Column) else Column(column, "number" if n else "name")
        for n, column in enumerate(columns)
    )
    found = tuple(rows)
    return Table(name, heads, found, matrix) if found else None


def colour_of(taxonomy: Taxonomy, name: str) -> str:
    """The class's colour ``#rrggbb``; grey for an unknown class."""
    found = taxonomy.find(name)
    return found.colour if found is not None else _UNKNOWN_COLOUR


def in_order(taxonomy: Taxonomy, names: Iterable[str]) -> list[str]:
    """The names in the taxonomy's order, unknown ones last in alphabetical order."""
    order = {name: n for n, name in enumerate(taxonomy.names)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def by_class(taxonomy: Taxonomy, figures: Mapping[str, Figures]) -> list[tuple[Cell, Figures]]:
    """The figures of each class behind the cell of its name, in the taxonomy's order."""
    return [(name_cell(name, taxonomy=taxonomy), figures[name]) for name in in_order(taxonomy, figures)]


def _span(estimate: Estimate, scale: float) -> Span | None:
    shown = show(estimate)
    if shown.value is None or shown.low is None or shown.high is None:
        return None
    low, value, high = (
        round(min(100.0, max(0.0, 100 * x / scale)), 2) for x in (shown.low, shown.value, shown.high)
    )
    return Span(low, value, high)


def _fits(value: int, share: float) -> Literal["always", "wide", "never"]:
    needed = _DIGIT_PX * len(f"{value:,}") + 6
    if share * _NARROW_BAR_PX >= needed:
        return "always"
    return "wide" if share * _WIDE_BAR_PX >= needed else "never"
