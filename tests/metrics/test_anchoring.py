"""The difference of two figures, how many control images one needs, and which images the headline is from."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.metrics.anchoring import CommonImages, difference_of
from detseg.metrics.cases import Case
from detseg.metrics.control_plan import plan_control
from detseg.metrics.intervals import AIM, UNKNOWN, Estimate, wilson
from detseg.metrics.model_quality import ModelQuality, ModelTally
from detseg.metrics.shown import show
from detseg.types import Arm, Region
from tests.metrics.made import annotation, block, boxed, case, masked

RIGHT, BESIDE = boxed("t", "bolt", (2, 2, 12, 12)), boxed("r", "bolt", (2, 2, 12, 10), 0.9)
"""The true box, and the model's at IoU 0.8."""


def test_the_difference_of_shares_is_newcombes() -> None:
    """Table II of "Interval estimation for the difference between independent proportions", 1998, method 10.

    Some of its samples are too few to act on.
    """
    for before, after, expected in [
        ((48, 80), (56, 70), (0.0524, 0.3339)),
        ((3, 10), (9, 10), (0.1705, 0.8090)),
        ((2, 7), (6, 7), (0.0582, 0.8062)),
        ((0, 29), (5, 56), (-0.0381, 0.1926)),
        ((0, 20), (0, 10), (-0.1611, 0.2775)),
        ((0, 10), (10, 10), (0.6075, 1.0)),
    ]:
        found = show(difference_of(wilson(*after), wilson(*before)))
        assert (found.low, found.high) == pytest.approx(expected, abs=5e-5)


@given(st.integers(10, 200), st.integers(10, 200), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_what_two_figures_share_narrows_their_difference(n: int, m: int, a: float, b: float) -> None:
    first, second = wilson(round(a * n), n), wilson(round(b * m), m)
    found, paired = difference_of(first, second), difference_of(first, second, correlation=0.5)
    assert found.low is not None
    assert found.high is not None
    assert paired.low is not None
    assert paired.high is not None
    assert found.low - 1e-12 <= paired.low <= paired.high <= found.high + 1e-12


def test_too_little_of_one_side_is_too_little_for_the_difference() -> None:
    few, many = wilson(3, 5), wilson(90, 100)
    found = difference_of(many, few)
    assert found.value is None
    assert found.rough is not None
    assert found.rough.value == pytest.approx(0.3)
    assert few.rough is not None
    assert found.rough.n_more == few.rough.n_more
    assert difference_of(UNKNOWN, many) == UNKNOWN


def test_control_images_that_tell_nothing_of_the_figure_are_not_planned_away() -> None:
    """Of 80 control images 12 have masks; ±0.05 takes 48 that have, so 36 more, and not -32."""
    miou = Estimate(0.6, 0.5, 0.7, 12, 48)
    assert plan_control(miou, UNKNOWN, n_control=80).n_more == 36
    gold = Estimate(0.6, 0.5, 0.7, 12, 48)
    assert plan_control(gold, UNKNOWN, n_control=3).n_more == 45


@pytest.mark.parametrize(("share", "n"), [(0.5, 20), (0.8, 40), (0.9, 60)])
def test_the_planned_images_make_the_interval_that_was_wanted(share: float, n: int) -> None:
    plan = plan_control(wilson(round(share * n), n), UNKNOWN, n_control=n)
    whole = n + plan.n_more
    then = wilson(round(share * whole), whole)
    assert then.low is not None
    assert then.high is not None
    assert (then.high - then.low) / 2 == pytest.approx(AIM, abs=0.15 * AIM)


def test_the_bound_is_of_the_widest_spread_there_is() -> None:
    """Of values of which half are 0 and half 1."""
    plan = plan_control(UNKNOWN, UNKNOWN, n_control=0)
    half = 1.96 * np.std([0.0, 1.0]) / math.sqrt(plan.n_more)
    assert (plan.spread, half) == ("bound", pytest.approx(AIM, rel=0.01))
    assert plan_control(UNKNOWN, wilson(90, 100), n_control=0).spread == "assisted"
    assert plan_control(wilson(600, 1000), UNKNOWN, n_control=0).n_more == 0


@pytest.mark.parametrize(("agreeing", "spread"), [(200, "bound"), (191, "bound"), (190, "assisted")])
def test_reviewers_who_leave_all_as_it_is_say_nothing_of_the_spread(agreeing: int, spread: str) -> None:
    """Their images are alike, and those of people who do not see the model are not."""
    plan = plan_control(UNKNOWN, wilson(agreeing, 200), n_control=0)
    assert plan.spread == spread
    assert (plan.n_more == 385) == (spread == "bound")


def quality(**n_images: int) -> ModelQuality:
    """A model that is 0.8 of each object right; who saw its box left it."""
    tally = ModelTally()
    for arm, n in n_images.items():
        for number in range(n):
            tally.add(_case(arm, number))  # type: ignore[arg-type]
    return tally.result()


def _case(arm: Arm, number: int) -> Case:
    name = f"sha256:{arm}{number}"
    left = replace(BESIDE, instance=replace(BESIDE.instance, score=None))
    reviewed = annotation([RIGHT if arm == "control" else left], image=name)
    one = case(annotation([BESIDE], image=name), reviewed, arm=arm)
    return replace(one, gold=annotation([RIGHT], image=name) if arm == "gold" else None)


def test_the_headline_is_of_people_who_did_not_see_the_model() -> None:
    model = quality(assisted=30, control=12, decoy=3)
    assert model.headline == "control"
    assert model.best is not None
    assert model.best.boxes.score.ap == pytest.approx(0.7)  # right up to IoU 0.80: seven of ten
    assert model.assisted.boxes.score.ap == pytest.approx(1.0)
    assert model.anchoring is not None
    assert (model.anchoring.same_images, model.anchoring.n_alone) == (False, 12)
    assert show(model.anchoring.box_ap).value == pytest.approx(0.3)


def test_gold_images_are_compared_with_the_reviews_of_the_same_images() -> None:
    model = quality(assisted=30, gold=12)
    assert (model.headline, model.assisted.n_images) == ("gold", 42)
    assert model.anchoring is not None
    assert (model.anchoring.same_images, model.anchoring.n_assisted) == (True, 12)
    assert show(model.anchoring.box_ap).value == pytest.approx(0.3)


def test_assisted_reviews_alone_make_no_headline() -> None:
    model = quality(assisted=30)
    assert (model.headline, model.best, model.anchoring) == (None, None, None)
    assert model.detailed.source == "assisted"


def gold_of(truth: list[Region], said: list[Region]) -> ModelQuality:
    tally = ModelTally()
    tally.add(replace(case(annotation(said), annotation(said), arm="gold"), gold=annotation(truth)))
    return tally.result()


def test_a_truth_without_masks_says_nothing_of_masks() -> None:
    mask = block(2, 2, 12, 12)
    said = [
        masked("r", "bolt", mask, score=0.9),
        masked("s", "belt", block(0, 20, 40, 30), score=0.9, kind="stuff"),
    ]
    boxes_only = gold_of([RIGHT], said).gold
    assert (boxes_only.boxes.n_images, boxes_only.masks.n_images) == (1, 0)
    assert boxes_only.segmentation.images.n_images == 0
    things_only = gold_of([masked("t", "bolt", mask)], said).gold
    assert (things_only.masks.n_images, things_only.panoptic.images.n_images) == (1, 0)
    whole = gold_of(
        [masked("t", "bolt", mask), masked("u", "belt", block(0, 20, 40, 30), kind="stuff")], said
    ).gold
    assert whole.panoptic.images.n_images == 1


def test_few_images_and_unlike_ones_narrow_no_difference() -> None:
    """Only what is surely alike on the same images does."""
    rng = np.random.default_rng(1)
    for n, alike, least, most in ((3, True, 0.0, 0.0), (100, True, 0.85, 1.0), (100, False, 0.0, 0.2)):
        common = CommonImages()
        for _ in range(n):
            first, second = rng.uniform(7.0, 10.0, 2)
            truths = [annotation([boxed("t", "bolt", (2, 2, 12, 2 + y))]) for y in (first, second)]
            said = annotation([boxed("r", "bolt", (2, 2, 12, 12), 0.9)])
            common.add(said, assisted=truths[0], alone=truths[0 if alike else 1])
        assert least <= common.correlation() <= most
    assert CommonImages().correlation() == 0.0
