"""Masks to and from Label Studio's brush run lengths (the ``rle`` of ``brushlabels``).

The format (github.com/thi-ng/umbrella, packages/rle-pack), bits most significant first: a header of the
number of values (32 bits), the word size - 1 (5 bits) and four size widths - 1 (4 bits each); then blocks of
one bit "run or literal", two bits that choose a size width, the number of values - 1 in that width, and one
value (run) or all of them (literal). The values are the RGBA channels of every pixel, row by row; a pixel
is foreground where its alpha is above 127, since the page draws anti-aliased edges.

Both ways go from edges to edges (``detseg.geometry.edges``): the cost follows the runs, not the pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError
from detseg.geometry.edges import columns_to_rows, count_across, edges_to_mask, mask_to_edges, rows_to_columns
from detseg.labelstudio.bits import Ints, pack_bits, read_bits, read_windows
from detseg.types import Mask, Size

_COUNT_BITS, _PARAMETER_BITS = 32, 5 + 4 * 4
_HEADER_BITS = _COUNT_BITS + _PARAMETER_BITS
_WORD_BITS = 8
_WIDTHS = (3, 4, 8, 16)
_PARAMETERS = (_WORD_BITS - 1) << 16 | 0x237F  # word size - 1, then the widths - 1
_N_CHANNELS = 4
_LONGEST_RUN = 2**16 // _N_CHANNELS  # pixels
_SHOWN = 127

_Ints = npt.NDArray[np.int32]


def encode_brush(mask: Mask) -> bytes:
    """The run lengths of a mask, foreground 255 and background 0, exactly as label_studio_sdk encodes them.

    As JSON they are a list of numbers (``detseg.labelstudio.body``).
    """
    entries, values = _runs(mask)
    blocks, n_bits = _blocks_of_runs()
    words = np.concatenate(((mask.size.area * _N_CHANNELS, _PARAMETERS), blocks.take(entries) | values))
    widths = np.concatenate(((_COUNT_BITS, _PARAMETER_BITS), n_bits.take(entries)))
    return pack_bits(words.astype(np.uint64), widths.astype(np.uint64))


def decode_brush(rle: Sequence[int], size: Size) -> Mask:
    """The mask of brush run lengths. Raises FormatError if they are cut off or not of that size."""
    try:
        data = bytes(rle)
    except (ValueError, TypeError) as error:
        raise FormatError(f"brush run lengths are bytes (0 to 255): {error}") from error
    blocks = _read_blocks(data, size)
    lengths, values = blocks.sizes, blocks.values
    if not blocks.is_run.all():  # a literal is runs of one value each
        n_runs = np.where(blocks.is_run, 1, blocks.sizes)
        rank = np.arange(n_runs.sum()) - np.repeat(np.cumsum(n_runs) - n_runs, n_runs)
        starts = np.repeat(blocks.value_bits, n_runs) + rank * blocks.word_bits
        values = read_bits(data, starts, blocks.word_bits)
        lengths = np.repeat(np.where(blocks.is_run, blocks.sizes, 1), n_runs)
    shown = values > _SHOWN
    # A pixel is as its last channel: it belongs to the run in which that lies.
    ends = np.minimum(np.cumsum(lengths) // _N_CHANNELS, size.area)
    has_pixels = np.diff(ends, prepend=0) > 0
    ends, shown = ends[has_pixels], shown[has_pixels]
    flips = np.concatenate(([0], ends[:-1]))[np.diff(shown, prepend=False)]
    edges = np.append(flips, size.area) if flips.size % 2 else flips
    return edges_to_mask(rows_to_columns(edges.astype(np.int32), size), size)


def most_bytes(mask: Mask) -> int:
    """The most bytes that ``encode_brush`` may take for it, without encoding it."""
    n_runs = count_across(mask_to_edges(mask), mask.size) + 1
    n_blocks = n_runs + mask.size.area // _LONGEST_RUN
    return (_HEADER_BITS + n_blocks * (3 + _WIDTHS[-1] + _WORD_BITS)) // 8 + 1


def _runs(mask: Mask) -> tuple[_Ints, _Ints]:
    """The blocks row by row: which of ``_blocks_of_runs`` each is, and its value."""
    edges = columns_to_rows(mask_to_edges(mask), mask.size)
    lengths = np.diff(edges, prepend=np.int32(0), append=np.int32(mask.size.area))  # 0 if there is no run
    values = np.zeros_like(lengths)
    values[1::2] = 255
    if lengths.max() <= _LONGEST_RUN:
        return lengths, values
    n_blocks = np.maximum(-(-lengths // _LONGEST_RUN), 1)
    last = np.cumsum(n_blocks) - 1
    entries = np.full(last[-1] + 1, _LONGEST_RUN, dtype=np.int32)
    entries[last] = lengths - np.maximum(n_blocks - 2, 0) * _LONGEST_RUN
    return entries, np.repeat(values, n_blocks)


@cache
def _blocks_of_runs() -> tuple[_Ints, _Ints]:
    """The block of a run of 0, 1, ... pixels without its value, and how many bits it has; 0 of no pixels.

    Then come those of the rest of a longer run: 1, 2, ... pixels in the widest size.
    """
    n_pixels = np.arange(_LONGEST_RUN + 1)
    choice = sum((n_pixels * _N_CHANNELS > 2**width).astype(np.int64) for width in _WIDTHS[:-1])
    choice = np.concatenate((choice, np.full(_LONGEST_RUN, len(_WIDTHS) - 1)))
    n_values = np.concatenate((n_pixels, n_pixels[1:])) * _N_CHANNELS
    widths = np.array(_WIDTHS)[choice]
    blocks = ((4 | choice) << (widths + _WORD_BITS)) + ((n_values - 1) << _WORD_BITS)
    n_bits = 3 + widths + _WORD_BITS
    blocks[0] = n_bits[0] = 0
    return blocks.astype(np.int32), n_bits.astype(np.int32)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """All blocks of a stream: arrays of one length. ``values`` is the first of each, at ``value_bits``."""

    word_bits: int
    is_run: npt.NDArray[np.bool_]
    sizes: Ints
    value_bits: Ints
    values: Ints


def _read_blocks(data: bytes, size: Size) -> _Blocks:
    """All blocks up to the last value that an image of that size has; what comes after it is padding."""
    if len(data) * 8 < _HEADER_BITS:
        raise FormatError(f"brush run lengths have a header of 7 bytes, not {len(data)}")
    header = int.from_bytes(data[:7], "big") >> (56 - _HEADER_BITS)
    n_values, word_bits = header >> _PARAMETER_BITS, (header >> 16 & 0x1F) + 1
    widths = [(header >> shift & 0xF) + 1 for shift in (12, 8, 4, 0)]
    if n_values != _N_CHANNELS * size.area:
        raise FormatError(
            f"a brush mask of a {size} image has {_N_CHANNELS * size.area} values, not {n_values}: it was "
            "made for an image of another size"
        )
    found = _follow(data, widths, word_bits)
    positions = np.frombuffer(struct.pack(f"{len(found)}q", *found), np.int64)  # twice as fast as np.array
    windows = read_windows(data, positions)  # kind, size and first value: 51 bits at most
    kind = (windows >> np.uint64(61)).view(np.int64)
    width = np.array(widths, dtype=np.uint64)[kind & 3]
    sizes = (windows << np.uint64(3) >> (np.uint64(64) - width)).view(np.int64) + 1
    values = (windows << (np.uint64(3) + width) >> np.uint64(64 - word_bits)).view(np.int64)
    value_bits = positions + 3 + width.view(np.int64)
    ends = np.cumsum(sizes)
    n_blocks = int(np.searchsorted(ends, n_values)) + 1
    if n_blocks > sizes.size:
        raise FormatError(f"brush run lengths end after {ends[-1] if ends.size else 0} of {n_values} values")
    blocks = _Blocks(
        word_bits, kind[:n_blocks] >= 4, sizes[:n_blocks], value_bits[:n_blocks], values[:n_blocks]
    )
    n_last = 1 if blocks.is_run[-1] else int(blocks.sizes[-1])
    if blocks.value_bits[-1] + word_bits * n_last > len(data) * 8:
        raise FormatError(f"brush run lengths end within the last of {n_values} values")
    return blocks


def _follow(data: bytes, widths: Sequence[int], word_bits: int) -> list[int]:
    """The bits at which the blocks start, one led to by the other; the padding is taken for blocks too."""
    bits = np.unpackbits(np.frombuffer(data + bytes(8), np.uint8))  # beyond the end: further than any run
    kinds = bits[:-2] << 2 | bits[1:-1] << 1 | bits[2:]  # what a block that starts there would be
    run_bits = bytes(4) + bytes(3 + width + word_bits for width in widths) + bytes(248)
    steps = kinds.tobytes().translate(run_bits)  # how long; 0 for a literal, which says it itself
    position, n_bits = _HEADER_BITS, len(data) * 8
    positions: list[int] = []
    append = positions.append  # a local name: the inner loop runs once per run
    while position < n_bits:
        while step := steps[position]:
            append(position)
            position += step
        if position < n_bits:
            append(position)
            first, width = position + 3, widths[kinds[position]]
            window = int.from_bytes(data[first // 8 : first // 8 + 4].ljust(4, b"\0"), "big")
            n_values = (window >> (32 - width - first % 8) & ((1 << width) - 1)) + 1
            position = first + width + word_bits * n_values
    return positions
