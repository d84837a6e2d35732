"""Reviews that were left open, told from work that takes long."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from detseg.metrics.pauses import JudgedTimes, judge_times
from detseg.metrics.work_log import REVIEW, Table

Floats = npt.NDArray[np.float64]


def reviews(
    seconds: Floats, *, regions: npt.ArrayLike = 5, author: npt.ArrayLike = 0, control: npt.ArrayLike = False
) -> Table:
    table = np.zeros(len(seconds), REVIEW)
    table["image"], table["lead_s"] = np.arange(len(seconds)), seconds
    table["author"], table["control"] = author, control
    table["by_hand_s"], table["edits_s"] = 35.0 * np.asarray(regions), 7.0 * np.asarray(regions)
    return table


def worked(n: int, *, seed: int, spread: float = 0.5) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Seconds of images with few and with many regions, and the regions."""
    rng = np.random.default_rng(seed)
    regions = rng.geometric(0.1, n)
    return 12.0 * (1 + regions) * rng.lognormal(0.0, spread, n), regions


def test_honest_times_count_whole() -> None:
    """Lognormal ones, from quick to slow: leaving some out would make the work look quicker than it was."""
    for seed in range(5):
        seconds, regions = worked(2000, seed=seed, spread=0.8)
        assert judge_times(reviews(seconds, regions=regions)).weight.mean() > 0.999


def test_a_pause_is_found_on_a_small_image_though_large_ones_take_as_long() -> None:
    seconds, regions = worked(500, seed=1)
    small = np.flatnonzero(regions <= 3)[:20]
    largest = int(np.argmax(np.where(regions > 40, seconds, 0.0)))
    seconds[small] += 1500.0
    judged = judge_times(reviews(seconds, regions=regions))
    assert not judged.is_usable[small].any()
    assert judged.is_usable[largest]
    assert np.count_nonzero(~judged.is_usable) <= 25


def test_what_is_long_for_a_quick_person_is_not_for_a_slow_one() -> None:
    rng = np.random.default_rng(2)
    author = np.arange(400) % 2
    seconds = np.where(author == 0, 10.0, 300.0) * rng.lognormal(0.0, 0.3, 400)
    seconds[:20:2] = 400.0
    judged = judge_times(reviews(seconds, author=author))
    assert not judged.is_usable[:20:2].any()
    assert judged.is_usable[author == 1].all()


@pytest.mark.parametrize("share", [0.03, 0.1])
def test_the_mean_is_that_of_the_work(share: float) -> None:
    """Over 20 projects: the pauses would make it three to eight times as large."""
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        seconds, regions = worked(500, seed=seed)
        paused = seconds + (rng.random(500) < share) * rng.uniform(1200.0, 7200.0, 500)
        judged = judge_times(reviews(paused, regions=regions))
        ratios.append(judged.mean_s(np.ones(500, dtype=np.bool_)) / seconds.mean())
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.05)


def test_unknown_times_do_not_count() -> None:
    judged = judge_times(reviews(np.array([30.0] * 12 + [np.nan, 0.0, 1e9, -5.0])))
    assert judged.is_known.tolist() == [True] * 12 + [False] * 4
    assert judged.weight.tolist() == [1.0] * 12 + [0.0] * 4
    nothing = judge_times(reviews(np.array([])))
    assert (len(nothing.weight), nothing.mean_s(np.zeros(0, dtype=np.bool_))) == (0, 0.0)


def test_the_unit_and_the_order_change_nothing() -> None:
    seconds, regions = worked(300, seed=3)
    seconds[:10] += 5000.0

    def weights(judged: JudgedTimes) -> Floats:
        return judged.weight

    there = weights(judge_times(reviews(seconds, regions=regions)))
    back = weights(judge_times(reviews(seconds[::-1], regions=regions[::-1])))
    assert back[::-1] == pytest.approx(there, abs=1e-6)
    assert weights(judge_times(reviews(seconds * 60.0, regions=regions))) == pytest.approx(there, abs=1e-6)
