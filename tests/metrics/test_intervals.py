"""Intervals: against scipy's and published ones, and whether they hold the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from detseg.metrics.bootstrap import bootstrap_t, resampled_counts
from detseg.metrics.intervals import (
    AIM,
    MIN_UNITS,
    UNKNOWN,
    Estimate,
    Rough,
    bounds_by_image,
    effective_trials,
    events_by_image,
    mapped,
    mean_by_image,
    median_of,
    told,
    unseen_share,
    wilson,
    wilson_bounds,
    wilson_by_image,
)

Floats = npt.NDArray[np.float64]

counts = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def mean(sums: Floats) -> Floats:
    return sums[:, 0] / sums[:, 1]


def with_ones(values: Floats) -> Floats:
    return np.stack([values, np.ones_like(values)], axis=1)


def holds(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


@given(counts)
def test_wilsons_interval_is_scipys(drawn: tuple[int, int]) -> None:
    k, n = drawn
    theirs = scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
    assert wilson_bounds(k / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(counts)
def test_a_share_is_told_from_its_data_or_not_at_all(drawn: tuple[int, int]) -> None:
    k, n = drawn
    estimate, (low, high) = wilson(k, n), wilson_bounds(k / n, n)
    assert 0.0 <= low <= k / n <= high <= 1.0
    told_ends = (k / n, low, high) if n >= MIN_UNITS else (None, None, None)
    assert (estimate.value, estimate.low, estimate.high) == told_ends
    assert estimate.n == n


@given(st.floats(0, 1))
def test_what_is_needed_is_the_fewest_that_reach_the_aim(share: float) -> None:
    images = 1000
    needed = wilson(round(share * images), images).n_needed
    assert needed is not None
    exact = round(share * images) / images

    def half(n: int) -> float:
        low, high = wilson_bounds(exact, n)
        return (high - low) / 2

    assert half(needed) <= AIM + 1e-9
    assert needed == MIN_UNITS or half(needed - 1) > AIM - 1e-9


def test_a_share_of_nothing_is_undefined_and_says_what_any_share_needs() -> None:
    assert wilson(0, 0) == Estimate(None, None, None, 0, 381)
    assert wilson_by_image([], []) == Estimate(None, None, None, 0, 381)
    assert wilson_by_image([0, 0], [0, 0]) == Estimate(None, None, None, 0, 381)
    with pytest.raises(ValueError, match="successes are 0 to 3"):
        wilson(4, 3)


def test_one_image_tells_nothing_however_many_regions_it_has() -> None:
    assert effective_trials(np.array([50.0]), np.array([100.0])) == 0.0
    assert wilson_by_image([50], [100]).value is None


@given(st.lists(st.integers(0, 1), min_size=10, max_size=300))
def test_images_with_one_trial_each_are_plain_trials_but_for_students_t(outcomes: list[int]) -> None:
    k, n = sum(outcomes), len(outcomes)
    effective = effective_trials(np.array(outcomes, dtype=float), np.ones(n))
    t = float(scipy.stats.t.ppf(0.975, n - 1))
    few_images = n / (n - 1) * (t / 1.959964) ** 2 if 0 < k < n else 1.0
    assert effective == pytest.approx(n / few_images, rel=1e-6)


def test_regions_of_one_image_that_share_their_fate_count_as_one() -> None:
    """The shares of images differ (beta), so plain trials would be far too sure."""
    rng = np.random.default_rng(3)
    plain = by_image = 0
    for _ in range(300):
        trials = rng.integers(1, 12, 60)
        kept = rng.binomial(trials, rng.beta(2.4, 0.6, 60))
        by_image += holds(wilson_by_image(kept, trials), 0.8)
        plain += holds(wilson(int(kept.sum()), int(trials.sum())), 0.8)
    assert by_image >= 0.93 * 300
    assert plain < 0.85 * 300


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=2, max_size=40))
def test_what_is_missed_is_what_is_not_kept(images: list[tuple[int, int]]) -> None:
    trials = np.array([m for _, m in images], dtype=float)
    kept = np.minimum([k for k, _ in images], trials)
    low, high = bounds_by_image(kept, trials)
    assert 0.0 <= low <= kept.sum() / trials.sum() <= high <= 1.0
    assert bounds_by_image(trials - kept, trials) == pytest.approx((1.0 - high, 1.0 - low), abs=1e-9)
    wider = bounds_by_image(kept, trials, level=0.99)
    assert wider[0] <= low
    assert high <= wider[1]


@pytest.mark.parametrize("n", [10, 20, 60, 200])
def test_images_that_are_all_right_leave_room_for_some_that_are_all_wrong(n: int) -> None:
    """Where a share of images fails whole, none of n does in (1 - share) ** n of all cases."""
    all_right = wilson_by_image([40] * n, [40] * n)
    assert all_right.value == all_right.high == 1.0
    assert all_right.low is not None
    assert all_right.low**n < 0.026
    exact = scipy.stats.binomtest(0, n).proportion_ci(method="exact").high
    assert unseen_share(n) == pytest.approx(exact, abs=1e-9)
    assert wilson_by_image([0] * n, [40] * n).high == pytest.approx(1.0 - all_right.low)


def test_means_of_values_that_differ_little_have_a_narrow_interval_that_holds() -> None:
    rng = np.random.default_rng(4)
    estimates = []
    for _ in range(200):
        counts = rng.integers(1, 12, 40)
        of_image = rng.normal(0.85, 0.04, 40)
        estimates.append(mean_by_image(counts * of_image, counts, within=(0.5, 1.0)))
    assert sum(holds(one, 0.85) for one in estimates) >= scipy.stats.binom.ppf(1e-7, 200, 0.95)
    assert all(one.high - one.low < 0.08 for one in estimates if one.high and one.low)
    perfect = mean_by_image([4.0] * 30, [4] * 30, within=(0.5, 1.0))
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert perfect.low == pytest.approx(0.94, abs=0.01)
    assert mean_by_image([], []) == UNKNOWN


def test_events_per_unit_are_their_share_times_the_trials_per_unit() -> None:
    """Of images of one size, the interval is the share's; of images without events there may be some yet."""
    events, trials, ones = np.array([0, 1, 4, 2] * 10), np.full(40, 8), np.ones(40)
    found, share = events_by_image(events, trials, ones), wilson_by_image(events, trials)
    assert found.value == pytest.approx(events.mean())
    assert share.low is not None
    assert share.high is not None
    assert (found.low, found.high) == pytest.approx((8 * share.low, 8 * share.high))
    none = events_by_image(np.zeros(40), trials, ones)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(8 * unseen_share(40), rel=0.02)
    assert events_by_image(np.zeros(40), np.zeros(40), ones).high == unseen_share(40)
    assert events_by_image([], [], []) == UNKNOWN


def test_every_resample_draws_as_many_images_as_there_are() -> None:
    blocks = list(resampled_counts(7, np.random.default_rng(0), 50))
    drawn = np.concatenate(blocks)
    assert drawn.shape == (50, 7)
    assert np.all(drawn.sum(axis=1) == 7)
    assert drawn.mean() == 1.0


def test_few_images_of_skewed_data_are_held_by_the_bootstrap_t() -> None:
    """25 lognormal times: BCa and percentiles hold the mean in about 88 of 100, this in 95."""

    def log_mean(sums: Floats) -> tuple[Floats, Floats]:
        mean_s = sums[:, 0] / sums[:, 2]
        variance = (sums[:, 1] - sums[:, 2] * mean_s**2) / (sums[:, 2] - 1)
        return np.log(mean_s), np.sqrt(variance / sums[:, 2]) / mean_s

    held = 0
    for seed in range(300):
        times = np.random.default_rng(seed).lognormal(-0.18, 0.6, 25)
        sample = np.stack([times, times**2, np.ones(25)], axis=1)
        _, low, high = bootstrap_t(log_mean, sample, seed=seed, n_resamples=1000)
        held += low <= 0.0 <= high
    assert held >= 0.93 * 300


def test_too_little_or_undefined_data_makes_no_figure() -> None:
    assert math.isnan(bootstrap_t(lambda s: (s[:, 0], s[:, 0]), [[1.0]], seed=0, n_resamples=10)[1])
    # however wide: only the lucky would be narrow
    assert wilson_by_image([8] * 5 + [0] * 5, [8] * 10).value == 0.5
    few_images = wilson_by_image([8] * 5 + [0] * 4, [8] * 9)
    assert few_images.value is None
    assert few_images.rough is not None


@given(st.lists(st.floats(0.1, 1e4), min_size=10, max_size=60))
def test_the_medians_interval_lies_between_its_values(values: list[float]) -> None:
    estimate = median_of(np.array(values))
    if estimate.value is not None:
        assert estimate.value == pytest.approx(np.median(values))
        assert estimate.low in values
        assert estimate.high in values


def test_the_medians_interval_holds_it() -> None:
    rng = np.random.default_rng(1)
    assert sum(holds(median_of(rng.lognormal(3, 0.7, 60)), math.e**3) for _ in range(400)) >= 0.93 * 400
    theirs = scipy.stats.quantile_test(np.arange(1, 41, dtype=np.float64), q=20.5).confidence_interval(0.95)
    ours = median_of(np.arange(1, 41, dtype=np.float64))
    assert (ours.low, ours.high) == (theirs.low, theirs.high)


def test_the_median_of_six_to_nine_values_is_rough() -> None:
    values = np.arange(1.0, 6.0)
    assert median_of(values) == Estimate(None, None, None, 5, None)
    few = median_of(np.append(values, 9.0))
    assert few.value is None
    assert few.rough is not None
    assert (few.rough.value, few.rough.low, few.rough.high) == (3.5, 1.0, 9.0)


def test_a_figure_that_follows_has_the_same_data() -> None:
    share = told(0.5, 0.4, 0.55, n=40, scale="share")
    assert mapped(share, lambda x: 10 * x) == Estimate(5.0, 4.0, 5.5, 40, share.n_needed)
    assert mapped(UNKNOWN, lambda x: 1 / x) == UNKNOWN
    few = told(0.5, 0.4, 0.55, n=4, scale="share")
    assert few.rough is not None
    assert mapped(few, lambda x: 10 * x).rough == Rough(5.0, 4.0, 5.5, few.rough.n_more)
    for one in (share, few):
        assert mapped(one, lambda x: math.inf * x) == Estimate(None, None, None, one.n, None)


def test_too_few_units_leave_what_is_known_of_them() -> None:
    few = wilson(3, 5)
    assert few.value is None
    assert few.rough is not None
    assert few.rough.low < few.rough.value == 0.6 < few.rough.high
    assert few.rough.n_more is not None
    assert few.rough.n_more >= MIN_UNITS - 5
    assert wilson(300, 500).rough is None
    assert UNKNOWN.rough is None
    doubled = mapped(few, lambda share: 2.0 * share)
    assert doubled.value is None
    assert doubled.rough is not None
    assert doubled.rough.value == 1.2
