"""The geometry of the report's charts: numbers in, places out; ``templates/charts.html`` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from detseg.report.drawing import ink_on, parse_colour

_WIDE_BAR_PX, _NARROW_BAR_PX, _DIGIT_PX = 400, 200, 8

CURVE_SIDE = 100
"""Curves are drawn in a square of this side."""

COLUMNS_WIDTH, COLUMNS_HEIGHT = 440, 110


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


def stacked_parts(values: Sequence[tuple[str, int, str]], *, total: int) -> tuple[Part, ...]:
    """The parts of a bar from (name, value, colour), those of value 0 left out; none for a total of 0."""
    parts: list[Part] = []
    x = 0.0
    for name, value, colour in values:
        if value <= 0 or total <= 0:
            continue
        share = value / total
        ink = "#" + bytes(ink_on(parse_colour(colour))).hex()
        parts.append(
            Part(name, value, colour, ink, round(100 * x, 3), round(100 * share, 3), _fits(value, share))
        )
        x += share
    return tuple(parts)


def _fits(value: int, share: float) -> Literal["always", "wide", "never"]:
    needed = _DIGIT_PX * len(str(value)) + 6
    if share * _NARROW_BAR_PX >= needed:
        return "always"
    return "wide" if share * _WIDE_BAR_PX >= needed else "never"


def curve_path(points: Sequence[tuple[float, float]]) -> str:
    """The SVG path of (x, y) points in [0, 1], y up, in a square of ``CURVE_SIDE``; empty for no points."""
    places = [(CURVE_SIDE * x, CURVE_SIDE * (1 - y)) for x, y in points]
    return "".join(f"{'L' if n else 'M'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(places))


def area_path(points: Sequence[tuple[float, float]]) -> str:
    """The SVG path of what lies below that curve."""
    if not points:
        return ""
    last, first = CURVE_SIDE * points[-1][0], CURVE_SIDE * points[0][0]
    return f"{curve_path(points)}L{last:.1f} {CURVE_SIDE}L{first:.1f} {CURVE_SIDE}Z"


@dataclass(frozen=True, slots=True)
class Column:
    """How many values lie in [low, high), and the column that shows it, in pixels of the chart."""

    low: float
    high: float
    n: int
    x: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """Columns over an axis from 0; ``ticks`` are (x, value), at most seven."""

    columns: tuple[Column, ...]
    ticks: tuple[tuple[float, float], ...]
    highest: int


def histogram(values: Sequence[float], *, most: int = 24) -> Histogram | None:
    """Counts of values of 0 and above in at most ``most`` equal columns of a round width; None for none."""
    if not values:
        return None
    largest = max(values)
    width = _round_width(largest / most) if largest > 0 else 1.0
    counts = [0] * max(1, -int(-largest // width))  # rounded up
    for value in values:
        counts[min(int(value / width), len(counts) - 1)] += 1
    highest, step = max(counts), COLUMNS_WIDTH / len(counts)
    columns = tuple(
        Column(i * width, (i + 1) * width, n, i * step + 0.75, step - 1.5, COLUMNS_HEIGHT * n / highest)
        for i, n in enumerate(counts)
    )
    every = -(-len(counts) // 6)
    ticks = tuple((i * step, round(i * width, 9)) for i in range(0, len(counts) + 1, every))
    return Histogram(columns, ticks, highest)


def _round_width(at_least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below ``at_least`` (which is above 0)."""
    power = 1e-6
    while True:
        for digit in (1, 2, 5):
            if digit * power >= at_least * (1 - 1e-9):
                return digit * power
        power *= 10
