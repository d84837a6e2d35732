"""Figures drawn by matplotlib as inline SVG: text stays text, and colours are the page's own variables.

The same figure is the same markup on every machine: no dates, no ids, no settings of the user. Labels in a
figure are numbers and words of ours, never names from outside. matplotlib is imported when the first
figure is drawn.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
