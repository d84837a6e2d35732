"""What help saved: whether the interval holds the saving that was put in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from detseg.metrics.cases import Arm, Case
from detseg.metrics.costs import CostModel
from detseg.metrics.effort import Effort, compare_arms
from detseg.metrics.intervals import Estimate
from detseg.metrics.work import WorkTally
from detseg.types import Annotation
from tests.metrics.made import annotation, block, boxed, case, masked

Floats = npt.NDArray[np.float64]

BOLT = boxed("r1", "bolt", (2, 2, 12, 12), 0.9)
NUT = boxed("r2", "nut", (20, 5, 30, 15), 0.65)
BELT = masked("r3", "belt", block(0, 20, 40, 30), score=0.8, kind="stuff")


def arm_sums(author: npt.NDArray[np.int64], seconds: Floats, *, n_authors: int) -> Floats:
    """The rows of ``compare_arms`` for images with one review each."""
    who = np.eye(n_authors)[author]
    return np.concatenate([who, who * seconds[:, None], who * seconds[:, None] ** 2], axis=1)


def simulated(
    seed: int, *, saving: float, blind_share: float, speeds: Sequence[float], spread: float = 0.6
) -> Estimate:
    """The saving found over 500 images, where help saves a known share of lognormal times."""
    rng = np.random.default_rng(seed)
    author = rng.integers(0, len(speeds), 500)
    blind = rng.random(500) < blind_share
    seconds = 60.0 * np.asarray(speeds)[author] * rng.lognormal(0.0, spread, 500)
    seconds[~blind] *= 1.0 - saving
    arms = [arm_sums(author[chosen], seconds[chosen], n_authors=len(speeds)) for chosen in (~blind, blind)]
    return compare_arms(*arms, seed=seed)


@pytest.mark.parametrize("speeds", [(1.0,), (0.5, 1.0, 2.0)])
@pytest.mark.parametrize("blind_share", [0.05, 0.5])
@pytest.mark.parametrize("saving", [0.0, 0.6])
def test_the_interval_holds_the_true_saving(
    speeds: Sequence[float], blind_share: float, saving: float
) -> None:
    """In at least 93 of 100 seeds; also where only 25 of 500 images are blind, and people differ in speed."""
    found = [simulated(s, saving=saving, blind_share=blind_share, speeds=speeds) for s in range(100)]
    held = sum(one.low <= saving <= one.high for one in found if one.low is not None and one.high is not None)
    assert held >= 93


def test_fast_people_on_blind_images_do_not_hide_the_saving() -> None:
    """Each is compared with themselves: all together they would seem to have lost time."""
    rng = np.random.default_rng(0)
    author = rng.integers(0, 2, 2000)
    blind = rng.random(2000) < np.where(author == 0, 0.5, 0.05)
    seconds = np.where(author == 0, 20.0, 100.0) * rng.lognormal(0.0, 0.3, 2000)
    seconds[~blind] *= 0.5
    arms = [arm_sums(author[chosen], seconds[chosen], n_authors=2) for chosen in (~blind, blind)]
    compared = compare_arms(*arms, seed=0)
    assert compared.value == pytest.approx(0.5, abs=0.05)
    pooled = 1.0 - seconds[~blind].mean() / seconds[blind].mean()
    assert pooled < 0.2


def test_who_was_in_one_arm_only_does_not_count() -> None:
    rng = np.random.default_rng(0)
    author = np.repeat([0, 0, 1], 100)
    blind = np.repeat([True, False, False], 100)
    seconds = np.where(blind, 40.0, 20.0) * rng.lognormal(0.0, 0.2, 300)
    seconds[author == 1] = 1000.0
    arms = [arm_sums(author[chosen], seconds[chosen], n_authors=2) for chosen in (~blind, blind)]
    assert compare_arms(*arms, seed=0).value == pytest.approx(0.5, abs=0.05)
    apart = [arm_sums(author[chosen], seconds[chosen], n_authors=2) for chosen in (author == 1, blind)]
    assert compare_arms(*apart, seed=0).value is None


def reviewed(
    n: int, review: Annotation, *, arm: Arm = "helped", seconds: Sequence[float | None] = (None,)
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


def test_against_the_blind_arm_the_saving_is_measured() -> None:
    helped = reviewed(100, KEPT, seconds=(18.0, 22.0))
    blind = reviewed(20, KEPT, arm="blind", seconds=(95.0, 105.0))
    effort = effort_of(helped + blind)
    assert effort.method == "blind"
    saving = effort.saving
    assert saving is effort.blind
    assert saving.share.value == pytest.approx(0.8)
    assert saving.hours.value == pytest.approx(100 * 80 / 3600)
    assert saving.money.value == pytest.approx(0.8 * 100 * (0.063 + 0.063 + 0.87))
    assert saving.hours_spent == pytest.approx(100 * 20 / 3600)
    assert (saving.n_images, saving.n_blind, saving.n_timed, saving.n_strata) == (100, 20, 100, 1)
    assert saving.share.low is not None
    assert saving.share.low < 0.8


def test_times_that_are_unknown_or_a_day_long_stand_for_the_mean() -> None:
    helped = reviewed(100, KEPT, seconds=(*(18.0, 22.0) * 8, None, 0.0, 86_400.0, None))
    blind = reviewed(20, KEPT, arm="blind", seconds=(95.0, 105.0))
    saving = effort_of(helped + blind).saving
    assert saving.share.value == pytest.approx(0.8)
    assert saving.hours_spent == pytest.approx(100 * 20 / 3600)
    assert (saving.n_images, saving.n_timed) == (100, 80)


def test_without_a_blind_arm_a_cost_model_says_what_by_hand_would_have_taken() -> None:
    effort = effort_of(reviewed(30, KEPT))
    assert effort.method == "costs"
    saving = effort.saving
    by_hand_s, helped_s = 35.0 + 35.0 + 80.0, 3 * 7.0
    assert saving.share.value == pytest.approx(1.0 - helped_s / by_hand_s)
    assert saving.hours.value == pytest.approx(30 * (by_hand_s - helped_s) / 3600)
    assert saving.money.value == pytest.approx((1.0 - helped_s / by_hand_s) * 30 * (2 * 0.063 + 0.87))
    assert (saving.n_blind, saving.n_timed, saving.n_strata) == (0, 0, 0)
    measured = effort_of(reviewed(30, KEPT, seconds=(75.0,)))
    assert measured.saving.share.value == pytest.approx(0.5)
    assert measured.saving.n_timed == 30


def test_what_is_drawn_moved_renamed_and_deleted_costs_its_seconds() -> None:
    drawn = boxed("new", "gear", (1, 14, 9, 19))
    moved = boxed("r1", "bolt", (4, 2, 14, 12))
    renamed = boxed("r2", "gear", (20, 5, 30, 15))
    costs = CostModel(box_by_hand_s=30.0, mask_by_hand_s=100.0, check_s=5.0, box_price=1.0, mask_price=2.0)
    effort = effort_of(reviewed(30, annotation([moved, renamed, drawn])), costs)  # and the belt deleted
    helped_s = (5.0 + 30.0) + (5.0 + 5.0) + 30.0 + 5.0
    assert effort.costs.hours_spent == pytest.approx(30 * helped_s / 3600)
    assert effort.costs.share.value == pytest.approx(1.0 - helped_s / 90.0)


def test_help_that_costs_more_than_it_saves_is_a_negative_saving() -> None:
    effort = effort_of(reviewed(30, annotation([boxed("x", "gear", (1, 14, 9, 19))])))
    assert effort.saving.share.value == pytest.approx(1.0 - (3 * 7.0 + 35.0) / 35.0)
    assert effort.saving.money.value is not None
    assert effort.saving.money.value < 0.0


def test_too_few_blind_images_leave_the_cost_model() -> None:
    cases = reviewed(100, KEPT, seconds=(20.0, 25.0)) + reviewed(4, KEPT, arm="blind", seconds=(90.0, 99.0))
    effort = effort_of(cases)
    assert effort.method == "costs"
    assert effort.blind.share.value is None
    assert effort.blind.n_blind == 4


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
