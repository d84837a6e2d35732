"""Maps that give every pixel a number, as run lengths: painted, laid over each other, and eroded.

Runs are column-major, as those of masks: position ``column * height + row``. Nothing here grows with the
pixels but ``interior``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detseg.geometry.edges import edges_to_mask, mask_to_edges, runs_to_edges
from detseg.types import Mask, Size

Numbers = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

_BITS = 62
"""Masks that are painted at once: one bit of an int64 each."""

_CACHE = 1 << 19
"""Pixels that are worked on at once: a processor's cache holds some bytes for each."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """Run i holds ``numbers[i]`` from position ``starts[i]`` to the next start (the last: to the end).

    Both have shape (n_runs,). ``starts`` begins with 0 and ascends; neighbours hold different numbers.
    """

    size: Size
    starts: Numbers
    numbers: Numbers


def paint(masks: Sequence[Mask], size: Size) -> LabelMap:
    """Number i + 1 where ``masks[i]`` is the first of those that cover the pixel, 0 where none does.

    All masks have that size.
    """
    edges = [mask_to_edges(mask) for mask in masks]
    flips = np.concatenate([np.zeros(1, dtype=np.int32), *edges])
    order = np.argsort(flips, kind="stable")  # which merges what is in order already
    owners = np.repeat(np.arange(-1, len(masks)), [1, *(one.size for one in edges)])[order]
    numbers: Numbers = np.zeros(flips.size, dtype=np.int32)
    for first in range(len(masks) - 1 - (len(masks) - 1) % _BITS, -1, -_BITS):
        here = (owners >= first) & (owners < first + _BITS)
        bits = np.where(here, np.int64(1) << np.where(here, owners - first, 0), 0)
        covering = np.bitwise_xor.accumulate(bits)  # one bit for each mask that covers the run
        front = np.frexp((covering & -covering).astype(np.float64))[1]  # 1 + the place of the lowest bit
        numbers = np.where(front > 0, front + np.int32(first), numbers)
    return _tidy(size, flips[order], numbers)


def array_to_map(array: npt.NDArray[np.integer[Any] | np.bool_]) -> LabelMap:
    """The map of an array of shape (H, W), both at least 1."""
    height, width = array.shape
    flat = np.ascontiguousarray(array.T).reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1)).astype(np.int32)
    return LabelMap(Size(width, height), starts, flat[starts].astype(np.int32))


def segments_to_masks(segments: npt.NDArray[np.integer[Any]], numbers: Sequence[int]) -> tuple[Mask, ...]:
    """The masks of the pixels of each number in an array of shape (H, W): one pass for all."""
    labels = array_to_map(segments)
    ends = np.append(labels.starts[1:], np.int32(labels.size.area))
    runs = (labels.numbers == number for number in numbers)
    return tuple(edges_to_mask(runs_to_edges(labels.starts[mine], ends[mine]), labels.size) for mine in runs)


def map_to_array(labels: LabelMap) -> Numbers:
    """The array of shape (H, W)."""
    pixels = np.repeat(labels.numbers, _lengths(labels.starts, labels.size))
    return pixels.reshape((labels.size.height, labels.size.width), order="F")


def renumber(labels: LabelMap, new: npt.NDArray[np.integer[Any]]) -> LabelMap:
    """The map with ``new[number]`` instead of every number, which are not negative."""
    return _tidy(labels.size, labels.starts, new[labels.numbers].astype(np.int32))


def same_map(a: LabelMap, b: LabelMap) -> bool:
    """Tell whether two maps hold the same numbers everywhere."""
    same = a.size == b.size and np.array_equal(a.starts, b.starts) and np.array_equal(a.numbers, b.numbers)
    return bool(same)


def shared_pixels(*maps: LabelMap, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Count the pixels that have number i in the first map, j in the second, ..., at [i, j, ...] of that
    shape.

    At least one map, all of one size.
    """
    if any(one.size != maps[0].size for one in maps):
        raise ValueError(f"maps of one image have one size, not {sorted({str(m.size) for m in maps})}")
    steps = []  # what the place in the table, counted cell by cell, changes by at each start
    for one, stride in zip(maps, _strides(shape), strict=True):
        step = one.numbers * np.int64(stride)
        step[1:] -= step[:-1].copy()
        steps.append(step)
    starts = np.concatenate([one.starts for one in maps])
    order = np.argsort(starts, kind="stable")  # which merges what is in order already
    cells = np.cumsum(np.concatenate(steps)[order])
    counted = np.bincount(cells, _lengths(starts[order], maps[0].size), minlength=math.prod(shape))
    return np.rint(counted).astype(np.int64).reshape(shape)


def _strides(shape: tuple[int, ...]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def interior(labels: LabelMap, distance: int) -> LabelMap:
    """1 where all pixels up to ``distance`` columns and rows away are of one number, 0 elsewhere.

    What lies outside the image is of no number. The pixels of a number that are interior are those that
    remain when its mask is eroded ``distance`` times by a square of 3x3. All numbers are done at once: a
    square is of one number if its columns are and their middles are alike.
    """
    width, side = labels.size.width, 2 * distance + 1
    columns = _inner_of_columns(labels, distance)
    inner = np.zeros(columns.shape, dtype=bool)
    n_rows = max(1, _CACHE // width)
    for start in range(0, labels.size.height if side <= width else 0, n_rows):
        rows = columns[:, start : start + n_rows]
        alike = (rows[:-1] == rows[1:]) & (rows[:-1] != 0)
        squares = _all_of(alike.reshape(-1), side - 1, step=rows.shape[1])
        inner[distance:-distance, start : start + n_rows] = squares.reshape(-1, rows.shape[1])
    return array_to_map(inner.T)


def _inner_of_columns(labels: LabelMap, distance: int) -> npt.NDArray[Any]:
    """1 + the number where the pixels up to ``distance`` above and below are all of it, else 0: (W, H)."""
    size = labels.size
    starts = np.union1d(labels.starts, np.arange(0, size.area, size.height, dtype=np.int32))
    lengths = _lengths(starts, size)  # of runs that do not leave their column
    long = np.flatnonzero(lengths > 2 * distance)
    starts, ends = starts[long] + distance, starts[long] + lengths[long] - distance
    numbers = labels.numbers[np.searchsorted(labels.starts, starts, side="right") - 1] + 1
    values = np.zeros(2 * long.size + 1, dtype=np.uint8 if labels.numbers.max() < 255 else np.int32)
    values[1::2] = numbers
    edges = np.zeros(2 * long.size + 1, dtype=np.int32)
    edges[1::2], edges[2::2] = starts, ends
    return np.repeat(values, _lengths(edges, size)).reshape(size.width, size.height)


def _all_of(values: Bools, n: int, *, step: int) -> Bools:
    """Tell whether ``values[i]``, ``values[i + step]``, ... are all true, ``n`` of them, for every i that
    has."""
    span = 1
    while span < n:
        more = min(span, n - span)
        values = values[: -more * step] & values[more * step :]
        span += more
    return values


def _lengths(starts: Numbers, size: Size) -> Numbers:
    """The pixels of each run; ``np.diff`` with something to append takes five times as long."""
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = size.area - starts[-1]
    return lengths


def _tidy(size: Size, starts: Numbers, numbers: npt.NDArray[Any]) -> LabelMap:
    """The map without empty runs, and with neighbours of one number joined."""
    lasting = np.flatnonzero(_lengths(starts, size))
    starts, numbers = starts[lasting], numbers[lasting]
    changed = np.concatenate(([0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1))
    return LabelMap(size, starts[changed], numbers[changed].astype(np.int32))
