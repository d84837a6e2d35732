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
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError
from detseg.geometry.edges import (
    columns_to_rows,
    count_across,
    edges_to_mask,
    mask_to_edges,
    ring_edges,
    rows_to_columns,
)
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
_MOST_RUNS_PER_RUN = 9
_BYTES_AT_ONCE = 2**16
_LONGEST_BLOCK = 3 + 16 + 32  # bits of a run, by any header

RING = 140
"""Alpha of the ring within an outline: foreground, and paler than the rest. The page knows a click on a mask
by opaque pixels alone, so there have to be some everywhere."""

_Ints = npt.NDArray[np.int32]


def encode_brush(mask: Mask, *, outline_px: int = 0) -> bytes:
    """The run lengths of a mask, foreground 255 and background 0, exactly as label_studio_sdk encodes them.

    With ``outline_px`` a paler ring (``RING``) sets off an outline of that width, so that masks that touch
    are told apart. All is foreground alike.
    As JSON they are a list of numbers (``detseg.labelstudio.json_body``).
    """
    entries, values = _runs(mask, outline_px)
    blocks, n_bits = _blocks_of_runs()
    words = np.concatenate(((mask.size.area * _N_CHANNELS, _PARAMETERS), blocks.take(entries) | values))
    widths = np.concatenate(((_COUNT_BITS, _PARAMETER_BITS), n_bits.take(entries)))
    return pack_bits(words.astype(np.uint64), widths.astype(np.uint64))


def decode_brush(rle: Sequence[int], size: Size) -> Mask:
    """The mask of brush run lengths. Raises FormatError if they are cut off or not of that size.

    However long they are, it needs memory for the image's pixels at most, and reads no more than they need.
    """
    try:
        data = bytes(rle)
    except (ValueError, TypeError) as error:
        raise FormatError(f"brush run lengths are bytes (0 to 255): {error}") from error
    flips: list[_Ints] = []
    end, was_shown = 0, False
    for n_values, values in _read_values(data, size):
        # A pixel is as its last channel: it belongs to the run in which that lies.
        ends, shown = np.minimum(n_values // _N_CHANNELS, size.area), values > _SHOWN
        has_pixels = np.diff(ends, prepend=end) > 0
        ends, shown = ends[has_pixels], shown[has_pixels]
        starts = np.concatenate(([end], ends))[:-1]
        flips.append(starts[np.diff(shown, prepend=was_shown)].astype(np.int32))
        if ends.size:
            end, was_shown = int(ends[-1]), bool(shown[-1])
    edges = np.concatenate(flips)
    edges = np.append(edges, np.int32(size.area)) if edges.size % 2 else edges
    return edges_to_mask(rows_to_columns(edges, size), size)


def most_bytes(mask: Mask, *, outlined: bool = False) -> int:
    """The most bytes that ``encode_brush`` may take for it, without encoding it."""
    n_runs = count_across(mask_to_edges(mask), mask.size) + 1
    if outlined:  # a run ends where the mask does, or does a little above or below
        n_runs *= _MOST_RUNS_PER_RUN
    n_blocks = n_runs + mask.size.area // _LONGEST_RUN
    return (_HEADER_BITS + n_blocks * (3 + _WIDTHS[-1] + _WORD_BITS)) // 8 + 1


def _runs(mask: Mask, outline_px: int) -> tuple[_Ints, _Ints]:
    """The blocks row by row: which of ``_blocks_of_runs`` each is, and its value."""
    edges = columns_to_rows(mask_to_edges(mask), mask.size)
    depths: npt.NDArray[Any] = np.arange(edges.size + 1) % 2
    if outline_px:
        edges = np.concatenate((edges, ring_edges(mask, outline_px)))  # none in both
        steps, order = np.tile(np.array((1, -1), dtype=np.int32), edges.size // 2), np.argsort(edges)
        edges, depths = edges[order], np.concatenate(([0], np.cumsum(steps[order])))
    lengths = np.diff(edges, prepend=np.int32(0), append=np.int32(mask.size.area))  # 0 if there is no run
    values = np.array((0, 255, RING), dtype=np.int32)[depths]
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


def _read_values(data: bytes, size: Size) -> Iterator[tuple[Ints, Ints]]:
    """Yield how many values there are up to the end of each run of one value, and that value; many at a time.

    What comes after the last value of an image of that size is padding.
    """
    widths, word_bits = _read_header(data, size)
    n_read, n_values = 0, _N_CHANNELS * size.area
    for positions in _follow(data, widths, word_bits):
        windows = read_windows(data, positions)  # kind, size and first value: 51 bits at most
        kinds = (windows >> np.uint64(61)).view(np.int64)
        width = np.array(widths, dtype=np.uint64)[kinds & 3]
        sizes = (windows << np.uint64(3) >> (np.uint64(64) - width)).view(np.int64) + 1
        ends = n_read + np.cumsum(sizes)
        needed = slice(int(np.searchsorted(ends, n_values)) + 1)  # up to the block that has the last value
        kinds, sizes, ends = kinds[needed], sizes[needed], ends[needed]
        starts = (positions + 3 + width.view(np.int64))[needed]
        n_words = np.where(kinds >= 4, 1, sizes)
        if ends[-1] >= n_values and starts[-1] + word_bits * n_words[-1] > len(data) * 8:
            raise FormatError(f"brush run lengths end within the last of {n_values} values")
        if not (kinds >= 4).all():  # a literal is runs of one value each
            rank = np.arange(n_words.sum()) - np.repeat(np.cumsum(n_words) - n_words, n_words)
            starts = np.repeat(starts, n_words) + rank * word_bits
            ends = n_read + np.cumsum(np.repeat(np.where(kinds >= 4, sizes, 1), n_words))
        yield ends, read_bits(data, starts, word_bits)
        n_read = int(ends[-1])
        if n_read >= n_values:
            return
    raise FormatError(f"brush run lengths end after {n_read} of {n_values} values")


def _read_header(data: bytes, size: Size) -> tuple[list[int], int]:
    """The four widths that sizes of blocks may have, and the bits of a value."""
    if len(data) * 8 < _HEADER_BITS:
        raise FormatError(f"brush run lengths have a header of 7 bytes, not {len(data)}")
    header = int.from_bytes(data[:7], "big") >> (56 - _HEADER_BITS)
    n_values = header >> _PARAMETER_BITS
    if n_values != _N_CHANNELS * size.area:
        raise FormatError(
            f"a brush mask of a {size} image has {_N_CHANNELS * size.area} values, not {n_values}: it was "
            "made for an image of another size"
        )
    return [(header >> shift & 0xF) + 1 for shift in (12, 8, 4, 0)], (header >> 16 & 0x1F) + 1


def _follow(data: bytes, widths: Sequence[int], word_bits: int) -> Iterator[Ints]:
    """The bits at which the blocks start, one led to by the other, many at a time.

    The padding is taken for blocks too.
    """
    run_bits = bytes(4) + bytes(3 + width + word_bits for width in widths) + bytes(248)
    position, n_bits = _HEADER_BITS, len(data) * 8
    while position < n_bits:
        first = position // 8  # byte of this part; positions in it are from its first bit on
        n_here = min(_BYTES_AT_ONCE * 8, n_bits - first * 8)
        part = data[first : first + n_here // 8 + 1].ljust(n_here // 8 + 1, b"\0")
        bits = np.unpackbits(np.frombuffer(part, np.uint8))
        kinds = bits[:-2] << 2 | bits[1:-1] << 1 | bits[2:]  # what a block that starts there would be
        steps = kinds.tobytes().translate(run_bits)[:n_here]  # how long; 0 for a literal, which says it
        steps = steps.ljust(n_here + _LONGEST_BLOCK, b"\0")  # beyond the part: further than any run
        at = position - first * 8
        found: list[int] = []
        append = found.append  # a local name: the inner loop runs once per run
        while at < n_here:
            while step := steps[at]:
                append(at)
                at += step
            if at < n_here:
                append(at)
                value, width = first * 8 + at + 3, widths[kinds[at]]
                window = int.from_bytes(data[value // 8 : value // 8 + 4].ljust(4, b"\0"), "big")
                n_values = (window >> (32 - width - value % 8) & ((1 << width) - 1)) + 1
                at += 3 + width + word_bits * n_values
        yield np.frombuffer(struct.pack(f"{len(found)}q", *found), np.int64) + first * 8  # not np.array: slow
        position = first * 8 + at
