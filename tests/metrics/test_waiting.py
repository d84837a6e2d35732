"""What is expected of images that nobody has reviewed, and whether that may be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from bench.coverage.frame import Setup, run_setup
from bench.coverage.thresholds import CHANCE, order_trial
from detseg.metrics.cases import Case
from detseg.metrics.costs import CostModel
from detseg.metrics.expected_edits import Expectations, ShownRegion, learn_expectations
from detseg.metrics.waiting import N_RANKED, Waiting, WaitingImage
from detseg.metrics.work import WorkTally
from detseg.metrics.work_log import WorkLog
from detseg.types import Arm, ImageId, ModelVersion, Region
from tests.metrics.made import annotation, block, boxed, case, masked

COSTS = CostModel()
MODEL = ModelVersion("made@00000001")
SURE, UNSURE = ShownRegion("bolt", False, 0.95), ShownRegion("bolt", False, 0.25)


def reviewed(seed: int, *, wrong: float = 0.8, missed: float = 0.0) -> Case:
    """An image of up to eight boxes: unsure ones are wrong so often, sure ones never."""
    rng = np.random.default_rng(seed)
    shown = [
        boxed(f"r{k}", "bolt", (4.0 * k, 0, 4.0 * k + 3, 8), 0.25 if rng.random() < 0.3 else 0.95)
        for k in range(int(rng.integers(1, 9)))
    ]
    kept: list[Region] = [one for one in shown if one.instance.score == 0.95 or rng.random() >= wrong]
    if rng.random() < missed:
        kept.append(boxed("new", "nut", (1, 20, 9, 28)))
    return case(annotation(shown, image=f"{seed:04}"), annotation(kept, image=f"{seed:04}"))


def expectations(cases: Sequence[Case]) -> Expectations:
    log = WorkLog(COSTS)
    for one in cases:
        log.add(one)
    return learn_expectations(log.tables(), COSTS)


def waiting(number: int, regions: Sequence[ShownRegion], *, version: ModelVersion = MODEL) -> WaitingImage:
    image = ImageId(f"w{number:04}")
    return WaitingImage(
        image, number, f"https://example.org/{number}", f"{number}.png", version, tuple(regions)
    )


def rank(cases: Sequence[Case], images: Sequence[WaitingImage]) -> Waiting:
    tally = WorkTally(COSTS)
    for one in cases:
        tally.add(one)
    return tally.rank(images)


def test_rates_are_learned_by_score() -> None:
    learned = expectations([reviewed(seed) for seed in range(150)])
    deleted = learned.fate(UNSURE).shares[3]
    assert deleted == pytest.approx(0.8, abs=0.06)
    assert sum(learned.fate(UNSURE).costs_s) == pytest.approx(deleted * COSTS.check_s, abs=0.01)
    assert sum(learned.fate(SURE).costs_s) < 0.05
    of_three = learned.edits([UNSURE, UNSURE, SURE])
    assert of_three.deleted == pytest.approx(2 * deleted + learned.fate(SURE).shares[3])
    assert learned.costs_s([UNSURE, UNSURE, SURE]).deleted == pytest.approx(of_three.deleted * COSTS.check_s)


def test_what_was_never_seen_is_as_its_class_and_that_as_all_others() -> None:
    learned = expectations([reviewed(seed) for seed in range(60)])
    assert learned.fate(replace(SURE, score=0.55)) == learned.by_class["bolt", False]
    assert learned.fate(ShownRegion("nut", False, 0.5)) == learned.by_mask[False]
    assert learned.fate(ShownRegion("nut", True, 0.5)) == learned.by_mask[True]
    assert learned.by_mask[True].shares == learned.by_mask[False].shares


def test_drawing_a_mask_anew_costs_a_mask() -> None:
    mask, other = block(2, 2, 20, 20), block(2, 2, 20, 9)
    cases = [
        case(
            annotation([masked("r", "bolt", mask, score=0.5)], image=str(i)),
            annotation([masked("r", "bolt", other)], image=str(i)),
        )
        for i in range(20)
    ]
    learned = expectations(cases)
    assert learned.costs_s([ShownRegion("bolt", True, 0.5)]).total == COSTS.check_s + COSTS.mask_by_hand_s
    assert learned.edits([ShownRegion("bolt", True, 0.5)]).reshaped == 1.0


def test_missed_objects_count_where_as_many_regions_are_shown() -> None:
    learned = expectations([reviewed(seed, wrong=0.0, missed=0.5) for seed in range(100)])
    assert learned.edits([SURE] * 4).added == pytest.approx(0.5, abs=0.12)
    assert learned.edits([SURE] * 500).added == learned.edits([]).added == learned.added_anywhere
    assert learned.costs_s([]).total == pytest.approx(learned.added_anywhere * COSTS.box_by_hand_s)


@pytest.mark.parametrize("arm", ["control", "decoy"])
def test_who_was_not_shown_the_models_regions_teaches_nothing(arm: Arm) -> None:
    cases = [reviewed(seed) for seed in range(30)]
    others = [replace(reviewed(seed, wrong=0.0), arm=arm) for seed in range(100, 200)]
    a, b = expectations(cases), expectations([*others, *cases])
    assert (a.by_score, a.by_class, a.added) == (b.by_score, b.by_class, b.added)
    assert rank(others, [waiting(1, [SURE])]).check.n_images == 0


def test_the_dearest_images_come_first_equal_ones_by_id() -> None:
    images = [waiting(1, [SURE]), waiting(2, [SURE, UNSURE]), waiting(3, [UNSURE] * 3), waiting(0, [SURE])]
    found = rank([reviewed(seed) for seed in range(150)], images)
    assert [one.task_id for one in found.ranked] == [3, 2, 0, 1]
    first = found.ranked[0]
    assert (first.image, first.uri, first.n_regions) == ("w0003", "3.png", 3)
    assert first.edits.deleted == pytest.approx(3 * 0.8, abs=0.2)
    assert first.cost_s == first.costs_s.total
    assert [one.cost_s for one in found.ranked] == sorted((o.cost_s for o in found.ranked), reverse=True)


def test_the_list_ends_and_the_count_does_not() -> None:
    images = [waiting(n, [UNSURE]) for n in range(N_RANKED + 50)]
    images += [waiting(9_000 + n, [UNSURE], version=ModelVersion("new@00000002")) for n in range(3)]
    found = rank([reviewed(seed) for seed in range(150)], images)
    assert (len(found.ranked), found.n_images, found.n_new_model) == (N_RANKED, N_RANKED + 53, 3)


def test_held_out_images_say_how_good_the_order_is() -> None:
    check = rank([reviewed(seed) for seed in range(300)], []).check
    assert check.n_images == 300
    assert check.found.value is not None
    assert check.found.low is not None
    assert check.found_by_count.value is not None
    assert check.found_at_best is not None
    assert 0.2 < check.found.low <= check.found.value <= check.found_at_best
    assert check.found.value > check.found_by_count.value + 0.1  # scores tell more than numbers do
    assert check.holds


def test_where_edits_are_chance_it_says_so() -> None:
    """One box in each image, wrong half of the time whatever its score: no order is better than another."""
    rng = np.random.default_rng(0)
    cases = []
    for i in range(200):
        shown = [boxed("r", "bolt", (2, 2, 12, 12), round(float(rng.random()), 2))]
        after = annotation(shown if rng.random() < 0.5 else (), image=f"{i:04}")
        cases.append(case(annotation(shown, image=f"{i:04}"), after))
    found = rank(cases, [waiting(1, [SURE])])
    assert not found.check.holds
    assert found.check.found.low is not None
    assert found.check.found.low <= 0.2 <= (found.check.found.high or 0.0)
    assert [one.task_id for one in found.ranked] == [1]


def test_with_nothing_to_learn_a_fifth_is_found() -> None:
    """On average over 40 projects: lists of different folds are not put together."""
    draw = partial(order_trial, scores=replace(CHANCE, n=60, per_image=3, same_counts=True))
    row = run_setup(Setup("Order of waiting images", "test", draw), seed=1, n_trials=40)
    assert abs(row.bias) < 0.02
    assert row.n_held >= 37


@pytest.mark.parametrize("n", [0, 1, 9, 40])
def test_too_little_makes_no_list(n: int) -> None:
    found = rank([reviewed(seed, wrong=0.1) for seed in range(n)], [waiting(1, [SURE])])
    assert (found.n_images, found.ranked, found.check.n_images) == (1, (), n)
    assert found.check.found.value is None
    assert not found.check.holds


def test_images_without_any_change_make_no_list() -> None:
    check = rank([reviewed(seed, wrong=0.0) for seed in range(40)], [waiting(1, [SURE])]).check
    assert (check.found.value, check.found_at_best, check.holds) == (None, None, False)


def test_several_reviews_of_an_image_are_in_one_fold() -> None:
    """What one person did to an image must not foretell what the other did to it."""
    rng = np.random.default_rng(3)
    cases = []
    for i in range(120):
        shown = [boxed("r", f"class {i}", (2, 2, 12, 12), 0.5)]
        regions = shown if rng.random() < 0.5 else ()
        people = [annotation(regions, image=f"{i:04}", author=name) for name in ("ann", "bea")]
        cases.append(case(annotation(shown, image=f"{i:04}"), *people))
    check = rank(cases, []).check
    assert check.n_images == 120
    assert not check.holds


def test_the_same_reviews_give_the_same_list() -> None:
    cases = [reviewed(seed) for seed in range(60)]
    images = [waiting(n, [UNSURE] * (n % 4)) for n in range(20)]
    assert rank(cases, images) == rank(cases, images)
    assert [o.image for o in rank(cases, images[::-1]).ranked] == [
        o.image for o in rank(cases, images).ranked
    ]
