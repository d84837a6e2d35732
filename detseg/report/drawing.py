"""Marks on a picture: boxes, masks and name chips, at the picture's own resolution.

A ``Frame`` maps pixels of the image to pixels of the picture, so lines stay equally thick and text
equally large whether the image has 20 or 6000 pixels a side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw

from detseg.geometry.masks import Bitmap, mask_to_box
from detseg.geometry.runs import crop_to_box
from detseg.report.typography import Text, typeset_within
from detseg.types import Box, Mask, Size

Level = TypeVar("Level", np.uint8, np.bool_)
Stroke = Literal["solid", "dashed", "dotted"]
Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the picture, half-open."""

_HALO = (0, 0, 0, 110)  # RGBA
_DASHES: dict[Stroke, tuple[int, int]] = {"dashed": (5, 3), "dotted": (1, 2)}
"""Length of a dash and of the gap after it, in line widths."""

_LONGEST_CHIP, _SHORTEST_CUT = 260, 60

PIXEL_ART_SCALE = 4
"""From this enlargement on, the pixels of the image are shown as squares."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The place of an image of ``size`` in a picture of ``width`` x ``height`` pixels.

    ``emphasis`` makes lines and text larger, for pictures that are shown smaller than they are.
    """

    size: Size
    width: int
    height: int
    emphasis: float = 1.0

    @property
    def scale_x(self) -> float:
        return self.width / self.size.width

    @property
    def scale_y(self) -> float:
        return self.height / self.size.height

    @property
    def line(self) -> int:
        """Line width."""
        return round(min(3, max(2, max(self.width, self.height) / 300)) * self.emphasis)

    @property
    def font_size(self) -> int:
        return round(min(16, max(12, self.width / 46)) * self.emphasis)

    def rectangle(self, box: Box) -> Rectangle:
        """The box in the picture: inside it, and at least one pixel wide and high."""
        x0 = min(self.width - 1, max(0, round(box.x0 * self.scale_x)))
        y0 = min(self.height - 1, max(0, round(box.y0 * self.scale_y)))
        x1 = min(self.width, max(x0 + 1, round(box.x1 * self.scale_x)))
        y1 = min(self.height, max(y0 + 1, round(box.y1 * self.scale_y)))
        return x0, y0, x1, y1


@dataclass(frozen=True, slots=True)
class Place:
    """The place where something was drawn: around it, and a point well inside it."""

    rectangle: Rectangle
    middle: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Chip:
    """A name on its colour. ``anchor`` is what it names; ``spot`` the best place for its middle, if any."""

    anchor: Rectangle
    text: str
    colour: Colour
    spot: tuple[int, int] | None = None


def parse_colour(hex_colour: str) -> Colour:
    """The channels of ``#rrggbb``."""
    return int(hex_colour[1:3], 16), int(hex_colour[3:5], 16), int(hex_colour[5:7], 16)


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever can be read better on that colour (WCAG 2 relative luminance)."""
    return (255, 255, 255) if luminance(colour) < 0.179 else (0, 0, 0)


def luminance(colour: Colour) -> float:
    """WCAG 2 relative luminance, in [0, 1]."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def draw_box(
    picture: Image.Image, rectangle: Rectangle, colour: Colour, *, line: int, stroke: Stroke = "solid"
) -> None:
    """The outline of a box, inside its edges, with a thin dark halo so that it shows on any ground."""
    draw = ImageDraw.Draw(picture, "RGBA")
    x0, y0, x1, y1 = rectangle
    width = min(line, max(1, min(x1 - x0, y1 - y0) // 2))
    draw.rectangle((x0 - 1, y0 - 1, x1, y1), outline=_HALO)
    if x1 - x0 > 2 * width + 2 and y1 - y0 > 2 * width + 2:
        draw.rectangle((x0 + width, y0 + width, x1 - 1 - width, y1 - 1 - width), outline=_HALO)
    if stroke == "solid":
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour, width=width)
        return
    dash, gap = (n * width for n in _DASHES[stroke])
    for a, b in _dashes(x0, x1, dash, gap):
        draw.rectangle((a, y0, b - 1, y0 + width - 1), fill=colour)
        draw.rectangle((a, y1 - width, b - 1, y1 - 1), fill=colour)
    for a, b in _dashes(y0, y1, dash, gap):
        draw.rectangle((x0, a, x0 + width - 1, b - 1), fill=colour)
        draw.rectangle((x1 - width, a, x1 - 1, b - 1), fill=colour)


def draw_mask(
    picture: Image.Image, frame: Frame, mask: Mask, colour: Colour, *, fill: float, line: int, hatched: bool
) -> Place | None:
    """A mask: translucent, with a crisp contour around it and around its holes.

    ``fill`` is the opacity in [0, 1]; ``hatched`` draws it as stripes; ``line`` 0 draws no contour.
    Answers where it is drawn, None for an empty mask.
    """
    placed = scale_mask(mask, frame, margin=line + 1)
    if placed is None:
        return None
    (x0, y0, x1, y1), cover = placed
    inside = cover.point(lambda v: round(v * fill))
    if hatched:
        inside = ImageChops.multiply(cover, _stripes((x0, y0, x1, y1), spacing=4 * max(line, 2)))
    picture.paste(colour, (x0, y0, x1, y1), inside)
    if line:
        inner = levels = np.asarray(cover)
        for _ in range(line - 1):
            inner = _spread(inner, np.minimum)
        outer = _spread(levels, np.maximum)
        halo = Image.fromarray(_spread(outer, np.maximum) - outer).point(lambda v: v * 110 // 255)
        picture.paste((0, 0, 0), (x0, y0, x1, y1), halo)
        picture.paste(colour, (x0, y0, x1, y1), Image.fromarray(outer - inner))
    left, top, right, bottom = cover.getbbox() or (0, 0, 1, 1)
    x, y = _deepest_point(cover)
    return Place((x0 + left, y0 + top, x0 + right, y0 + bottom), (x0 + x, y0 + y))


def scale_mask(mask: Mask, frame: Frame, *, margin: int = 0) -> tuple[Rectangle, Image.Image] | None:
    """The mask at the picture's resolution, cut out: its place and its cover (L, 0 to 255).

    ``margin`` pixels of background stay around it where the picture has them. None for an empty mask.
    """
    window = crop_mask(mask)
    if window is None:
        return None
    left, top, bitmap = window
    height, width = bitmap.shape
    x0 = max(0, math.floor(left * frame.scale_x) - margin)
    y0 = max(0, math.floor(top * frame.scale_y) - margin)
    x1 = min(frame.width, math.ceil((left + width) * frame.scale_x) + margin)
    y1 = min(frame.height, math.ceil((top + height) * frame.scale_y) + margin)
    # the same rectangle in image pixels, and the whole pixels that it touches
    sx0, sx1 = x0 / frame.scale_x, min(x1 / frame.scale_x, float(frame.size.width))
    sy0, sy1 = y0 / frame.scale_y, min(y1 / frame.scale_y, float(frame.size.height))
    px0, py0, px1, py1 = math.floor(sx0), math.floor(sy0), math.ceil(sx1), math.ceil(sy1)
    padded = np.zeros((py1 - py0, px1 - px0), dtype=np.uint8)
    padded[top - py0 : top - py0 + height, left - px0 : left - px0 + width] = bitmap * np.uint8(255)
    cover = Image.fromarray(padded).resize(
        (x1 - x0, y1 - y0), _mask_filter(frame), box=(sx0 - px0, sy0 - py0, sx1 - px0, sy1 - py0)
    )
    return (x0, y0, x1, y1), _sharpen(cover, frame.scale_x)


def crop_mask(mask: Mask) -> tuple[int, int, Bitmap] | None:
    """Left, top and the tight bitmap of the foreground, without decoding the rest; None if there is none."""
    box = mask_to_box(mask)
    return (int(box.x0), int(box.y0), crop_to_box(mask, box)) if box else None


def place_chips(chips: Sequence[Chip], frame: Frame) -> Iterator[tuple[Chip, Rectangle, Text]]:
    """Find a place for each chip, in the order given: the first are served first.

    No two overlap and none leaves the picture. One that finds no room, or that could show only a few
    letters, is left out.
    """
    taken: list[Rectangle] = []
    for chip in chips:
        text = typeset_within(chip.text, frame.font_size, min(_LONGEST_CHIP, frame.width - 8))
        if text.string != chip.text and text.width < _SHORTEST_CUT:
            continue
        width, height = text.width + 8, text.height + 2
        for x, y in _candidates(chip, width, height):
            x, y = min(max(0, x), frame.width - width), min(max(0, y), frame.height - height)
            place = (x, y, x + width, y + height)
            if x >= 0 and y >= 0 and not any(_overlap(place, other) for other in taken):
                taken.append(place)
                yield chip, place, text
                break


def draw_chip(picture: Image.Image, chip: Chip, place: Rectangle, text: Text) -> None:
    """A rounded chip with its text."""
    draw = ImageDraw.Draw(picture, "RGBA")
    x0, y0, x1, y1 = place
    draw.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), radius=3, fill=(*chip.colour, 235))
    draw.text((x0 + 4, y0 + 1), text.string, font=text.font, fill=ink_on(chip.colour))


def draw_text(picture: Image.Image, xy: tuple[int, int], text: Text, colour: Colour) -> None:
    """A line of text with its top left corner there."""
    ImageDraw.Draw(picture).text(xy, text.string, font=text.font, fill=colour)


def draw_cross(picture: Image.Image, rectangle: Rectangle, colour: Colour, *, line: int) -> None:
    """A cross from corner to corner."""
    x0, y0, x1, y1 = rectangle
    draw = ImageDraw.Draw(picture, "RGBA")
    for ends in ((x0, y0, x1 - 1, y1 - 1), (x0, y1 - 1, x1 - 1, y0)):
        draw.line(ends, fill=_HALO, width=line + 2)
        draw.line(ends, fill=colour, width=line)


def _candidates(chip: Chip, width: int, height: int) -> Iterator[tuple[int, int]]:
    x0, y0, x1, y1 = chip.anchor
    if chip.spot is not None and (x1 - x0) > 1.2 * width and (y1 - y0) > 2 * height:
        x, y = chip.spot[0] - width // 2, chip.spot[1] - height // 2
        yield x, y
        yield x, y - height
        yield x, y + height
    yield x0, y0 - height
    yield x0, y1
    yield x1 - width, y0 - height
    yield x1 - width, y1
    yield x0, y0
    yield x1, y0
    yield x0 - width, y0


def _dashes(start: int, end: int, dash: int, gap: int) -> Iterator[tuple[int, int]]:
    for a in range(start, end, dash + gap):
        yield a, min(a + dash, end)


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _mask_filter(frame: Frame) -> Image.Resampling:
    if frame.scale_x <= 1:
        return Image.Resampling.BOX
    return Image.Resampling.NEAREST if frame.scale_x >= PIXEL_ART_SCALE else Image.Resampling.BILINEAR


def _sharpen(cover: Image.Image, scale: float) -> Image.Image:
    """Enlarged masks have a ramp as wide as the scale; this makes it one pixel wide again."""
    if not 1 < scale < PIXEL_ART_SCALE:
        return cover
    return cover.point(lambda v: min(255, max(0, round((v - 127.5) * scale + 127.5))))


def _deepest_point(cover: Image.Image) -> tuple[int, int]:
    """x and y of the point farthest from the edge of a cover, to within a 64th of its longer side."""
    step = max(1, max(cover.size) // 64)
    left = np.pad(np.asarray(cover)[::step, ::step] > 127, 1)
    while (smaller := _spread(left, np.logical_and)).any():
        left = smaller
    rows, columns = np.nonzero(left)
    if rows.size == 0:
        return cover.width // 2, cover.height // 2
    return max(0, int(columns[rows.size // 2]) - 1) * step, max(0, int(rows[rows.size // 2]) - 1) * step


def _spread(levels: npt.NDArray[Level], pick: np.ufunc) -> npt.NDArray[Level]:
    """Pick from each pixel and its eight neighbours, with a ufunc that may be done in any order."""
    tall = levels.copy()
    pick(tall[1:], levels[:-1], out=tall[1:])
    pick(tall[:-1], levels[1:], out=tall[:-1])
    wide = tall.copy()
    pick(wide[:, 1:], tall[:, :-1], out=wide[:, 1:])
    pick(wide[:, :-1], tall[:, 1:], out=wide[:, :-1])
    return wide


def _stripes(rectangle: Rectangle, *, spacing: int) -> Image.Image:
    """Diagonal stripes (L): strong on a third of the ground, faint between; in step across masks."""
    x0, y0, x1, y1 = rectangle
    phase = (np.arange(x0, x1)[None, :] + np.arange(y0, y1)[:, None]) % spacing  # (H, W)
    return Image.fromarray(np.where(phase * 3 < spacing, 200, 45).astype(np.uint8))
