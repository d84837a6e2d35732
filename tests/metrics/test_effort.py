"""What help saved: whether the interval holds the saving that was put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from bench.coverage.effort import THREE, World, saving_trial
from bench.coverage.frame import Setup, run_setup
from detseg.metrics.arms import Timed, compare_arms
from detseg.metrics.cases import Case
from detseg.metrics.costs import CostModel
from detseg.metrics.effort import Effort
from detseg.metrics.work import WorkTally
from detseg.types import Annotation, Arm
from tests.metrics.made import annotation, block, boxed, case, masked

Floats = npt.NDArray[np.float64]

BOLT = boxed("r1", "bolt", (2, 2, 12, 12), 0.9)
NUT = boxed("r2", "nut", (20, 5, 30, 15), 0.65)
BELT = masked("r3", "belt", block(0, 20, 40, 30), score=0.8, kind="stuff")


def timed(seconds: Floats, control: npt.ArrayLike, author: npt.ArrayLike, size: npt.ArrayLike = 0.0) -> Timed:
    """Reviews of an image each."""
    n = len(seconds)
    return Timed(
        image=np.arange(n),
        author=np.broadcast_to(np.asarray(author, dtype=np.int64), n),
        is_control=np.broadcast_to(np.asarray(control, dtype=np.bool_), n),
        log_s=np.log(seconds),
        size=np.broadcast_to(np.asarray(size, dtype=np.float64), n),
        weight=np.ones(n),
    )


PLAIN = World(n=200, control=0.3, speeds=THREE)
PAUSING = replace(PLAIN, pauses=0.1, missing=0.1)


@pytest.mark.parametrize("world", [PLAIN, PAUSING, replace(PAUSING, regions_are_known=False)])
def test_the_interval_holds_the_true_saving(world: World) -> None:
    """In at least 90 of 100 projects of these seeds, also where people pause and times are missing."""
    setup = Setup("Effort saved", "test", partial(saving_trial, world=world, truth=0.55))
    row = run_setup(setup, seed=1, n_trials=100)
    assert row.n_shown == 100
    assert row.n_held >= 90
    assert abs(row.bias) < 0.03


def test_fast_people_on_control_images_do_not_hide_the_saving() -> None:
    """Each is compared with themselves: all together they would seem to have lost time."""
    rng = np.random.default_rng(0)
    author = rng.integers(0, 2, 2000)
    control = rng.random(2000) < np.where(author == 0, 0.5, 0.05)
    seconds = np.where(author == 0, 20.0, 100.0) * rng.lognormal(0.0, 0.3, 2000)
    seconds[~control] *= 0.5
    assert compare_arms(timed(seconds, control, author)).value == pytest.approx(0.5, abs=0.05)
    pooled = 1.0 - seconds[~control].mean() / seconds[control].mean()
    assert pooled < 0.2


def test_people_who_save_differently_save_as_much_as_their_seconds_together() -> None:
    rng = np.random.default_rng(1)
    author, control = rng.integers(0, 2, 8000), rng.random(8000) < 0.5
    seconds = np.where(author == 0, 20.0, 100.0) * rng.lognormal(0.0, 0.5, 8000)
    seconds[~control] *= np.where(author[~control] == 0, 0.9, 0.4)
    assert compare_arms(timed(seconds, control, author)).value == pytest.approx(1 - 58 / 120, abs=0.03)


def test_images_of_the_same_work_are_compared() -> None:
    """Large images happened to be control images: per region nothing was saved."""
    rng = np.random.default_rng(2)
    control = rng.random(1000) < 0.3
    regions = rng.geometric(0.1, 1000) + np.where(control, 10, 0)
    seconds = 10.0 * regions * rng.lognormal(0.0, 0.3, 1000)
    saved = compare_arms(timed(seconds, control, 0, np.log(regions)))
    assert saved.value == pytest.approx(0.0, abs=0.08)
    assert 1.0 - seconds[~control].mean() / seconds[control].mean() > 0.3


def test_who_was_in_one_arm_only_does_not_count() -> None:
    rng = np.random.default_rng(0)
    author = np.repeat([0, 0, 1], 100)
    control = np.repeat([True, False, False], 100)
    seconds = np.where(control, 40.0, 20.0) * rng.lognormal(0.0, 0.2, 300)
    seconds[author == 1] = 1000.0
    assert compare_arms(timed(seconds, control, author)).value == pytest.approx(0.5, abs=0.05)
    apart = author != 0
    apart[:100] = True
    nobody = compare_arms(timed(seconds[apart], control[apart], author[apart]))
    assert (nobody.value, nobody.n) == (None, 0)


def reviewed(
    n: int, review: Annotation, *, arm: Arm = "assisted", seconds: Sequence[float | None] = (None,)
) -> list[Case]:
    shown = [BOLT, NUT, BELT]
    return [
        case(
            annotation(shown, image=f"{arm} {i}"),
            annotation(
                review.regions,
                image=f"{arm} {i}",
                author=review.author,
                state=review.state,
                lead_time_s=seconds[i % len(seconds)],
            ),
            arm=arm,
        )
        for i in range(n)
    ]


def effort_of(cases: Sequence[Case], costs: CostModel | None = None) -> Effort:
    tally = WorkTally(costs)
    for one in cases:
        tally.add(one)
    return tally.result().effort


KEPT = annotation([BOLT, NUT, BELT])


def test_where_looks_cost_nothing_all_is_saved_and_hours_are_not_known() -> None:
    expected = effort_of(reviewed(12, KEPT), CostModel(check_s=0.0)).expected
    assert expected.share.value == 1.0
    assert (expected.hours.value, expected.hours.rough, expected.hours.n) == (None, None, 12)
    assert expected.money.value is not None


def test_against_the_control_arm_the_saving_is_measured() -> None:
    assisted = reviewed(100, KEPT, seconds=(18.0, 22.0))
    control = reviewed(20, KEPT, arm="control", seconds=(95.0, 105.0))
    effort = effort_of(assisted + control)
    assert effort.method == "control"
    saving = effort.saving
    assert saving is effort.measured
    assert saving.share.value == pytest.approx(0.8, rel=1e-3)
    assert saving.hours.value == pytest.approx(100 * 80 / 3600, rel=1e-3)
    assert saving.money.value == pytest.approx(0.8 * 100 * (0.063 + 0.063 + 0.87), rel=1e-3)
    assert saving.hours_spent == pytest.approx(100 * 20 / 3600)
    assert (saving.n_images, saving.n_control, saving.n_timed, saving.n_strata) == (100, 20, 100, 1)
    assert saving.share.low is not None
    assert saving.share.low < 0.8


def test_times_that_are_unknown_or_a_day_long_stand_for_the_mean() -> None:
    assisted = reviewed(100, KEPT, seconds=(*(18.0, 22.0) * 8, None, 0.0, 86_400.0, None))
    control = reviewed(20, KEPT, arm="control", seconds=(95.0, 105.0))
    saving = effort_of(assisted + control).saving
    assert saving.share.value == pytest.approx(0.8, rel=1e-3)
    assert saving.hours_spent == pytest.approx(100 * 20 / 3600)
    assert (saving.n_images, saving.n_timed, saving.n_set_aside) == (100, 80, 5)


def test_reviews_that_are_timed_and_set_aside_are_of_one_arm() -> None:
    assisted = reviewed(100, KEPT, seconds=(*(18.0, 22.0) * 9, 20.0, 86_400.0))
    control = reviewed(40, KEPT, arm="control", seconds=(*(95.0, 105.0) * 3, 100.0, 86_400.0))
    effort = effort_of(assisted + control)
    for saving in (effort.measured, effort.expected):
        assert (saving.n_timed, saving.n_set_aside) == (95, 5)


def test_without_a_control_arm_nothing_was_measured_and_a_cost_model_says_what_to_expect() -> None:
    effort = effort_of(reviewed(30, KEPT))
    assert effort.method is None
    assert effort.saving.share.value is None
    assert effort.saving.hours.value is None
    expected = effort.expected
    by_hand_s, assisted_s = 35.0 + 35.0 + 80.0, 3 * 7.0
    assert expected.share.value == pytest.approx(1.0 - assisted_s / by_hand_s)
    assert expected.hours.value == pytest.approx(30 * (by_hand_s - assisted_s) / 3600)
    assert expected.money.value == pytest.approx((1.0 - assisted_s / by_hand_s) * 30 * (2 * 0.063 + 0.87))
    assert (expected.n_control, expected.n_timed, expected.n_strata) == (0, 0, 0)
    timed = effort_of(reviewed(30, KEPT, seconds=(75.0,))).expected
    assert timed.share.value == pytest.approx(0.5)
    assert timed.n_timed == 30


def test_what_is_expected_may_be_off_by_a_factor_of_three() -> None:
    """Of drawing: 75 s where 150 s are expected. Of looking, too, where no times are known."""
    timed = effort_of(reviewed(300, KEPT, seconds=(75.0,))).expected.share
    assert (timed.low, timed.high) == pytest.approx((1 - 0.5 * 3, 1 - 0.5 / 3), abs=0.1)
    modeled = effort_of(reviewed(300, KEPT)).expected.share
    assert modeled.low is not None
    assert modeled.high is not None
    assert modeled.high - modeled.low > 0.3


def test_what_is_drawn_moved_renamed_and_deleted_costs_its_seconds() -> None:
    drawn = boxed("new", "gear", (1, 14, 9, 19))
    moved = boxed("r1", "bolt", (4, 2, 14, 12))
    renamed = boxed("r2", "gear", (20, 5, 30, 15))
    costs = CostModel(box_by_hand_s=30.0, mask_by_hand_s=100.0, check_s=5.0, box_price=1.0, mask_price=2.0)
    effort = effort_of(reviewed(30, annotation([moved, renamed, drawn])), costs)  # and the belt deleted
    assisted_s = (5.0 + 30.0) + (5.0 + 5.0) + 30.0 + 5.0
    assert effort.expected.hours_spent == pytest.approx(30 * assisted_s / 3600)
    assert effort.expected.share.value == pytest.approx(1.0 - assisted_s / 90.0)


def test_help_that_costs_more_than_it_saves_is_a_negative_saving() -> None:
    effort = effort_of(reviewed(30, annotation([boxed("x", "gear", (1, 14, 9, 19))])))
    assert effort.expected.share.value == pytest.approx(1.0 - (3 * 7.0 + 35.0) / 35.0)
    assert effort.expected.money.value is not None
    assert effort.expected.money.value < 0.0


def test_too_few_control_images_measure_nothing() -> None:
    cases = reviewed(100, KEPT, seconds=(20.0, 25.0)) + reviewed(4, KEPT, arm="control", seconds=(90.0, 99.0))
    effort = effort_of(cases)
    assert effort.method is None
    assert effort.saving.share.value is None
    assert effort.saving.n_control == 4


def test_nothing_reviewed_and_nothing_drawn_save_nothing_that_is_known() -> None:
    for cases in ([], reviewed(1, KEPT), reviewed(30, annotation())):
        effort = effort_of(cases)
        assert effort.method is None
        assert effort.saving.share.value is None
        assert effort.saving.hours.value is None


def test_decoys_and_their_corrections_are_no_part_of_the_saving() -> None:
    assert effort_of(reviewed(30, KEPT, arm="decoy", seconds=(5.0,))).saving.n_images == 0


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_a_cost_is_a_number_from_0(value: float) -> None:
    with pytest.raises(ValueError, match="check_s is a number from 0"):
        CostModel(check_s=value)
