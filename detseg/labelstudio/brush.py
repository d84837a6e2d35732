"""Masks to and from Label Studio's brush run lengths (the ``rle`` of ``brushlabels``).

The format (github.com/thi-ng/umbrella, packages/rle-pack), bits most significant first: a header of the
number of values (32 bits), the word size - 1 (5 bits) and four size widths - 1 (4 bits each); then blocks of
one bit "run or literal", two bits that choose a size width, the number of values - 1 in that width, and one
value (run) or all of them (literal). The values are the RGBA channels of every pixel, row by row; a pixel
is foreground where its alpha is above 127, since the page draws anti-aliased edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError
from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap
from detseg.types import Mask, Size

_HEADER_BITS = 32 + 5 + 4 * 4
_WORD_BITS = 8
_SIZE_WIDTHS = np.array([3, 4, 8, 16])
_LONGEST_RUN = 2**16
_N_CHANNELS = 4

Ints = npt.NDArray[np.int64]


def encode_brush(mask: Mask) -> list[int]:
    """The bytes of a mask, foreground 255 and background 0, exactly as label_studio_sdk encodes them."""
    flat = mask_to_bitmap(mask).ravel()  # (H*W,) row by row
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(starts, append=flat.size) * _N_CHANNELS
    values = np.where(flat[starts], 255, 0)

    n_blocks = -(-lengths // _LONGEST_RUN)  # long runs are cut into full blocks and a rest
    last = np.cumsum(n_blocks) - 1
    sizes = np.full(int(n_blocks.sum()), _LONGEST_RUN)
    sizes[last] = lengths - (n_blocks - 1) * _LONGEST_RUN
    values = np.repeat(values, n_blocks)

    choice = np.repeat(np.digitize(lengths, [8, 16, 256], right=True), n_blocks)  # the rest is as wide
    widths = _SIZE_WIDTHS[choice]
    codes = ((((1 << 2) | choice) << widths | (sizes - 1)) << _WORD_BITS) | values
    body = _pack(codes, 3 + widths + _WORD_BITS, offset=_HEADER_BITS)
    body[: len(_header(flat.size))] |= _header(flat.size)
    return list(body.tobytes())


def decode_brush(rle: Sequence[int], size: Size) -> Mask:
    """The mask of brush run lengths. Raises FormatError if they are cut off or not of that size."""
    data = _bytes(rle)
    blocks = _read_blocks(data)
    n_values = _N_CHANNELS * size.area
    if blocks.n_values != n_values:
        raise FormatError(
            f"a brush mask of a {size} image has {n_values} values, not {blocks.n_values}: it was made for "
            "an image of another size"
        )
    n_runs = np.where(blocks.is_run, 1, blocks.sizes)  # a literal is runs of one value each
    owner = np.repeat(np.arange(n_runs.size), n_runs)
    rank = np.arange(owner.size) - np.repeat(np.cumsum(n_runs) - n_runs, n_runs)
    values = _words(data, blocks.value_bits[owner] + rank * blocks.word_bits, blocks.word_bits)
    lengths = np.where(blocks.is_run[owner], blocks.sizes[owner], 1)
    channels = np.repeat(values > 127, lengths)[:n_values]
    alpha = channels[_N_CHANNELS - 1 :: _N_CHANNELS]
    return bitmap_to_mask(alpha.reshape(size.height, size.width))


@dataclass(frozen=True, slots=True)
class _Blocks:
    """All blocks of a stream: arrays of one length. ``value_bits`` is where the first value starts."""

    n_values: int
    word_bits: int
    is_run: npt.NDArray[np.bool_]
    sizes: Ints
    value_bits: Ints


def _header(n_pixels: int) -> npt.NDArray[np.uint8]:
    bits = n_pixels * _N_CHANNELS
    for value, width in ((_WORD_BITS - 1, 5), *((int(width) - 1, 4) for width in _SIZE_WIDTHS)):
        bits = bits << width | value
    padded = bits << (-_HEADER_BITS % 8)
    return np.frombuffer(padded.to_bytes(-(-_HEADER_BITS // 8), "big"), dtype=np.uint8)


def _pack(codes: Ints, widths: Ints, *, offset: int) -> npt.NDArray[np.uint8]:
    """Codes of at most 32 bits one after another, from that bit on, then 1 to 8 zero bits up to a byte."""
    ends = offset + np.cumsum(widths)
    starts = ends - widths
    n_bytes = int(ends[-1]) // 8 + 1
    shifted = codes << (40 - widths - starts % 8)  # aligned in the five bytes that hold it
    packed = np.zeros(n_bytes + 5, dtype=np.uint8)
    for i in range(5):  # codes share bytes but no bits, so adding is "or"
        part = (shifted >> (8 * (4 - i))) & 0xFF
        packed += np.bincount(starts // 8 + i, weights=part, minlength=packed.size).astype(np.uint8)
    return packed[:n_bytes]


def _bytes(rle: Sequence[int]) -> npt.NDArray[np.uint8]:
    try:
        return np.frombuffer(bytes(rle), dtype=np.uint8)
    except (ValueError, TypeError) as error:
        raise FormatError(f"brush run lengths are bytes (0 to 255): {error}") from error


def _read_blocks(data: npt.NDArray[np.uint8]) -> _Blocks:
    """Follow the blocks from one to the next; what comes after the last value is padding."""
    n_bits = data.size * 8
    if n_bits < _HEADER_BITS:
        raise FormatError(f"brush run lengths have a header of 7 bytes, not {data.size}")
    header = int.from_bytes(data[:7].tobytes(), "big") >> (56 - _HEADER_BITS)
    n_values, word_bits = header >> 21, (header >> 16 & 0x1F) + 1
    widths = [(header >> shift & 0xF) + 1 for shift in (12, 8, 4, 0)]
    stream = int.from_bytes  # a local name, the loop below runs once per block
    raw = data.tobytes() + bytes(8)
    position, n_read = _HEADER_BITS, 0
    is_run: list[bool] = []
    sizes: list[int] = []
    value_bits: list[int] = []
    while n_read < n_values:
        if position >= n_bits:
            raise FormatError(f"brush run lengths end after {n_read} of {n_values} values")
        byte = position >> 3
        window = stream(raw[byte : byte + 4], "big") << (position & 7)  # 32 bits and more from here on
        run, width = window >> 31 & 1, widths[window >> 29 & 3]
        size = (window >> (29 - width) & ((1 << width) - 1)) + 1
        position += 3 + width
        is_run.append(run == 1)
        sizes.append(size)
        value_bits.append(position)
        position += word_bits if run else word_bits * size
        n_read += size
    if position > n_bits:
        raise FormatError(f"brush run lengths end within the last of {n_values} values")
    return _Blocks(
        n_values, word_bits, np.array(is_run, bool), np.array(sizes, np.int64), np.array(value_bits, np.int64)
    )


def _words(data: npt.NDArray[np.uint8], starts: Ints, width: int) -> Ints:
    """The words of that width that start at those bits."""
    padded = np.concatenate((data, np.zeros(8, dtype=np.uint8))).astype(np.int64)
    byte = starts // 8
    window: Ints = np.zeros(starts.size, dtype=np.int64)
    for i in range(5):
        window = np.bitwise_or(window << 8, padded[byte + i])
    return window >> (40 - width - starts % 8) & ((1 << width) - 1)
