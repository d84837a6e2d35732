"""The parts of EXIF that browsers follow: how an image is turned, and at which size it is shown.

This is the way of Chromium, tried file by file (tests/images/test_orientation.py): values of the right type,
one of each, in the first directory or the EXIF directory that it points to; of several the first that is
valid. XMP, thumbnails' directories and ImageMagick's profiles are not looked at.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from detseg.types import Size

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 0x0112, 0x011A, 0x011B, 0x0128
_EXIF_DIRECTORY, _WIDTH, _HEIGHT = 0x8769, 0xA002, 0xA003
_SHORT, _LONG, _RATIONAL = 3, 4, 5
_TYPES = {
    _ORIENTATION: (_SHORT,),
    _UNIT: (_SHORT,),
    _X_RESOLUTION: (_RATIONAL,),
    _Y_RESOLUTION: (_RATIONAL,),
    _WIDTH: (_SHORT, _LONG),
    _HEIGHT: (_SHORT, _LONG),
    _EXIF_DIRECTORY: (_LONG,),
}
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_INCHES = 2
_CSS_DPI = 72


@dataclass(frozen=True, slots=True)
class Exif:
    """``orientation`` is 1 (upright) to 8; ``resolution`` and ``asked`` are across and down, 0 if unknown."""

    orientation: int = 1
    resolution: tuple[float, float] = (0.0, 0.0)
    asked: tuple[int, int] = (0, 0)

    def shown(self, stored: Size) -> Size:
        """The size at which a JPEG of so many pixels is shown, before it is turned.

        It is the one that EXIF asks for, if its dots per inch ask for the same.

        >>> Exif(resolution=(144, 144), asked=(320, 240)).shown(Size(640, 480))
        Size(width=320, height=240)
        """
        if 0 in self.resolution or 0 in self.asked:
            return stored
        scaled = (
            math.floor(pixels * _CSS_DPI / dpi + 0.5)
            for pixels, dpi in zip((stored.width, stored.height), self.resolution, strict=True)
        )
        return Size(*self.asked) if tuple(scaled) == self.asked else stored


def read_exif(data: bytes) -> Exif:
    """Read a TIFF structure; what is broken in it counts as missing."""
    order = _BYTE_ORDERS.get(data[:4])
    if order is None or len(data) < 8:
        return Exif()
    found: dict[int, float] = {}
    _read_directory(data, order, struct.unpack_from(f"{order}I", data, 4)[0], found)
    in_inches = found.get(_UNIT) == _INCHES
    return Exif(
        int(found.get(_ORIENTATION, 1)),
        (found.get(_X_RESOLUTION, 0.0), found.get(_Y_RESOLUTION, 0.0)) if in_inches else (0.0, 0.0),
        (int(found.get(_WIDTH, 0)), int(found.get(_HEIGHT, 0))),
    )


def _read_directory(data: bytes, order: str, at: int, found: dict[int, float]) -> None:
    """Adds the valid values of a directory to those that were found before."""
    n_entries = int.from_bytes(data[at : at + 2], "little" if order == "<" else "big")
    for place in range(at + 2, min(at + 2 + 12 * n_entries, len(data) - 11), 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", data, place)
        if tag in found or count != 1 or kind not in _TYPES.get(tag, ()):
            continue
        value = _value(data, order, place + 8, kind)
        if value is None or (tag == _ORIENTATION and not 1 <= value <= 8):
            continue
        found[tag] = value
        if tag == _EXIF_DIRECTORY:
            _read_directory(data, order, int(value), found)


def _value(data: bytes, order: str, place: int, kind: int) -> float | None:
    if kind == _SHORT:
        return float(struct.unpack_from(f"{order}H", data, place)[0])
    long: int = struct.unpack_from(f"{order}I", data, place)[0]
    if kind == _LONG:
        return long
    if long + 8 > len(data):
        return None
    over, under = struct.unpack_from(f"{order}II", data, long)
    return over / under if under else None
