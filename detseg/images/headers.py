"""A look at an image's bytes before a decoder gets them: its EXIF as browsers find it, and its pieces.

Pillow reads headers in Python, piece by piece, and a file of many small pieces keeps it busy for minutes. So
pieces are counted here first, and a number that no camera or program comes near is refused.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from detseg.errors import ImageError
from detseg.images.avif import largest_frame
from detseg.images.exif import Exif, read_exif
from detseg.types import Size

_MOST_SEGMENTS = 10_000  # before a JPEG's pixels; a camera writes 20, some write depth maps into 1,000
_MOST_HEAD_BYTES = 32_000_000
_MOST_JUNK_BYTES = 1_000_000  # between the segments, where nothing should be
_MOST_CHUNKS = 200_000  # of a PNG: one of 256 MB has 32,000 as libpng writes them
_MOST_VALUES = 1_000_000  # in the directories of a TIFF, most of them places of strips or tiles
_MOST_DIRECTORIES = 8

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # but restarts, of which pixels are full
_END, _START_OF_SCAN, _APP1 = 0xD9, 0xDA, 0xE1
_WITHOUT_LENGTH = (0x01, 0xD8)
_EXIF_MARK = b"Exif\0"  # and one byte more, whatever it is
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_DIRECTORIES = (0x8769, 0x8825, 0xA005)  # tags of EXIF, GPS and interoperability
_TIFF_BYTES = (1, 2, 7)  # types whose values are taken as they are, all at once


@dataclass(frozen=True, slots=True)
class Header:
    """``n_passes`` says how often a decoder goes over the pixels.

    ``is_cropped``: an AVIF that browsers show a part of. ``frame``: the largest that its decoder makes.
    """

    exif: Exif = field(default_factory=Exif)
    n_passes: int = 1
    is_cropped: bool = False
    frame: Size | None = None


def read_header(data: bytes) -> Header:
    """The header of a file in any format. Raises ImageError for one of too many pieces."""
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg_header(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_header(data)
    if data[4:8] == b"ftyp":
        return _avif_header(data)
    if data.startswith(_TIFF_MARKS):
        _check_tiff(data)
    return Header()


def _jpeg_header(data: bytes) -> Header:
    """The first APP1 segment with EXIF decides, however broken it is, and only before the first scan.

    What stands behind the image, as the film of a phone's photo, is not looked at.
    """
    exif, at, n_junk, n_scans = None, 2, 0, 0
    for _ in range(_MOST_SEGMENTS):
        marker = _MARKER.search(data, at)
        if marker is None or data[marker.end() - 1] == _END:
            return Header(read_exif(exif or b""), max(1, n_scans))
        n_junk += 0 if n_scans else marker.start() - at
        code, at = data[marker.end() - 1], marker.end()
        if n_junk > _MOST_JUNK_BYTES or (at > _MOST_HEAD_BYTES and not n_scans):
            break
        if code in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        segment = data[at + 2 : at + length]
        is_exif = code == _APP1 and segment.startswith(_EXIF_MARK) and len(segment) > 6
        if is_exif and exif is None and not n_scans:
            exif = segment[6:]
        n_scans += code == _START_OF_SCAN
        at += max(length, 2)
    raise ImageError("has far more header than an image needs: save it anew")


def _png_header(data: bytes) -> Header:
    """The first eXIf chunk decides, and only before the pixels."""
    exif, at, has_pixels = None, 8, False
    for _ in range(_MOST_CHUNKS):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"IEND" or len(kind) < 4:
            return Header(read_exif(exif or b""))
        has_pixels = has_pixels or kind == b"IDAT"
        if kind == b"eXIf" and exif is None and not has_pixels:
            exif = data[at + 8 : at + 8 + length]
        at += 12 + length
    raise ImageError(f"has more than {_MOST_CHUNKS:,} chunks: save it anew")


def _avif_header(data: bytes) -> Header:
    """Looks for a clean aperture among the properties of the file's items, and into its coded data."""
    start = data.find(b"ipco")
    length = int.from_bytes(data[max(0, start - 4) : max(0, start)], "big")
    is_cropped = data.find(b"clap", start, start + length) > start
    return Header(is_cropped=is_cropped, frame=largest_frame(data))


def _check_tiff(data: bytes) -> None:
    order, is_big = "<" if data[:2] == b"II" else ">", b"+" in data[2:4]
    number, entry = (f"{order}Q", f"{order}HHQQ") if is_big else (f"{order}H", f"{order}HHII")
    head, size, n_values = struct.calcsize(number), struct.calcsize(entry), 0
    pending = [int.from_bytes(data[8:16] if is_big else data[4:8], "little" if order == "<" else "big")]
    for at in pending:  # which grows
        if at + head > len(data):
            continue
        n_entries = min(struct.unpack_from(number, data, at)[0], (len(data) - at - head) // size)
        for place in range(at + head, at + head + n_entries * size, size):
            tag, kind, count, value = struct.unpack_from(entry, data, place)
            n_values += 1 if kind in _TIFF_BYTES or count > len(data) else 1 + count
            if n_values > _MOST_VALUES:
                raise ImageError(f"has more than {_MOST_VALUES:,} values in its header: save it anew")
            if tag in _TIFF_DIRECTORIES and len(pending) < _MOST_DIRECTORIES:
                pending.append(value)
