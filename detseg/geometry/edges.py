"""Masks as the positions where they flip, in either order, and from one order to the other.

Edges are the ascending positions at which a mask that starts as background flips between background and
foreground, an even number of them (the last may be the mask's area). COCO counts pixels column by column;
Label Studio counts them row by row.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from detseg.types import Mask, Size

Edges = npt.NDArray[np.int32]
"""Positions below 2**31: images have fewer pixels."""


def mask_to_edges(mask: Mask) -> Edges:
    """Find where the mask flips, column by column. Runs without pixels are left out."""
    counts = np.frombuffer(struct.pack(f"{len(mask.counts)}i", *mask.counts), np.int32)  # 3 times np.array
    edges = np.cumsum(counts, dtype=np.int32)
    edges = edges[: edges.size // 2 * 2]  # what follows the last foreground is no edge
    return edges if counts[1:].all() else _odd_ones(edges)


def edges_to_mask(edges: Edges, size: Size) -> Mask:
    """The mask of that size that flips there, column by column."""
    counts = np.diff(edges, prepend=np.int32(0), append=np.int32(size.area))
    return Mask(size, tuple(counts.tolist() if counts[-1] or counts.size == 1 else counts[:-1].tolist()))


def runs_to_edges(starts: npt.NDArray[Any], ends: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Find where a mask flips, from the starts and ends of its runs in order, which may touch but not
    overlap."""
    return without_pairs(np.stack((starts, ends), axis=1).reshape(-1))


def columns_to_rows(edges: Edges, size: Size) -> Edges:
    """Find where a mask flips row by row, from where it flips column by column. Bounded by runs, not by
    pixels."""
    return _across(edges, size.height, size.width)


def rows_to_columns(edges: Edges, size: Size) -> Edges:
    """Find where a mask flips column by column, from where it flips row by row."""
    return _across(edges, size.width, size.height)


def count_across(edges: Edges, size: Size) -> int:
    """Count the edges of a mask row by row, or a few more, from where it flips column by column."""
    starts, ends = _across_along(edges, size.height)
    return int((ends - starts).sum())


def _across(edges: Edges, line: int, n_lines: int) -> Edges:
    """Find where a mask flips when read across its lines, from where it flips along them.

    Read across, a pixel flips where it differs from its neighbour one line before: those pixels are the
    mask xor itself shifted by a line, and the edges of an xor are both masks' edges together. The line after
    the last one is the first pixel of the next reading, where pixels that flip twice do not flip.
    """
    along = _expand(*_across_along(edges, line))
    of_line = along // np.int32(line)
    across = (along - of_line * np.int32(line)) * np.int32(n_lines) + of_line
    across.sort()
    return without_pairs(across)


def _across_along(edges: Edges, line: int) -> tuple[Edges, Edges]:
    """The pixels that flip when read across, as starts and ends of intervals along the lines."""
    both = np.concatenate((edges, edges + np.int32(line)))
    both.sort(kind="stable")  # which only merges the two
    return both[::2], both[1::2]


def _expand(starts: Edges, ends: Edges) -> Edges:
    """All positions of half-open intervals in order, which do not overlap; some may be empty."""
    if starts.size == 0:
        return starts
    after = np.cumsum(ends - starts, dtype=np.int32)
    steps = np.ones(after[-1] + 1, dtype=np.int32)
    steps[0] = starts[0]
    np.add.at(steps, after[:-1], starts[1:] - ends[:-1])  # several at one place where intervals are empty
    return np.cumsum(steps[:-1], dtype=np.int32)


def _odd_ones(edges: Edges) -> Edges:
    """Ascending edges that come an odd number of times, once each."""
    once, times = np.unique(edges, return_counts=True)
    odd: Edges = once[times % 2 == 1]
    return odd


def without_pairs(edges: Edges) -> Edges:
    """Ascending edges without those that come twice; none comes more often."""
    differs = edges[1:] != edges[:-1]
    if differs.all():
        return edges
    differs = np.concatenate(([True], differs, [True]))
    return edges[np.flatnonzero(differs[1:] & differs[:-1])]  # twice as fast as by the mask itself


def inner_edges(mask: Mask, width: int) -> Edges:
    """Find where the mask without its outline flips, row by row: its pixels with no background beside them.

    Beside is up to ``width`` pixels along the row and along the column. What lies at the image's edge has no
    outline there.
    """
    along = mask_to_edges(mask)
    rows = _shrunk(columns_to_rows(along, mask.size), width)
    columns = columns_to_rows(_shrunk(along, width), mask.size)
    return intersect_edges(rows, columns)


def ring_edges(mask: Mask, width: int) -> Edges:
    """Find where a ring within the mask flips, row by row: twice the width, and the width from background."""
    return without_pairs(np.sort(np.concatenate((inner_edges(mask, width), inner_edges(mask, 3 * width)))))


def intersect_edges(first: Edges, second: Edges) -> Edges:
    """Find where the pixels that two masks share flip, from where each flips, all in one order."""
    edges = np.concatenate((first, second))
    steps = np.tile(np.array((1, -1), dtype=np.int32), edges.size // 2)
    order = np.argsort(edges, kind="stable")
    positions, depths = edges[order], np.cumsum(steps[order])
    last = np.append(positions[1:] != positions[:-1], True)[: positions.size]  # of all that flip there
    shared: Edges = positions[last][np.diff(depths[last] == 2, prepend=False)]
    return shared


def _shrunk(edges: Edges, width: int) -> Edges:
    """The runs without their first and last pixels, as many as that."""
    starts, ends = edges[::2] + np.int32(width), edges[1::2] - np.int32(width)
    left = starts < ends
    shrunk: Edges = np.stack((starts[left], ends[left]), axis=1).reshape(-1)
    return shrunk
