"""The threshold at which people's work is least."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.coverage.frame import Setup, run_setup
from bench.coverage.thresholds import Scores, threshold_trial
from detseg.metrics.cases import Case
from detseg.metrics.costs import CostModel
from detseg.metrics.thresholds import ThresholdChoice, best_threshold
from detseg.metrics.work import WorkTally
from detseg.types import Arm, Region
from tests.metrics.made import annotation, block, boxed, case, masked

COSTS = CostModel()


def choices(cases: Sequence[Case], costs: CostModel = COSTS) -> dict[str, ThresholdChoice]:
    tally = WorkTally(costs)
    for one in cases:
        tally.add(one)
    return dict(tally.result().thresholds.per_class)


def bolts(n: int, *, right_above: float, seed: int = 0, arm: Arm = "assisted") -> list[Case]:
    """Images with three bolts of scores from 0.3 on; those below a score are deleted."""
    rng = np.random.default_rng(seed)
    cases = []
    for i in range(n):
        shown = [
            boxed(f"r{k}", "bolt", (10.0 * k, 0, 10.0 * k + 8, 8), float(rng.uniform(0.3, 1.0)))
            for k in range(3)
        ]
        kept = [region for region in shown if (region.instance.score or 0.0) >= right_above]
        cases.append(case(annotation(shown, image=str(i)), annotation(kept, image=str(i)), arm=arm))
    return cases


def test_the_threshold_parts_right_from_wrong() -> None:
    choice = choices(bolts(300, right_above=0.6))["bolt"]
    assert choice.threshold == pytest.approx(0.6, abs=0.01)
    assert choice.lowest_known == pytest.approx(0.3, abs=0.01)
    assert not choice.at_lowest
    assert choice.pays
    assert choice.n_true + choice.n_false == 900
    saved = choice.saved_s_per_1000_images
    true_saving_s = 1000 * 3 * (0.3 / 0.7) * COSTS.check_s  # every wrong one costs its deletion
    assert saved.low is not None
    assert saved.high is not None
    assert saved.low <= true_saving_s <= saved.high


def test_where_all_is_right_the_lowest_known_threshold_is_best_and_lower_ones_are_not_known() -> None:
    choice = choices(bolts(100, right_above=0.0))["bolt"]
    assert choice.at_lowest
    assert choice.threshold == choice.lowest_known
    assert not choice.pays
    assert choice.saved_s_per_1000_images.value is None  # nothing changes


def test_what_the_threshold_in_use_leaves_out_is_no_saving() -> None:
    """Scores below it are those of older predictions."""
    tally = WorkTally(COSTS)
    for one in bolts(300, right_above=0.6):
        tally.add(one)
    found = {
        in_use: tally.thresholds(in_use={"bolt": in_use}).per_class["bolt"]
        for in_use in (0.0, 0.45, 0.6, 0.8)
    }
    assert {one.threshold for one in found.values()} == {found[0.0].threshold}
    assert [one.pays for one in found.values()] == [True, True, False, False]
    assert found[0.6].saved_s_per_1000_images.value is None
    whole, half = (found[at].saved_s_per_1000_images.value for at in (0.0, 0.45))
    assert whole is not None
    assert half == pytest.approx(whole / 2, rel=0.1)
    assert [one.in_use for one in found.values()] == list(found)


def test_a_saving_is_told_from_a_hundred_images_on() -> None:
    """Before that, what is known of it stays to be shown; nothing pays yet."""
    few = choices(bolts(99, right_above=0.6))["bolt"]
    assert few.saved_s_per_1000_images.value is None
    assert few.saved_s_per_1000_images.rough is not None
    assert (few.saved_s_per_1000_images.rough.n_more, few.pays) == (1, False)
    assert choices(bolts(100, right_above=0.6))["bolt"].pays


def test_images_that_a_saving_lacks_are_reviewed_ones_of_any_kind() -> None:
    """Five of 120 images have a region that the threshold leaves out: ten of 240 would have."""
    wrong, right = (boxed(f"r{k}", "bolt", (10.0 * k, 0, 10.0 * k + 8, 8), (0.3, 0.9)[k]) for k in (0, 1))
    cases = [
        case(
            annotation([wrong, right] if i < 5 else [right], image=str(i)), annotation([right], image=str(i))
        )
        for i in range(120)
    ]
    saved = choices(cases)["bolt"].saved_s_per_1000_images
    assert saved.value is None
    assert saved.rough is not None
    assert (saved.n, saved.rough.n_more) == (120, 120)
    assert choices(bolts(200, right_above=0.6))["bolt"].saved_s_per_1000_images.n == 200


def test_the_interval_holds_what_the_threshold_saves_on_other_images() -> None:
    """In at least 46 of 50 projects of these seeds, where images differ."""
    draw = partial(threshold_trial, scores=Scores(200, steep=3.0, spread=0.2))
    row = run_setup(Setup("Saved by a threshold", "test", draw), seed=1, n_trials=50)
    assert row.n_shown == 50
    assert row.n_held >= 46


def test_chance_is_no_reason_to_change_a_threshold() -> None:
    """Right and wrong do not depend on the score: what such data promises is never kept."""
    rng = np.random.default_rng(0)
    promised = kept = 0
    for _ in range(40):
        cases = []
        for i in range(60):
            shown = [boxed("r", "bolt", (0, 0, 8, 8), float(rng.uniform(0.3, 1.0)))]
            right = shown if rng.random() < 0.2 else []  # 0.2 * 28 = 0.8 * 7: it is all the same
            cases.append(case(annotation(shown, image=str(i)), annotation(right, image=str(i))))
        choice = choices(cases)["bolt"]
        promised += not choice.at_lowest
        kept += choice.pays
    assert promised >= 30
    assert kept <= 4


def test_a_mask_is_dearer_to_draw_than_a_box_so_its_threshold_is_lower() -> None:
    def shown(region: Region, right: bool, i: int) -> Case:
        return case(annotation([region], image=str(i)), annotation([region] if right else [], image=str(i)))

    cases = []
    for i in range(200):
        score, right = (
            0.5 + 0.05 * (i % 10),
            (i // 10) % 10 < 1 + i % 10,
        )  # higher scores are more often right
        box = boxed("r", "box", (0, 0, 8, 8), score)
        mask = masked("m", "mask", block(0, 0, 8, 8), score=score)
        cases += [shown(box, right, 2 * i), shown(mask, right, 2 * i + 1)]
    found = choices(cases)
    assert found["mask"].threshold < found["box"].threshold


def test_what_was_corrected_was_right_and_what_was_added_has_no_score() -> None:
    shown = [boxed("r", "bolt", (0, 0, 8, 8), 0.5)]
    corrected = [boxed("r", "nut", (0, 0, 9, 8)), boxed("new", "gear", (20, 20, 28, 28))]
    found = choices(
        [case(annotation(shown, image=str(i)), annotation(corrected, image=str(i))) for i in range(20)]
    )
    assert list(found) == ["bolt"]
    assert (found["bolt"].n_true, found["bolt"].n_false) == (20, 0)


def test_regions_without_scores_nobodys_reviews_and_decoys_choose_nothing() -> None:
    unscored = case(annotation([boxed("r", "bolt", (0, 0, 8, 8))]), annotation())
    assert choices([unscored]) == {}
    assert choices([]) == {}
    assert choices(bolts(20, right_above=0.6, arm="decoy") + bolts(20, right_above=0.6, arm="control")) == {}
    one = choices(bolts(1, right_above=0.6))["bolt"]
    assert one.saved_s_per_1000_images.value is None
    assert not one.pays


scored = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([7.0, -28.0, -73.0])), min_size=1, max_size=30
).map(lambda pairs: tuple(np.array(column) for column in zip(*pairs, strict=True)))


@given(scored)
def test_no_other_threshold_saves_more(
    drawn: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
) -> None:
    scores, gains = drawn

    def saved(threshold: float) -> float:
        return float(gains[scores < threshold].sum())

    best = best_threshold(scores, gains)
    assert scores.min() <= best <= 1.0
    others = [hundredth / 100 for hundredth in range(101)]
    assert saved(best) >= max(map(saved, others)) - 1e-9
    assert not any(saved(other) >= saved(best) for other in others if scores.min() < other < best)


@given(st.floats(0, 1))
def test_one_wrong_region_is_left_out_unless_its_score_is_1(score: float) -> None:
    threshold = best_threshold(np.array([score]), np.array([7.0]))
    assert threshold > score or threshold == score == 1.0


def test_a_threshold_is_in_hundredths_unless_it_is_the_lowest_score() -> None:
    assert best_threshold(np.array([0.31234, 0.47891]), np.array([7.0, -28.0])) == 0.32
    assert best_threshold(np.array([0.4312, 0.4389]), np.array([7.0, -28.0])) == 0.4312
