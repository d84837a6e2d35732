from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from detseg.metrics.cases import Case
from detseg.metrics.mask_tallies import PanopticTally, ScenePainter, SegmentationTally
from detseg.metrics.panoptic import panoptic_quality
from detseg.types import ARMS, Annotation, Arm, ImageId, ModelVersion, Region, Size
from tests.metrics.made import SIZE, annotation, block, boxed, masked
from tests.metrics.scene_maps import as_annotation, pairs_of_scenes

BOLT = masked("t", "bolt", block(0, 0, 10, 10))
FOUND = masked("p", "bolt", block(0, 0, 10, 8), score=0.9)


def case(
    truth: Annotation | None,
    prediction: Annotation,
    *,
    arm: Arm = "assisted",
    decoys: tuple[Region, ...] = (),
) -> Case:
    return Case(
        image=prediction.image,
        uri=f"/images/{prediction.image}.png",
        task_id=1,
        task_url="https://label.example/1",
        arm=arm,
        model_version=ModelVersion("m@12345678"),
        prediction=prediction,
        reviews=() if truth is None else (truth,),
        decoys=decoys,
    )


def cases_of_scenes() -> list[Case]:
    return [
        case(
            as_annotation(true, image=f"sha256:{n}", score=None),
            as_annotation(found, image=f"sha256:{n}", score=0.5),
        )
        for n, (true, found) in enumerate(pairs_of_scenes())
    ]


def test_pairs_count_like_cases() -> None:
    cases, tallies = cases_of_scenes(), (SegmentationTally(), PanopticTally())
    for one in cases:
        assert one.truth is not None
        for tally in tallies:
            tally.add_pair(one.truth, one.prediction)
    for pairs, counted in zip(tallies, tallied(cases), strict=True):
        assert pairs.result() == counted.result()


def tallied(cases: list[Case]) -> tuple[SegmentationTally, PanopticTally]:
    painter = ScenePainter()
    tallies = SegmentationTally(painter), PanopticTally(painter)
    for one in cases:
        for tally in tallies:
            tally.add(one)
    return tallies


def test_panoptic_quality_is_that_of_the_annotations() -> None:
    cases = cases_of_scenes()
    result = tallied(cases)[1].result()
    quality = panoptic_quality([c.reviews[0] for c in cases], [c.prediction for c in cases])
    assert (result.all, result.things, result.stuff) == (quality.all, quality.things, quality.stuff)
    assert result.per_class == quality.per_class
    assert (result.pq_things.value, result.pq_stuff.value) == pytest.approx(
        (quality.things.pq, quality.stuff.pq)
    )
    for estimate in (result.pq, result.pq_things, result.pq_stuff):
        assert estimate.n == 12
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.low < estimate.value
    assert result.images.n_images == 12


def class_numbers(side: int, names: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """The class of every pixel of all scenes."""
    scenes = [pair[side] for pair in pairs_of_scenes()]
    return np.concatenate(
        [np.array([names.index(label) for label in labels])[owners].ravel() for owners, labels in scenes]
    )


def test_segmentation_is_counted_pixel_by_pixel() -> None:
    result = tallied(cases_of_scenes())[0].result()
    names = ("belt", "bolt", "nut", "tray")
    true, found = (class_numbers(side, names) for side in (0, 1))
    confusion = np.zeros((5, 5), dtype=int)
    np.add.at(confusion, (true, found), 1)
    assert result.confusion.labels == names
    assert np.array_equal(result.confusion.counts, confusion)
    assert result.pixel_accuracy.value == pytest.approx((true == found).mean())
    ious = [((true == n) & (found == n)).sum() / ((true == n) | (found == n)).sum() for n in range(4)]
    assert [result.per_class[name].iou for name in names] == pytest.approx(ious)
    assert result.miou.value == result.all.iou == pytest.approx(np.mean(ious))
    assert result.things.iou == pytest.approx(np.mean(ious[1:3]))
    assert result.stuff.iou == pytest.approx((ious[0] + ious[3]) / 2)
    for estimate in (result.mean_accuracy, result.dice, result.boundary_iou):
        assert estimate.low is not None
        assert estimate.high is not None
        assert 0 < estimate.low < estimate.high < 1


def test_what_nobody_painted_is_background_and_no_class() -> None:
    result = tallied([case(annotation([BOLT]), annotation([FOUND]))])[0].result()
    assert result.confusion.labels == ("bolt",)
    assert result.confusion.counts == ((80, 20), (0, 1100))
    assert (list(result.per_class), result.all.iou, result.stuff.iou) == (["bolt"], 0.8, None)


def test_one_image_is_too_little_for_an_interval_not_for_a_mean() -> None:
    segmentation, panoptic = (t.result() for t in tallied([case(annotation([BOLT]), annotation([FOUND]))]))
    assert (segmentation.miou.value, segmentation.miou.n) == (None, 1)
    assert (panoptic.pq.value, panoptic.all.pq) == (None, 0.8)


def test_a_kind_that_is_nowhere_is_undefined() -> None:
    cases = [
        case(annotation([BOLT], image=f"sha256:{n}"), annotation([FOUND], image=f"sha256:{n}"))
        for n in range(12)
    ]
    segmentation, panoptic = (tally.result() for tally in tallied(cases))
    assert (panoptic.pq.value, panoptic.pq_things.value) == pytest.approx((0.8, 0.8))
    assert panoptic.pq_stuff.value is None
    assert (panoptic.stuff.pq, segmentation.stuff.iou, segmentation.things.iou) == (None, None, 0.8)


def test_nothing_at_all() -> None:
    segmentation, panoptic = (tally.result() for tally in tallied([]))
    assert (segmentation.miou.value, segmentation.all.iou, segmentation.per_class) == (None, None, {})
    assert segmentation.confusion.counts == ((0,),)
    assert (panoptic.pq.value, panoptic.all.pq, panoptic.per_class) == (None, None, {})


def test_images_that_do_not_count_are_counted() -> None:
    small = masked("r7", "bolt", block(0, 0, 5, 5, size=Size(10, 10)))
    boxes = annotation([boxed("b", "bolt", (0, 0, 5, 5), 0.9)], image="sha256:3")
    cases = [
        case(annotation([BOLT]), annotation([FOUND])),
        case(None, annotation([FOUND], image="sha256:2")),
        case(annotation(image="sha256:2", state="skipped"), annotation([FOUND], image="sha256:2")),
        case(annotation(image="sha256:3"), boxes),
        case(annotation([small], image="sha256:4"), annotation([FOUND], image="sha256:4")),
        case(
            annotation([BOLT], image="sha256:5"),
            annotation(image="sha256:5", size=Size(20, 15)),
        ),
    ]
    for tally in tallied(cases):
        images = tally.result().images
        assert (images.n_images, images.n_unreviewed, images.n_without_masks) == (1, 2, 1)
        assert images.left_out == {
            ImageId(
                "sha256:4"
            ): "image sha256:4 is 40x30, the mask of its region r7 is 10x10: review it again",
            ImageId("sha256:5"): "image sha256:5 is 40x30 in its review, 20x15 in its prediction: "
            "predict it again",
        }


def test_a_case_that_cannot_be_painted_is_left_out_each_time() -> None:
    small = masked("r7", "bolt", block(0, 0, 5, 5, size=Size(10, 10)))
    bad = case(annotation([small]), annotation([FOUND]))
    tally = PanopticTally()
    tally.add(bad)
    tally.add(bad)
    assert tally.result().images.n_images == 0


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_counts_and_decoys_are_no_predictions(arm: Arm) -> None:
    decoy = masked("d", "nut", block(20, 0, 30, 10), score=0.8)
    planted = case(
        annotation([BOLT]), annotation([FOUND]), arm=arm, decoys=(decoy,) if arm == "decoy" else ()
    )
    segmentation, panoptic = (tally.result() for tally in tallied([planted]))
    assert list(segmentation.per_class) == list(panoptic.per_class) == ["bolt"]


def test_an_empty_image_with_a_false_alarm_counts() -> None:
    segmentation, panoptic = (tally.result() for tally in tallied([case(annotation(), annotation([FOUND]))]))
    assert (panoptic.per_class["bolt"].fp, panoptic.images.n_images) == (1, 1)
    assert (segmentation.per_class["bolt"].iou, segmentation.per_class["bolt"].accuracy) == (0.0, None)


def test_the_order_of_the_cases_changes_no_figure() -> None:
    cases = cases_of_scenes()
    (straight, straight_panoptic), (turned, turned_panoptic) = (
        [tally.result() for tally in tallied(order)] for order in (cases, cases[::-1])
    )
    assert turned.per_class == straight.per_class
    assert turned_panoptic.all == straight_panoptic.all


def test_results_are_deterministic_and_painting_alone_gives_the_same() -> None:
    cases = cases_of_scenes()
    alone = PanopticTally(), SegmentationTally()
    for one in cases:
        for tally in alone:
            tally.add(replace(one))
    together = tallied(cases)
    assert alone[0].result() == together[1].result()
    assert alone[1].result() == together[0].result()


def test_a_painter_paints_no_case_twice() -> None:
    painter = ScenePainter()
    one = case(annotation([BOLT], size=SIZE), annotation([FOUND], size=SIZE))
    assert painter.paint(one) is painter.paint(one)
    assert painter.paint(replace(one)) is not painter.paint(one)
