"""Means over classes: their variance against leaving images out one by one, and what they leave room for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit

from detseg.metrics.class_means import MIN_CLASS_IMAGES, class_mean, students_t
from detseg.metrics.intervals import UNKNOWN, Estimate, bounds_by_image, unseen_share, wilson_bounds

Floats = npt.NDArray[np.float64]


def interval(estimate: Estimate) -> tuple[float, float]:
    known = estimate.rough or estimate
    assert known.low is not None
    assert known.high is not None
    return known.low, known.high


def draw(rng: np.random.Generator, n: int, k: int) -> tuple[Floats, Floats]:
    wholes = rng.lognormal(3.0, 0.7, (n, k)) * (rng.random((n, k)) < 0.6)
    return wholes * rng.beta(3.0, 3.0, (n, k)), wholes


def test_the_variance_is_that_of_leaving_each_image_out() -> None:
    parts, wholes = draw(np.random.default_rng(1), 40, 3)
    parts, wholes = parts[wholes.any(axis=1)], wholes[wholes.any(axis=1)]
    n = len(wholes)
    ratios = parts.sum(axis=0) / wholes.sum(axis=0)
    left_out = (parts.sum(axis=0) - parts) / (wholes.sum(axis=0) - wholes)
    variance = float(((left_out.mean(axis=1) - ratios.mean()) ** 2).sum()) * (n - 1) / n
    leverage = ((wholes / wholes.sum(axis=0)) ** 2).sum(axis=0)
    few = students_t(((left_out - ratios) ** 2).sum(axis=0), 1.0 / leverage - 1.0)
    value = float(ratios.mean())
    low, high = wilson_bounds(value, value * (1.0 - value) / (variance * few**2))
    found = interval(class_mean(parts, wholes))
    near, far = (high, low) if value > 0.5 else (low, high)
    assert (found[1] if value > 0.5 else found[0]) == pytest.approx(near, abs=1e-9)
    assert abs((found[0] if value > 0.5 else found[1]) - value) >= abs(far - value)


def test_one_class_of_equal_images_is_a_share() -> None:
    kept = np.array([8.0, 3, 9, 10, 6, 9, 10, 10, 2, 7, 9, 10])
    ours = interval(class_mean(kept[:, None], np.full((12, 1), 10.0)))
    assert ours == pytest.approx(bounds_by_image(kept, np.full(12, 10.0), binary=False), abs=0.01)


def test_t_is_students_for_one_class_and_near_the_normal_for_many() -> None:
    assert students_t(np.array([2.0]), np.array([9.0])) == pytest.approx(stdtrit(9, 0.975) / 1.959964)
    assert students_t(np.ones(50), np.full(50, 9.0)) == pytest.approx(1.0, abs=0.01)
    assert students_t(np.array([0.0, 0.0]), np.array([0.0, 3.0])) == 1.0


def test_perfect_images_leave_room_for_others() -> None:
    """Two classes that fail apart from each other: half as far each, and the squares add up."""
    estimate = class_mean(np.ones((30, 2)), np.ones((30, 2)))
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low == pytest.approx(1.0 - unseen_share(30) / np.sqrt(2.0))
    nothing = class_mean(np.zeros((30, 2)), np.ones((30, 2)))
    assert (nothing.value, nothing.low) == (0.0, 0.0)
    assert nothing.high == pytest.approx(unseen_share(30) / np.sqrt(2.0))


def test_a_class_on_few_images_hides_the_mean_whatever_came_out() -> None:
    parts, wholes = draw(np.random.default_rng(2), 60, 2)
    for n_images, is_told in ((MIN_CLASS_IMAGES - 1, False), (MIN_CLASS_IMAGES, True)):
        rare = np.zeros((60, 1))
        rare[:n_images] = 5.0
        for part in (rare, rare / 2, np.zeros((60, 1))):
            estimate = class_mean(np.hstack([parts, part]), np.hstack([wholes, rare]))
            assert (estimate.value is not None) == is_told
            assert (estimate.rough is None) == is_told


def test_what_is_not_there_does_not_count() -> None:
    parts, wholes = draw(np.random.default_rng(3), 30, 2)
    padded = [np.pad(table, ((0, 5), (0, 1))) for table in (parts, wholes)]
    assert class_mean(*padded) == class_mean(parts, wholes)
    assert class_mean(np.zeros((0, 2)), np.zeros((0, 2))) == UNKNOWN
    assert class_mean(np.zeros((5, 2)), np.zeros((5, 2))) == UNKNOWN


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 4))
def test_intervals_hold_their_value_and_stay_inside_0_and_1(seed: int, n: int, k: int) -> None:
    parts, wholes = draw(np.random.default_rng(seed), n, k)
    estimate = class_mean(parts, wholes)
    if estimate != UNKNOWN:
        known = estimate.rough or estimate
        low, high = interval(estimate)
        assert known.value is not None
        assert 0.0 <= low <= known.value <= high <= 1.0
