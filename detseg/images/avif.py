"""The size of an AVIF's frames, which its decoder makes before it compares them with the container.

Follows the boxes of ISO/IEC 14496-12 to the coded data of its images, and reads there the sequence headers of
AV1 (https://aomediacodec.github.io/av1-spec/, 5.5): no frame is larger than they say.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from detseg.errors import ImageError
from detseg.types import Size

_MOST_BOXES = _MOST_PIECES = 10_000
_SEQUENCE_HEADER = 1
_CODED = b"av01"


def largest_frame(data: bytes) -> Size | None:
    """The largest frame that the file's images may have; None for a file without any.

    Raises ImageError for a container that cannot be followed, and for films.
    """
    try:
        boxes = list(_boxes(data, 0, len(data)))
        if any(kind == b"moov" for kind, _, _ in boxes) and data[8:12] == b"avis":
            raise ImageError("is a film (AVIF sequence): save the frame that is to be labeled as an image")
        sizes = [
            size for kind, start, end in boxes if kind == b"meta" for size in _frames(data, start + 4, end)
        ]
    except (struct.error, IndexError) as error:
        raise ImageError("is damaged: the boxes of its AVIF container end before their time") from error
    return max(sizes, key=lambda size: size.area, default=None)


def _frames(data: bytes, start: int, end: int) -> Iterator[Size]:
    """The sizes of all sequence headers in the coded items of a meta box."""
    found = {kind: (first, last) for kind, first, last in _boxes(data, start, end)}
    if not {b"iinf", b"iloc"} <= found.keys():
        return
    coded = _coded_items(data, *found[b"iinf"])
    for item, coded_data in _items(data, found[b"iloc"][0], found.get(b"idat", (0, 0))[0]):
        if item in coded:
            yield from _sequence_sizes(coded_data)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the content of each box."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        stop = end if length == 0 else start + length
        if not start + head <= stop <= end:
            raise ImageError("is damaged: the boxes of its AVIF container are longer than the file")
        yield kind, start + head, stop
        start = stop
    raise ImageError(f"has more than {_MOST_BOXES:,} boxes: save it anew")


def _coded_items(data: bytes, start: int, end: int) -> frozenset[int]:
    """The numbers of the items that are AV1 images."""
    found = set()
    for kind, first, _ in _boxes(data, start + (6 if data[start] == 0 else 8), end):
        end_of_number = first + 4 + (4 if data[first] == 3 else 2)
        if kind == b"infe" and data.startswith(_CODED, end_of_number + 2):
            found.add(int.from_bytes(data[first + 4 : end_of_number], "big"))
    return frozenset(found)


def _items(data: bytes, start: int, idat: int) -> Iterator[tuple[int, bytes]]:
    """Number and data of each item that the box of locations names."""
    version, sizes = data[start], struct.unpack_from(">H", data, start + 4)[0]
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    at, n_read, n_pieces = start + 6, 0, 0
    width = 4 if version == 2 else 2

    def take(n_bytes: int) -> int:
        nonlocal at
        if at + n_bytes > len(data):
            raise IndexError(at)
        at += n_bytes
        return int.from_bytes(data[at - n_bytes : at], "big")

    n_items = take(width)
    if n_items > _MOST_PIECES:
        raise ImageError(f"has more than {_MOST_PIECES:,} parts: save it anew")
    for _ in range(n_items):
        number = take(width)
        method = take(2) & 15 if version else 0
        take(2)
        base, pieces = take(base_size), []
        for _ in range(take(2)):
            take(index_size if version else 0)
            first = base + take(offset_size) + (idat if method == 1 else 0)
            length = take(length_size) or len(data) - first
            n_read, n_pieces = n_read + length, n_pieces + 1
            if method > 1 or not 0 <= first <= first + length <= len(data) or n_read > 2 * len(data):
                raise ImageError("is damaged: its AVIF container names data that is not there")
            if n_pieces > _MOST_PIECES:
                raise ImageError(f"has its pixels in more than {_MOST_PIECES:,} pieces: save it anew")
            pieces.append(data[first : first + length])
        yield number, b"".join(pieces)


def _sequence_sizes(coded: bytes) -> Iterator[Size]:
    """The sizes that the sequence headers among the units of coded data allow."""
    at = n_units = 0
    while at < len(coded):
        n_units += 1
        if n_units > _MOST_PIECES:
            raise ImageError(f"has its pixels in more than {_MOST_PIECES:,} pieces: save it anew")
        head, start = coded[at], at + 1 + (coded[at] >> 2 & 1)
        length = len(coded) - start
        if head & 2:
            length, start = _leb128(coded, start)
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            yield _sequence_size(coded[start : start + min(length, 256)])
        at = start + length


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        value |= (data[at + place] & 127) << 7 * place
        if data[at + place] < 128:
            return value, at + place + 1
    raise IndexError(at)


def _sequence_size(header: bytes) -> Size:
    """The largest frame. One that is no still picture may give each frame a size of as many bits."""
    bits, at = int.from_bytes(header, "big"), 8 * len(header)

    def take(n_bits: int) -> int:
        nonlocal at
        at -= n_bits
        if at < 0:
            raise IndexError(at)
        return bits >> at & (1 << n_bits) - 1

    take(4)  # profile, and whether it is a still picture
    is_reduced = take(1)
    if is_reduced:
        take(5)
    else:
        if take(1):
            raise ImageError("is an AVIF with the timing of a film: save it anew")
        delays = take(1)
        for _ in range(take(5) + 1):
            take(12)
            take(1 if take(5) > 7 else 0)
            if delays and take(1):
                take(4)
    n_bits = take(4) + 1, take(4) + 1
    width, height = (take(n) + 1 for n in n_bits)
    if is_reduced or all(1 << n < 2 * side + 2 for n, side in zip(n_bits, (width, height), strict=True)):
        return Size(width, height)
    return Size(1 << n_bits[0], 1 << n_bits[1])
