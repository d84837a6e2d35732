"""Masks cut, pasted, turned and counted by run lengths, without the bitmap of the whole image.

A run is half-open in column-major positions: ``column * height + row``. Bitmaps here are crops, bool arrays
of shape (h, w) whose upper left pixel lies at (x0, y0) of the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from detseg.geometry.edges import edges_to_mask, mask_to_edges, runs_to_edges
from detseg.geometry.masks import Bitmap, bitmap_to_mask, empty_mask, mask_to_box
from detseg.types import Box, Mask, Size

Positions = npt.NDArray[np.int64]

_ROUNDING = 1e-9
"""The error that sums of weights may have, as a share of all weights."""


def cut_mask(mask: Mask, *, x0: int, y0: int, x1: int, y1: int) -> Mask:
    """The pixels of a window, which lies inside the image, as a mask of the window's size."""
    height = y1 - y0
    columns, tops, bottoms = column_runs(mask)
    tops, bottoms = np.clip(tops, y0, y1) - y0, np.clip(bottoms, y0, y1) - y0
    inside = (x0 <= columns) & (columns < x1) & (tops < bottoms)
    offsets = (columns - x0) * height
    return _runs_to_mask((offsets + tops)[inside], (offsets + bottoms)[inside], Size(x1 - x0, height))


def cut_bitmap(mask: Mask, *, x0: int, y0: int, x1: int, y1: int) -> Bitmap:
    """The pixels of a window, which lies inside the image: bool of shape (y1-y0, x1-x0)."""
    height = mask.size.height
    edges = np.clip(mask_to_edges(mask) - x0 * height, 0, (x1 - x0) * height)
    lengths = np.diff(edges, prepend=0, append=(x1 - x0) * height)
    flat = np.repeat(np.arange(lengths.size) % 2 == 1, lengths)
    return flat.reshape(x1 - x0, height)[:, y0:y1].T


def crop_to_box(mask: Mask, box: Box) -> Bitmap:
    """The pixels in the tight box of a mask: bool of shape (h, w)."""
    x0, y0, x1, y1 = (int(edge) for edge in box.xyxy)
    return np.ascontiguousarray(cut_bitmap(mask, x0=x0, y0=y0, x1=x1, y1=y1))


def paste_bitmap(bitmap: Bitmap, size: Size, *, x0: int, y0: int) -> Mask:
    """The mask of an image of that size that is the bitmap (h, w) at (x0, y0) and background elsewhere."""
    return paste_mask(bitmap_to_mask(bitmap), size, x0=x0, y0=y0) if bitmap.size else empty_mask(size)


def paste_mask(mask: Mask, size: Size, *, x0: int, y0: int) -> Mask:
    """The mask of a tile at (x0, y0), which lies inside an image of that size, as a mask of the image."""
    if mask.size == size:
        return mask
    columns, tops, bottoms = column_runs(mask)
    offsets = (columns + x0) * size.height + y0
    return _runs_to_mask(offsets + tops, offsets + bottoms, size)


def flip_mask(mask: Mask) -> Mask:
    """The mask mirrored, left to right."""
    columns, tops, bottoms = column_runs(mask)
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
    edges = [mask_to_edges(mask) for mask in masks]
    votes = [np.tile((share, -share), one.size // 2) for one, share in zip(edges, shares, strict=True)]
    positions, which = np.unique(np.concatenate(edges), return_inverse=True)
    shares_from = np.cumsum(np.bincount(which, np.concatenate(votes), minlength=positions.size))
    won = shares_from >= min_share - _ROUNDING  # from each position to the next one
    return edges_to_mask(positions[np.diff(won, prepend=False)], size)


def column_runs(mask: Mask) -> tuple[Positions, Positions, Positions]:
    """The column of every foreground run, its first row and the row after its last; cut at column ends."""
    height = mask.size.height
    edges = mask_to_edges(mask).astype(np.int64)
    starts, ends = edges[::2], edges[1::2]
    first, last = starts // height, (ends - 1) // height
    if np.array_equal(first, last):
        return first, starts - first * height, ends - first * height
    n_columns = last - first + 1
    before = np.cumsum(n_columns) - n_columns
    columns = np.arange(int(n_columns.sum())) + np.repeat(first - before, n_columns)
    tops = np.maximum(np.repeat(starts, n_columns) - columns * height, 0)
    bottoms = np.minimum(np.repeat(ends, n_columns) - columns * height, height)
    return columns, tops, bottoms


def _runs_to_mask(starts: Positions, ends: Positions, size: Size) -> Mask:
    return edges_to_mask(runs_to_edges(starts, ends), size)
