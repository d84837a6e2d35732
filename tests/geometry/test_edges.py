"""Edges of masks in both orders, against the bitmap read in that order."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis.extra.numpy import arrays

from detseg.geometry.edges import columns_to_rows, edges_to_mask, mask_to_edges, rows_to_columns
from detseg.geometry.masks import bitmap_to_mask
from detseg.types import Mask, Size

BITMAPS = arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30)))


def edges_of(flat: npt.NDArray[Any]) -> list[int]:
    """Where it flips, with background around it."""
    return np.flatnonzero(np.diff(flat.astype(int), prepend=0, append=0)).tolist()


@given(BITMAPS)
def test_edges_are_where_the_bitmap_flips(bitmap: npt.NDArray[np.bool_]) -> None:
    mask = bitmap_to_mask(bitmap)
    by_column = mask_to_edges(mask)
    by_row = columns_to_rows(by_column, mask.size)
    assert by_column.tolist() == edges_of(bitmap.ravel(order="F"))
    assert by_row.tolist() == edges_of(bitmap.ravel())
    assert rows_to_columns(by_row, mask.size).tolist() == by_column.tolist()
    assert edges_to_mask(by_column, mask.size) == mask


def test_runs_without_pixels_are_no_edges() -> None:
    mask = Mask(Size(3, 2), (0, 1, 0, 1, 2, 0, 2))
    assert mask_to_edges(mask).tolist() == [0, 2]
    assert edges_to_mask(mask_to_edges(mask), mask.size) == Mask(Size(3, 2), (0, 2, 4))
    assert mask_to_edges(Mask(Size(3, 2), (6, 0))).tolist() == []
    assert mask_to_edges(Mask(Size(3, 2), (2, 0, 0, 3, 1))).tolist() == [2, 5]
