"""The sheet that panels are laid out on: a title, pictures, captions with counts, a legend of strokes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from detseg.report.drawing import Colour, Stroke, draw_text
from detseg.report.typography import typeset, typeset_within

_PAPER, _CARD, _INK, _QUIET = (244, 245, 247), (255, 255, 255), (23, 27, 33), (91, 99, 110)
_RULE: Colour = (222, 225, 230)
_MARGIN, _GAP, _PAD, _NARROWEST = 28, 20, 14, 320
_TITLE, _BODY, _LINE = 24, 15, 24
_LEGENDS: dict[Stroke, str] = {
    "dashed": "only the detector saw it",
    "dotted": "only the segmenter saw it",
}


@dataclass(frozen=True, slots=True)
class Count:
    """The number of instances of a label in a picture; ``n`` is None for surfaces, which cannot be
    counted."""

    label: str
    colour: Colour
    n: int | None

    def __str__(self) -> str:
        return self.label if self.n is None else f"{self.label} {self.n}"


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture with its caption. ``strokes`` are the marks in it that need a legend."""

    title: str
    picture: Image.Image
    counts: tuple[Count, ...] | None = None
    hatched: bool = False
    strokes: tuple[Stroke, ...] = ()

    @property
    def total(self) -> int:
        return sum(count.n or 0 for count in self.counts or ())


def compose(panels: Sequence[Panel], *, title: str, subtitle: str, stacked: bool) -> Image.Image:
    """The sheet: panels in a row, or stacked in a column, as one RGB picture."""
    widths = [max(_NARROWEST, panel.picture.width) for panel in panels]
    tallest = max((_card_height(p, w) for p, w in zip(panels, widths, strict=True)), default=0)
    cards = [_card(p, w, 0 if stacked else tallest) for p, w in zip(panels, widths, strict=True)]
    inner_w = max((c.width for c in cards), default=_NARROWEST)
    inner_h = max((c.height for c in cards), default=0)
    if stacked:
        inner_h = sum(c.height for c in cards) + _GAP * max(0, len(cards) - 1)
    else:
        inner_w = max(_NARROWEST, sum(c.width for c in cards) + _GAP * max(0, len(cards) - 1))
    head = _MARGIN + 36 + 26 + 12
    sheet = Image.new("RGB", (inner_w + 2 * _MARGIN, head + inner_h + _MARGIN), _PAPER)
    draw_text(sheet, (_MARGIN, _MARGIN), typeset_within(title, _TITLE, inner_w), _INK)
    draw_text(sheet, (_MARGIN, _MARGIN + 36), typeset_within(subtitle, _BODY, inner_w), _QUIET)
    x, y = _MARGIN, head
    for card in cards:
        sheet.paste(card, (x, y))
        x, y = (x, y + card.height + _GAP) if stacked else (x + card.width + _GAP, y)
    return sheet


def _card_height(panel: Panel, width: int) -> int:
    lines = len(list(_wrap(panel.counts or (), width - 2 * _PAD))) + len(panel.strokes)
    return panel.picture.height + _PAD + 30 + _LINE * lines + _PAD - 4


def _card(panel: Panel, width: int, at_least: int) -> Image.Image:
    """The picture on a white card with its caption below; narrow pictures are centred."""
    card = Image.new("RGB", (width, max(at_least, _card_height(panel, width))), _CARD)
    draw = ImageDraw.Draw(card)
    if panel.picture.width < width:
        draw.rectangle((0, 0, width - 1, panel.picture.height - 1), fill=_RULE)
    card.paste(panel.picture, ((width - panel.picture.width) // 2, 0))
    y = panel.picture.height + _PAD
    title = typeset(panel.title, 18)
    draw_text(card, (_PAD, y), title, _INK)
    if panel.counts is not None:
        draw_text(card, (_PAD + title.width + 10, y + 3), typeset(_summary(panel), _BODY), _QUIET)
    y += 30
    for line in _wrap(panel.counts or (), width - 2 * _PAD):
        _draw_counts(card, line, y)
        y += _LINE
    for stroke in panel.strokes:
        _draw_legend(card, stroke, hatched=panel.hatched, y=y)
        y += _LINE
    return card


def _summary(panel: Panel) -> str:
    if not panel.counts:
        return "nothing found"
    return "1 thing" if panel.total == 1 else f"{panel.total} things"


def _wrap(counts: Sequence[Count], width: int) -> Iterator[list[tuple[int, Count]]]:
    """Lines of (x, count) that are at most ``width`` pixels wide."""
    line: list[tuple[int, Count]] = []
    x = 0
    for count in counts:
        wide = 16 + typeset_within(str(count), _BODY, width - 16).width
        if line and x + wide > width:
            yield line
            line, x = [], 0
        line.append((x, count))
        x += wide + 18
    if line:
        yield line


def _draw_counts(card: Image.Image, line: Sequence[tuple[int, Count]], y: int) -> None:
    draw = ImageDraw.Draw(card)
    for x, count in line:
        left = _PAD + x
        draw.rounded_rectangle((left, y + 4, left + 10, y + 14), radius=3, fill=count.colour)
        draw_text(
            card, (left + 16, y), typeset_within(str(count), _BODY, card.width - left - 16 - _PAD), _INK
        )


def _draw_legend(card: Image.Image, stroke: Stroke, *, hatched: bool, y: int) -> None:
    draw = ImageDraw.Draw(card)
    if hatched:
        left, top, right, bottom = _PAD, y + 3, _PAD + 26, y + 15
        draw.rectangle((left, top, right, bottom), outline=_QUIET)
        for x in range(left + 4, right, 6):
            run = min(bottom - top - 2, right - 1 - x)
            draw.line((x, bottom - 1, x + run, bottom - 1 - run), fill=_QUIET)
    else:
        dash, gap = (8, 5) if stroke == "dashed" else (2, 4)
        for x in range(_PAD, _PAD + 26, dash + gap):
            draw.rectangle((x, y + 8, min(x + dash, _PAD + 26) - 1, y + 9), fill=_QUIET)
    draw_text(card, (_PAD + 36, y), typeset(_LEGENDS[stroke], _BODY), _QUIET)
