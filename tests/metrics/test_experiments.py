from collections.abc import Sequence
from dataclasses import replace

import pytest

from detseg.metrics.cases import Case
from detseg.metrics.experiments import DecoyTally, GoldTally, passed_decoys
from detseg.types import Annotation, Arm, Decoy, ModelVersion, Region
from tests.metrics.made import annotation, block, boxed, masked

BOLT = boxed("m1", "bolt", (0, 0, 10, 10), 0.9)
WRONG = Decoy("label", boxed("d1", "nut", (0, 0, 10, 10), 0.8))
SHIFTED = Decoy("shift", boxed("d2", "bolt", (5, 0, 15, 10), 0.8))


def case(
    reviews: Sequence[Annotation],
    *,
    arm: Arm = "decoy",
    decoys: Sequence[Decoy] = (WRONG,),
    gold: Annotation | None = None,
) -> Case:
    prediction = annotation([BOLT])
    return Case(
        image=prediction.image,
        uri="0.png",
        task_id=1,
        task_url="",
        arm=arm,
        model_version=ModelVersion("m@1"),
        prediction=prediction,
        reviews=tuple(reviews),
        decoys=tuple(decoys),
        gold=gold,
    )


def moved(region: Region, dx: float) -> Region:
    box = region.instance.box
    assert box is not None
    return boxed(region.id, region.instance.label, (box.x0 + dx, box.y0, box.x1 + dx, box.y1), 0.8)


def relabeled(region: Region, label: str) -> Region:
    return replace(region, instance=replace(region.instance, label=label))


@pytest.mark.parametrize(
    ("left", "is_there"),
    [
        ((WRONG.region,), True),
        ((), False),
        ((relabeled(WRONG.region, "bolt"),), False),
        ((moved(WRONG.region, 1.0),), True),  # nudged
        ((moved(WRONG.region, 6.0),), False),
        ((boxed("new", "nut", (0, 0, 10, 10)),), True),  # copied and pasted
        ((boxed("new", "nut", (0, 1, 10, 11)),), False),  # drawn
        ((relabeled(BOLT, "nut"),), False),  # the model's own region was wrong, and was mended
    ],
)
def test_a_decoy_is_still_there_or_not(left: tuple[Region, ...], is_there: bool) -> None:
    passed = passed_decoys([WRONG], annotation(left))
    assert [(decoy, region) for decoy, region in passed] == ([(WRONG, left[0])] if is_there else [])


def test_a_shifted_decoy_that_is_put_right_was_found() -> None:
    assert passed_decoys([SHIFTED], annotation([SHIFTED.region]))
    assert not passed_decoys([SHIFTED], annotation([moved(SHIFTED.region, -5.0)]))


def test_a_mask_that_was_dropped_does_not_hide_the_decoy() -> None:
    both = masked("d3", "nut", block(0, 0, 10, 10), score=0.8, box=WRONG.region.instance.box)
    decoy = Decoy("label", both)
    left = replace(both, instance=replace(both.instance, mask=None))
    assert passed_decoys([decoy], annotation([left]))


def test_decoys_are_counted_by_kind_and_annotator() -> None:
    tally = DecoyTally()
    for n in range(40):
        ann = annotation([BOLT, WRONG.region] if n % 4 == 0 else [BOLT], author="ann")
        bob = annotation([BOLT, SHIFTED.region], author="bob")
        cyd = annotation([WRONG.region, SHIFTED.region], author="cyd", state="skipped")
        tally.add(case([ann, bob, cyd], decoys=[WRONG, SHIFTED]))
    result = tally.result()
    assert (result.all.n_shown, result.all.n_missed) == (160, 50)
    assert result.all.missed.value == pytest.approx(50 / 160)
    assert result.all.missed.n == 40
    assert result.per_annotator.keys() == {"ann", "bob"}
    assert result.per_annotator["ann"].missed.value == pytest.approx(10 / 80)
    assert result.per_annotator["bob"].missed.value == pytest.approx(40 / 80)
    assert result.per_kind.keys() == {"label", "shift"}
    assert result.per_kind["label"].n_missed == 10
    assert result.per_kind["shift"].n_missed == 40
    low, high = result.all.missed.low, result.all.missed.high
    assert low is not None
    assert high is not None
    assert low < 50 / 160 < high


def test_on_an_image_that_was_emptied_nothing_was_missed() -> None:
    tally = DecoyTally()
    tally.add(case([annotation([])]))
    assert (tally.result().all.n_shown, tally.result().all.n_missed) == (1, 0)


def test_other_arms_and_images_without_judgement_do_not_count() -> None:
    tally = DecoyTally()
    tally.add(case([annotation([WRONG.region])], arm="assisted"))
    tally.add(case([annotation([], state="skipped")]))
    tally.add(case([]))
    tally.add(case([annotation([BOLT])], decoys=()))
    result = tally.result()
    assert (result.all.n_shown, result.all.missed.value) == (0, None)
    assert (result.per_kind, result.per_annotator) == ({}, {})


TRUTH = annotation(
    [boxed("g1", "bolt", (0, 0, 10, 10)), masked("g2", "belt", block(0, 0, 20, 30), kind="stuff")],
    author="gold",
)


def test_people_are_scored_against_the_truth() -> None:
    tally = GoldTally()
    for n in range(30):
        bolt = boxed("1", "bolt", (0, 0, 10, 8))
        belt = masked("2", "belt", block(0, 0, 20, 24), kind="stuff")
        extra = boxed("3", "nut", (20, 10, 30, 20))
        ann = annotation([bolt, belt, extra] if n % 3 == 0 else [bolt, belt], author="ann")
        bob = annotation([bolt], author="bob")
        tally.add(case([ann, bob], arm="gold", decoys=(), gold=TRUTH))
    result = tally.result()
    assert result.min_iou == 0.5
    ann, bob = result.per_annotator["ann"], result.per_annotator["bob"]
    assert (ann.n_images, ann.tp, ann.fp, ann.fn) == (30, 60, 10, 0)
    assert (ann.precision.value, ann.recall.value) == (pytest.approx(6 / 7), 1.0)
    assert ann.f1.value == pytest.approx(120 / 130)
    assert ann.box_iou.value == pytest.approx(0.8)
    assert ann.mask_iou.value == pytest.approx(0.8)
    assert (bob.tp, bob.fp, bob.fn, bob.mask_iou.value) == (30, 0, 30, None)
    assert bob.recall.value == pytest.approx(0.5)
    assert (result.all.n_images, result.all.n_reviews, result.all.tp, result.all.fn) == (30, 60, 90, 30)
    assert result.per_class.keys() == {"belt", "bolt", "nut"}
    assert (result.per_class["nut"].fp, result.per_class["nut"].recall.value) == (10, None)
    assert result.per_class["bolt"].f1.value == 1.0


def test_two_people_who_say_the_same_make_nothing_surer() -> None:
    once, twice = GoldTally(), GoldTally()
    for n in range(9):
        ann, bob = (
            annotation([boxed("1", "bolt", (0, 0, 10, 8))] if n % 3 else [], author=author)
            for author in ("ann", "bob")
        )
        once.add(case([ann], arm="gold", decoys=(), gold=TRUTH))
        twice.add(case([ann, bob], arm="gold", decoys=(), gold=TRUTH))
    one, two = once.result(), twice.result()
    for single, double in ((one.all, two.all), (one.per_class["bolt"], two.per_class["bolt"])):
        assert double.f1 == single.f1
    assert two.all.f1.value is None  # nine images are too few, however many people look at them


def test_an_empty_truth_is_met_by_an_empty_review() -> None:
    tally = GoldTally()
    nothing = annotation([], author="gold")
    for review in ([], [BOLT]):
        tally.add(case([annotation(review)], arm="gold", gold=nothing))
    score = tally.result().all
    assert (score.n_images, score.tp, score.fp, score.fn) == (2, 0, 1, 0)
    assert score.recall.value is None


def test_only_judged_gold_images_count() -> None:
    tally = GoldTally()
    tally.add(case([annotation([BOLT])], arm="assisted", gold=TRUTH))
    tally.add(case([annotation([], state="skipped")], arm="gold", gold=TRUTH))
    tally.add(case([annotation([BOLT])], arm="gold", gold=None))
    result = tally.result()
    assert (result.all.n_images, result.per_annotator, result.per_class) == (0, {}, {})
