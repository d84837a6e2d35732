"""Masks cut, pasted, turned, united and counted by run lengths, without the bitmap of the whole image.

A run is half-open in column-major positions: ``column * height + row``. Bitmaps here are crops, bool arrays
of shape (h, w) whose upper left pixel lies at (x0, y0) of the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from detseg.geometry.masks import Bitmap, empty_mask, mask_to_bitmap, mask_to_box
from detseg.types import Mask, Size

Positions = npt.NDArray[np.int64]

_ROUNDING = 1e-9
"""What sums of weights may be off by, as a share of all weights."""


def cut_mask(mask: Mask, *, x0: int, y0: int, x1: int, y1: int) -> Mask:
    """The pixels of a window, which lies inside the image, as a mask of the window's size."""
    height = y1 - y0
    columns, tops, bottoms = _column_runs(mask)
    tops, bottoms = np.clip(tops, y0, y1) - y0, np.clip(bottoms, y0, y1) - y0
    inside = (x0 <= columns) & (columns < x1) & (tops < bottoms)
    offsets = (columns - x0) * height
    return _runs_to_mask((offsets + tops)[inside], (offsets + bottoms)[inside], Size(x1 - x0, height))


def cut_bitmap(mask: Mask, *, x0: int, y0: int, x1: int, y1: int) -> Bitmap:
    """The pixels of a window, which lies inside the image: bool of shape (y1-y0, x1-x0)."""
    return mask_to_bitmap(cut_mask(mask, x0=x0, y0=y0, x1=x1, y1=y1))


def paste_bitmap(bitmap: Bitmap, size: Size, *, x0: int, y0: int) -> Mask:
    """The mask of an image of that size that is the bitmap (h, w) at (x0, y0) and background elsewhere."""
    h, w = bitmap.shape
    ended = np.zeros((w, h + 1), dtype=np.int8)  # every column ends with background, so no run leaves it
    ended[:, :h] = bitmap.T
    steps = np.diff(ended.reshape(-1), prepend=0)
    starts, ends = (
        (x0 + at // (h + 1)) * size.height + y0 + at % (h + 1)
        for at in (np.flatnonzero(steps == 1), np.flatnonzero(steps == -1))
    )
    return _runs_to_mask(starts, ends, size)


def paste_mask(mask: Mask, size: Size, *, x0: int, y0: int) -> Mask:
    """The mask of a tile at (x0, y0), which lies inside an image of that size, as a mask of the image."""
    if mask.size == size:
        return mask
    columns, tops, bottoms = _column_runs(mask)
    offsets = (columns + x0) * size.height + y0
    return _runs_to_mask(offsets + tops, offsets + bottoms, size)


def flip_mask(mask: Mask) -> Mask:
    """The mask mirrored, left to right."""
    columns, tops, bottoms = _column_runs(mask)
    order = np.argsort(-columns, kind="stable")
    offsets = (mask.size.width - 1 - columns[order]) * mask.size.height
    return _runs_to_mask(offsets + tops[order], offsets + bottoms[order], mask.size)


def resize_mask(mask: Mask, size: Size) -> Mask:
    """The mask of an image stretched to that size: every pixel is what lies under its centre."""
    box = mask_to_box(mask)
    if mask.size == size:
        return mask
    if box is None:
        return empty_mask(size)
    rows = (2 * np.arange(size.height) + 1) * mask.size.height // (2 * size.height)
    columns = (2 * np.arange(size.width) + 1) * mask.size.width // (2 * size.width)
    x0, x1, y0, y1 = int(box.x0), int(box.x1), int(box.y0), int(box.y1)
    top, bottom = np.searchsorted(rows, (y0, y1))
    left, right = np.searchsorted(columns, (x0, x1))
    bitmap = cut_bitmap(mask, x0=x0, y0=y0, x1=x1, y1=y1)
    stretched = bitmap[np.ix_(rows[top:bottom] - y0, columns[left:right] - x0)]
    return paste_bitmap(stretched, size, x0=int(left), y0=int(top))


def unite_masks(masks: Sequence[Mask]) -> Mask:
    """The pixels that any of the masks has. At least one mask, all of one size."""
    return vote(masks, [1.0] * len(masks), min_share=1.0 / len(masks))


def vote(masks: Sequence[Mask], weights: Sequence[float], *, min_share: float = 0.5) -> Mask:
    """The pixels for which at least that share of the weights votes, ``min_share`` in (0, 1].

    A mask votes with its weight (not negative) for every pixel of its foreground. At least one mask, all of
    one size. Weights that are all 0 count as equal.
    """
    size = masks[0].size
    if any(mask.size != size for mask in masks):
        raise ValueError(f"masks of one image have one size, not {sorted({str(m.size) for m in masks})}")
    if len(masks) == 1:
        return masks[0]
    shares = np.array(weights) / sum(weights) if sum(weights) else np.full(len(masks), 1 / len(masks))
    runs = [_runs(mask) for mask in masks]
    starts, ends = (np.concatenate(positions) for positions in zip(*runs, strict=True))
    votes = np.repeat(shares, [run_starts.size for run_starts, _ in runs])
    positions, first = np.unique(np.concatenate((starts, ends)), return_inverse=True)
    steps = np.bincount(first, np.concatenate((votes, -votes)), minlength=positions.size)
    won = np.cumsum(steps) >= min_share - _ROUNDING  # from each position to the next one
    if not won.any():
        return _runs_to_mask(positions[:0], positions[:0], size)
    return _runs_to_mask(positions[:-1][won[:-1]], positions[1:][won[:-1]], size)


def _runs(mask: Mask) -> tuple[Positions, Positions]:
    """Starts and ends of the foreground runs, none of them empty, in order."""
    edges = np.cumsum(np.array(mask.counts, dtype=np.int64))
    edges = edges[: edges.size // 2 * 2]
    starts, ends = edges[::2], edges[1::2]
    return starts[starts < ends], ends[starts < ends]


def _column_runs(mask: Mask) -> tuple[Positions, Positions, Positions]:
    """The column of every foreground run, its first row and the row after its last; cut at column ends."""
    height = mask.size.height
    starts, ends = _runs(mask)
    n_columns = (ends - 1) // height - starts // height + 1
    before = np.cumsum(n_columns) - n_columns
    columns = np.arange(int(n_columns.sum())) + np.repeat(starts // height - before, n_columns)
    tops = np.maximum(np.repeat(starts, n_columns) - columns * height, 0)
    bottoms = np.minimum(np.repeat(ends, n_columns) - columns * height, height)
    return columns, tops, bottoms


def _runs_to_mask(starts: Positions, ends: Positions, size: Size) -> Mask:
    """The mask of runs in order, which may touch but not overlap."""
    if starts.size == 0:
        return empty_mask(size)
    apart = ends[:-1] != starts[1:]
    starts, ends = starts[np.r_[True, apart]], ends[np.r_[apart, True]]
    counts = np.diff(np.stack((starts, ends), axis=1).reshape(-1), prepend=0, append=size.area)
    return Mask(size, tuple(counts.tolist() if counts[-1] else counts[:-1].tolist()))
