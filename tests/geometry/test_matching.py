from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.geometry.matching import match_by_label, match_one_to_one


@st.composite
def overlaps(draw: st.DrawFn) -> np.ndarray:
    n_rows, n_columns = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    values = draw(st.lists(st.floats(0, 1), min_size=n_rows * n_columns, max_size=n_rows * n_columns))
    return np.array(values).reshape(n_rows, n_columns)


def best_sum(iou: np.ndarray, min_iou: float) -> float:
    """By trying every assignment."""
    n_rows, n_columns = iou.shape
    wide = iou if n_rows <= n_columns else iou.T
    kept = np.where(wide >= min_iou, wide, 0.0)
    choices = itertools.permutations(range(wide.shape[1]), wide.shape[0])
    return max(sum(float(kept[i, j]) for i, j in enumerate(choice)) for choice in choices)


@given(overlaps(), st.sampled_from([0.1, 0.5, 0.75]))
def test_matches_are_one_to_one_above_the_threshold_and_best(iou: np.ndarray, min_iou: float) -> None:
    pairs = match_one_to_one(iou, min_iou=min_iou)
    assert len({i for i, _ in pairs}) == len(pairs) == len({j for _, j in pairs})
    assert all(iou[i, j] >= min_iou for i, j in pairs)
    assert sum(iou[i, j] for i, j in pairs) == pytest.approx(best_sum(iou, min_iou))


def test_a_closer_pair_does_not_leave_its_neighbour_alone() -> None:
    iou = np.array([[0.9, 0.8], [0.8, 0.1]])
    assert match_one_to_one(iou, min_iou=0.5) == ((0, 1), (1, 0))


def test_pairs_that_do_not_touch_are_never_matched() -> None:
    assert match_one_to_one(np.zeros((2, 2)), min_iou=0.0) == ()


def test_labels_keep_objects_apart() -> None:
    iou = np.array([[0.9, 0.6], [0.0, 0.9]])
    assert match_by_label(["nut", "bolt"], ["bolt", "nut"], iou, min_iou=0.5) == ((0, 1),)
    assert match_by_label([], ["nut"], np.zeros((0, 1)), min_iou=0.5) == ()
    assert match_by_label([], [], np.zeros((0, 0)), min_iou=0.5) == ()
