"""Text in pictures: any string, any font size, never an error and never wider than its place.

Pillow's built-in font holds about a hundred Latin letters. What it lacks is drawn with a font of the
machine if there is one that has it; else without accents; else as a question mark.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont

_NO_CHARACTER = "\uffff"
_MACHINE_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "Arial.ttf", "segoeui.ttf")


@dataclass(frozen=True, slots=True)
class Text:
    """A string that its font can draw, on one line."""

    string: str
    font: Font

    @property
    def width(self) -> int:
        return int(self.font.getlength(self.string) + 0.999)

    @property
    def height(self) -> int:
        return line_height(self.font)


def line_height(font: Font) -> int:
    """Ascent and descent, in pixels."""
    ascent, descent = font.getmetrics()
    return ascent + descent


def typeset(string: str, size: int) -> Text:
    """That string at that font size in pixels, with every character that cannot be drawn replaced."""
    line = " ".join("".join(c if c.isprintable() else " " for c in string).split())
    plain = _builtin_font(size)
    if _has_all(plain, line):
        return Text(line, plain)
    for name in _MACHINE_FONTS:
        font = _machine_font(name, size)
        if font is not None and _has_all(font, line):
            return Text(line, font)
    return Text("".join(_closest(c) for c in line), plain)


def typeset_within(string: str, size: int, width: int) -> Text:
    """As ``typeset``, cut with an ellipsis so that it is at most ``width`` pixels wide (or empty)."""
    text = typeset(string, size)
    if text.width <= width:
        return text
    low, high = 0, len(text.string)  # the longest prefix that fits lies in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        fits = text.font.getlength(text.string[:middle].rstrip() + "…") <= width
        low, high = (middle, high) if fits else (low, middle)
    return Text(text.string[:low].rstrip() + "…" if low else "", text.font)


@lru_cache(maxsize=64)
def _builtin_font(size: int) -> Font:
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType: install its wheel from the registry")
    return font


@lru_cache(maxsize=64)
def _machine_font(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size=size)
    except OSError:  # this machine has no such font
        return None


def _has_all(font: Font, line: str) -> bool:
    return all(c.isascii() or _has_glyph(font, c) for c in set(line))


@lru_cache(maxsize=4096)
def _has_glyph(font: Font, character: str) -> bool:
    glyph, nothing = font.getmask(character), font.getmask(_NO_CHARACTER)
    return glyph.size != nothing.size or bytes(glyph) != bytes(nothing)


def _closest(character: str) -> str:
    font = _builtin_font(16)
    if character.isascii() or _has_glyph(font, character):
        return character
    stripped = unicodedata.normalize("NFKD", character)[0]
    return stripped if stripped.isascii() else "?"
