"""The page's charts: numbers in, inline SVG out. Every chart has a table of the same figures behind it.

Text stays text, and colours are the page's own variables. The same figure is the same markup on every
machine: no dates, no ids, no settings of the user. Labels in a figure are numbers and words of ours, never
names from outside. matplotlib is imported when the first figure is drawn.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from detseg.metrics.answers import Unit
from detseg.metrics.intervals import Estimate
from detseg.metrics.shown import show
from detseg.plurals import format_count
from detseg.report.wording import format_estimate, format_interval, format_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Formatter

INK, SOFT, RULE, PAPER = "#010101", "#010102", "#010103", "#010104"
ACCENT, WASH, WRONG, RIGHT = "#010105", "#010106", "#010107", "#010108"
"""Stand for variables of the page's style; no picture ever shows these values themselves."""

_VARIABLES = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    RULE: "var(--rule)",
    PAPER: "var(--surface)",
    ACCENT: "var(--accent)",
    WASH: "var(--wash)",
    WRONG: "var(--wrong)",
    RIGHT: "var(--right)",
}
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "detseg",
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": False,
    "path.simplify": True,
    "font.size": 12,
    "axes.linewidth": 1.0,
    "axes.edgecolor": RULE,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 12,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "xtick.bottom": False,
    "ytick.left": False,
    "xtick.major.pad": 5,
    "ytick.major.pad": 5,
    "text.color": SOFT,
    "grid.color": RULE,
    "grid.linewidth": 1.0,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}
_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_POINTS_PER_INCH = 72


def draw_figure(paint: Callable[[Axes], None], *, width: int, height: int, alt: str) -> str:
    """The SVG of that size in pixels on which ``paint`` draws; ``alt`` says it to who cannot see it."""
    import matplotlib.style
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.style.context(_SETTINGS, after_reset=True):
        size = (width / _POINTS_PER_INCH, height / _POINTS_PER_INCH)
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02)
        figure = Figure(figsize=size, facecolor="none", layout=layout)
        paint(figure.add_subplot(facecolor="none"))
        file = io.StringIO()
        undated = {"Creator": None, "Date": None, "Format": None, "Type": None}
        figure.savefig(file, format="svg", metadata=undated)
    root = _inline(ElementTree.fromstring(file.getvalue()))
    root.attrib = {
        "class": "plot",
        "viewBox": f"0 0 {width} {height}",
        "width": str(width),
        "height": str(height),
        "role": "img",
        "aria-label": alt,
    }
    return ElementTree.tostring(root, encoding="unicode")


def _inline(root: ElementTree.Element) -> ElementTree.Element:
    """Reduce a figure to what may stand in a page of many: no ids that could meet, and no style that could
    leak."""
    marks = {mark.get("id", ""): mark for mark in root.iter(_SVG + "path") if mark.get("id")}
    parts = [part for element in root.iter() for part in _parts(element, marks)]
    plain = ElementTree.Element("svg")
    plain.extend(part for part in parts if part.get("d") != "" and part.get("style") != "fill: none")
    return plain


def _parts(
    element: ElementTree.Element, marks: Mapping[str, ElementTree.Element]
) -> Iterator[ElementTree.Element]:
    """The element as a path or a text of its own; nothing for what only holds others."""
    style = _restyle(element.get("style", ""))
    if element.tag == _SVG + "path" and not element.get("id"):
        yield ElementTree.Element("path", {"d": _round(element.get("d", "")), "style": style})
    elif element.tag == _SVG + "use":
        mark = marks[element.get(_LINK, "").removeprefix("#")]
        place = _round(f"translate({element.get('x', '0')} {element.get('y', '0')})")
        d = _round(mark.get("d", ""))
        yield ElementTree.Element("path", {"d": d, "transform": place, "style": style})
    elif element.tag == _SVG + "text":
        at = {name: _round(element.get(name, "")) for name in ("x", "y") if element.get(name)}
        turn = _round(element.get("transform", ""))
        if turn and not turn.startswith("rotate(-0 "):
            at["transform"] = turn
        text = ElementTree.Element("text", at | {"style": style})
        text.text = element.text
        yield text


def _restyle(style: str) -> str:
    """The declarations with the page's colours; fonts are the page's own."""
    kept = [
        part.strip() for part in style.split(";") if not part.strip().startswith(("font-family", "font:"))
    ]
    return re.sub(r"#[0-9a-f]{6}", lambda found: _VARIABLES.get(found[0], found[0]), "; ".join(kept))


def _round(numbers: str) -> str:
    """Coordinates to a hundredth of a pixel, on one line."""
    short = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), numbers)
    return re.sub(r"\s+", " ", short).strip()


_WIDE, _HIGH = 440, 200
_LINE, _DOT = 2.0, 5.0


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a series. ``flagged`` values are marked: there something changed for certain."""

    label: str
    estimate: Estimate
    flagged: bool = False


def series_chart(points: Sequence[Point], *, unit: Unit, alt: str, line: bool = True) -> str:
    """Values with their intervals, from left to right: a line over time, or dots over ordered groups.

    Values of too little data to act on are grey dots, and no line goes through or over them.
    """

    def paint(axes: Axes) -> None:
        _paint_series(axes, points, line=line)
        _label_ends(axes, [point.label for point in points], every=line)
        _scale(axes, points, unit)

    return draw_figure(paint, width=_WIDE, height=_HIGH, alt=f"{alt}: {_in_words(points, unit)}")


def sparkline(points: Sequence[Point], *, unit: Unit, alt: str) -> str:
    """The same small and bare, with its first and last label."""

    def paint(axes: Axes) -> None:
        _paint_series(axes, points, line=True)
        axes.set_yticks([])
        axes.spines["bottom"].set_visible(False)
        labels = [point.label for point in points]
        axes.set_xticks([0, len(labels) - 1], [labels[0], labels[-1]])
        axes.set_xlim(-0.1, len(labels) - 0.9)
        first, last = axes.get_xticklabels()
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")
        axes.margins(y=0.12)

    return draw_figure(paint, width=260, height=76, alt=f"{alt}: {_in_words(points, unit)}")


def _paint_series(axes: Axes, points: Sequence[Point], *, line: bool) -> None:
    for run in _runs(points):
        x, low, value, high = ([entry[n] for entry in run] for n in range(4))
        if line and len(x) > 1:
            axes.fill_between(x, low, high, color=WASH, linewidth=0)
            axes.plot(x, value, color=ACCENT, linewidth=_LINE)
            axes.plot(x[-1:], value[-1:], marker="o", markersize=_DOT, color=ACCENT)
        else:
            axes.vlines(x, low, high, color=ACCENT, linewidth=_LINE, alpha=0.55)
            axes.plot(x, value, linestyle="", marker="o", markersize=_DOT + 1, color=ACCENT)
    told = [
        (i, told.value, told.level)
        for i, p in enumerate(points)
        if (told := show(p.estimate)).value is not None
    ]
    few = [(i, value) for i, value, level in told if level == "rough"]
    axes.plot(
        [i for i, _ in few],
        [v for _, v in few],
        linestyle="",
        marker="o",
        markersize=_DOT,
        color=SOFT,
        alpha=0.6,
    )
    marked = [(i, value) for i, value, _ in told if points[i].flagged]
    ring: dict[str, Any] = {"markersize": _DOT + 3, "markerfacecolor": PAPER, "markeredgecolor": WRONG}
    axes.plot(
        [i for i, _ in marked], [v for _, v in marked], linestyle="", marker="o", markeredgewidth=2, **ring
    )


def _runs(points: Sequence[Point]) -> Iterator[list[tuple[int, float, float, float]]]:
    """Place, low end, value and high end of the values to act on, those beside each other together."""
    for level, run in groupby(enumerate(points), key=lambda one: show(one[1].estimate).level):
        if level == "firm":
            shown = [(i, show(point.estimate)) for i, point in run]
            yield [
                (i, s.low, s.value, s.high)
                for i, s in shown
                if s.low is not None and s.value is not None and s.high is not None
            ]


def _label_ends(axes: Axes, labels: Sequence[str], *, every: bool) -> None:
    """At most seven labels below the axis, evenly spread, the last one always."""
    step = max(1, -(-len(labels) // 7)) if every else 1
    places = list(range(len(labels) - 1, -1, -step))[::-1]
    axes.set_xticks(places, [labels[i] for i in places])
    axes.set_xlim(-0.4, max(len(labels) - 0.6, 0.6))


def _scale(axes: Axes, points: Sequence[Point], unit: Unit) -> None:
    """A scale of four or five round values that holds every interval; a share never leaves [0, 1]."""
    from matplotlib.ticker import MaxNLocator

    ends = [
        end
        for p in points
        for end in (p.estimate.low, p.estimate.high, show(p.estimate).value)
        if end is not None
    ]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    room = max((high - low) * 0.12, 0.02 if unit in ("share", "score") else abs(high) * 0.05, 1e-9)
    low, high = low - room, high + room
    if unit in ("share", "score"):
        low, high = max(0.0, low), min(1.0, high)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(_formatter(unit))
    axes.grid(axis="y")


def precision_recall_chart(recall: Sequence[float], precision: Sequence[float], *, alt: str) -> str:
    """One curve in its square; it ends where recall is out of reach."""
    reached = [(r, p) for r, p in zip(recall, precision, strict=True) if p > 0]

    def paint(axes: Axes) -> None:
        _unit_square(axes)
        x, y = [r for r, _ in reached], [p for _, p in reached]
        if reached:
            axes.fill_between(x, 0, y, color=WASH, linewidth=0)
            axes.plot([*x, x[-1]], [*y, 0.0], color=ACCENT, linewidth=_LINE)

    return draw_figure(paint, width=190, height=165, alt=alt)


def reliability_chart(bins: Sequence[tuple[float, float, int]], *, alt: str) -> str:
    """Plot what the model says (mean score, to the right) against what is right (precision, upwards).

    ``bins`` are (mean score, precision, n); a dot's area grows with n.
    """
    largest = max((n for _, _, n in bins), default=1)

    def paint(axes: Axes) -> None:
        _unit_square(axes)
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot([s for s, _, _ in bins], [p for _, p, _ in bins], color=ACCENT, linewidth=1, alpha=0.6)
        sizes = [12 + 70 * n / largest for _, _, n in bins]
        axes.scatter([s for s, _, _ in bins], [p for _, p, _ in bins], s=sizes, color=ACCENT, linewidth=0)

    return draw_figure(paint, width=190, height=165, alt=alt)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.04)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.grid()


def lines_chart(
    x: Sequence[float],
    lines: Sequence[tuple[str, Sequence[float | None]]],
    *,
    alt: str,
    mark: float | None = None,
) -> str:
    """Up to three curves over one axis from 0 to 1, named above; ``mark`` is a place on the axis."""
    styles = ((ACCENT, "solid"), (INK, (0, (5, 2))), (SOFT, (0, (1.5, 2))))

    def paint(axes: Axes) -> None:
        _unit_square(axes)
        for (name, values), (colour, style) in zip(lines, styles, strict=False):
            known = [(a, v) for a, v in zip(x, values, strict=True) if v is not None]
            if not known:
                continue
            axes.plot(*zip(*known, strict=True), color=colour, linewidth=_LINE, linestyle=style, label=name)
        if mark is not None:
            axes.axvline(mark, color=SOFT, linewidth=1)
        axes.legend(loc="lower center", ncols=3, frameon=False, fontsize=12, bbox_to_anchor=(0.5, 1.0))

    return draw_figure(paint, width=_WIDE, height=240, alt=alt)


def _formatter(unit: Unit) -> Formatter:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: format_value(round(float(value), 9), unit))


def _in_words(points: Sequence[Point], unit: Unit) -> str:
    told = [point for point in points if show(point.estimate).value is not None]
    if not told:
        return "no value yet"
    first, last = told[0], told[-1]
    ends = [
        f"{p.label} {format_estimate(p.estimate, unit)} ({format_interval(p.estimate, unit)})"
        for p in (first, last)
    ]
    return f"{format_count(len(told), 'value')}, from {' to '.join(dict.fromkeys(ends))}"
