"""The difference of two figures, how many control images one needs, and which images the headline is from."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from detseg.metrics.anchoring import SameImages, difference_of
from detseg.metrics.cases import Case
from detseg.metrics.control_plan import plan_control
from detseg.metrics.intervals import AIM, UNKNOWN, Estimate, wilson
from detseg.metrics.model_quality import ModelQuality, ModelTally
from detseg.metrics.shown import show
from detseg.types import Arm, ImageId, Region
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


def drawn_box(height: float) -> Region:
    return boxed("t", "bolt", (2, 2, 12, 2 + height))


def same_images(n: int, *, alike: bool) -> SameImages:
    """Images whose true height differs, with people who draw it 1 px short, or who draw another image's."""
    images, rng = SameImages(), np.random.default_rng(1)
    said = annotation([boxed("r", "bolt", (2, 2, 12, 12), 0.9)])
    for number in range(n):
        first, second = rng.uniform(6.0, 10.0, 2)
        name = f"sha256:{number:04}"
        alone = annotation([drawn_box(first)], image=name)
        assisted = annotation([drawn_box(first - 1.0 if alike else second)], image=name)
        images.add(replace(said, image=ImageId(name)), alone=alone, assisted=assisted, with_masks=False)
    return images


def test_what_both_figures_have_in_common_narrows_their_difference() -> None:
    """An image that is easy against the truth is easy against its review."""
    alike, unlike = (same_images(60, alike=one).bounds()["ap"] for one in (True, False))
    assert 0.0 < alike[1] - alike[0] < 0.6 * (unlike[1] - unlike[0])
    few = same_images(8, alike=True).bounds()["ap"]
    assert few[1] - few[0] > 1.5 * (alike[1] - alike[0])


def test_reviews_that_equal_the_truth_leave_room_for_images_that_were_not_seen() -> None:
    """None of 30 images makes a difference: up to 11.6 % of others may (the exact rule of three)."""
    images = SameImages()
    for number in range(30):
        one = annotation([RIGHT], image=f"sha256:{number:04}")
        images.add(replace(one, regions=(BESIDE,)), alone=one, assisted=one, with_masks=False)
    assert images.bounds()["ap"] == pytest.approx((-0.1157, 0.1157), abs=1e-4)


def test_an_image_alone_tells_nothing_of_the_difference() -> None:
    assert same_images(1, alike=True).bounds()["ap"] == (-1.0, 1.0)


def test_the_figures_of_masks_spread_as_bootstrapped_images_do() -> None:
    """The model says 60 pixels; the truth has 100, and every other review of it."""
    truth, seen = (masked("t", "bolt", block(2, 2, 12, bottom)) for bottom in (12, 8))
    images = SameImages()
    for number in range(20):
        alone, assisted, said = (
            annotation([one], image=f"sha256:{number:04}")
            for one in (truth, seen if number % 2 else truth, seen)
        )
        images.add(said, alone=alone, assisted=assisted, with_masks=True)
    low, high = images.bounds()["miou"]
    n_whole = np.random.default_rng(1).binomial(20, 0.5, 20_000)  # whole objects among 20 drawn images
    drawn = 20 * 60 / (n_whole * 100 + (20 - n_whole) * 60) - 60 / 100
    assert low < 20 * 60 / (10 * 60 + 10 * 100) - 60 / 100 < high
    assert (high - low) / 2 == pytest.approx(2.09 * drawn.std(), rel=0.15)  # Student's t of 19
