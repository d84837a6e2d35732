"""The outline of a mask in figures: how long and how rough it is, what pieces and holes it goes around.

Foreground joins over corners (8 neighbours), background over edges only (4), as where masks are cleaned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detseg.geometry.masks import Bitmap
from detseg.geometry.runs import Positions, column_runs
from detseg.types import Box, Mask


@dataclass(frozen=True, slots=True)
class Outline:
    """The outline of a mask as its runs give it, without a look at its pixels."""

    area_px: int
    """Foreground pixels, at least 1."""
    box: Box
    """The tight box of the foreground."""
    length_px: int
    """Sides of pixels between foreground and background, the image's edge included; holes count too."""
    n_pieces: int
    n_holes: int

    @property
    def windings(self) -> float:
        """``length_px`` over that of its box, from 1: 1 for a shape that rows and columns cut but once."""
        x0, y0, x1, y1 = self.box.xyxy
        return self.length_px / (2 * (x1 - x0 + y1 - y0))


def measure_outline(mask: Mask) -> Outline | None:
    """The outline of a mask; None for an empty one. Bounded by runs and columns, not by pixels."""
    columns, tops, bottoms = column_runs(mask)
    if columns.size == 0:
        return None
    stride = mask.size.height + 2  # background above and below, so that no neighbour is in another column
    starts, ends = columns * stride + tops + 1, columns * stride + bottoms + 1
    first = np.searchsorted(ends, starts - stride, side="left")  # runs to the left, over corners too
    n_left = np.searchsorted(starts, ends - stride, side="right") - first
    runs = np.concatenate((starts, ends))
    flips = np.concatenate((runs, runs + stride))  # of the mask xor itself shifted by a column: upright sides
    flips.sort()
    n_pieces = _count_pieces(first, n_left)
    return Outline(
        area_px=int((ends - starts).sum()),
        box=Box(float(columns[0]), float(tops.min()), float(columns[-1] + 1), float(bottoms.max())),
        length_px=2 * starts.size + int((flips[1::2] - flips[::2]).sum()),
        n_pieces=n_pieces,
        n_holes=n_pieces - int(starts.size - n_left.sum()),  # the Euler number is runs less what joins them
    )


def roughness(bitmap: Bitmap) -> float:
    """The share of the outline's length that goes where 3x3 neighbours outvote a pixel, in [0, 1].

    0 for straight lines in any direction, for smooth curves and for steps of any size; about 0.3 where every
    pixel of the outline was left to chance. 0 for a bitmap without foreground.
    """
    inside = np.zeros((bitmap.shape[0] + 4, bitmap.shape[1] + 4), dtype=np.uint8)
    inside[2:-2, 2:-2] = bitmap
    rows = inside[:-2] + inside[1:-1] + inside[2:]
    smooth = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] >= 5
    length = _n_sides(inside.view(bool))
    return max(0.0, 1.0 - _n_sides(smooth) / length) if length else 0.0


def _n_sides(bitmap: Bitmap) -> int:
    """Sides of pixels between foreground and background, the bitmap's own edge left out."""
    return np.count_nonzero(bitmap[1:] != bitmap[:-1]) + np.count_nonzero(bitmap[:, 1:] != bitmap[:, :-1])


def _count_pieces(first: Positions, n_left: Positions) -> int:
    """The pieces that runs make; each touches ``n_left`` runs from ``first`` on in the column before.

    Every run leads back to one with nothing left of it; pieces are these, less those that meet further on.
    """
    n_pieces = int(np.count_nonzero(n_left == 0))
    meeting = np.flatnonzero(n_left > 1)
    if n_pieces == 1 or meeting.size == 0:
        return n_pieces
    origin = np.where(n_left == 0, np.arange(first.size), first)
    for _ in range(first.size.bit_length()):  # each time twice as far to the left
        origin = origin[origin]
    n_more = n_left[meeting] - 1
    others = np.repeat(first[meeting] + 1 - (np.cumsum(n_more) - n_more), n_more) + np.arange(n_more.sum())
    met: dict[int, int] = {}
    for pair in zip(np.repeat(origin[meeting], n_more).tolist(), origin[others].tolist(), strict=True):
        a, b = (_follow(met, one) for one in pair)
        if a != b:
            met[max(a, b)] = min(a, b)
            n_pieces -= 1
    return n_pieces


def _follow(met: dict[int, int], one: int) -> int:
    while one in met:
        one = met[one]
    return one
