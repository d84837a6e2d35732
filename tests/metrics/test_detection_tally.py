import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.detection import make_boxes, make_cases, make_records, run_ours, run_pycocotools
from detseg.formats.coco_entries import IouType
from detseg.metrics.cases import Case
from detseg.metrics.coco_data import DetectionColumns
from detseg.metrics.coco_eval import COCO_IOUS, match
from detseg.metrics.detection import DetectionQuality, DetectionTally
from detseg.types import ARMS, Box, Size
from tests.metrics.found import FIGURES, SQUARE, detection_cases, make_case, pycocotools_eval, to_records
from tests.metrics.made import annotation, block, boxed, masked

BOXES_AND_MASKS = pytest.mark.parametrize("iou_type", ["bbox", "segm"])


def measure(*cases: Case, iou_type: IouType = "bbox", min_score: float = 0.0) -> DetectionQuality:
    tally = DetectionTally(iou_type, min_score=min_score)
    for case in cases:
        tally.add(case)
    return tally.result()


# ---- pycocotools as the oracle ----


@BOXES_AND_MASKS
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_twelve_figures_are_those_of_pycocotools(iou_type: IouType, data: st.DataObject) -> None:
    cases = data.draw(detection_cases(shape=iou_type))
    expected = pycocotools_eval(*to_records(cases, iou_type), iou_type).stats
    tally = DetectionTally(iou_type)
    for case in cases:
        tally.add(case)
    score = tally.score()
    ours = [getattr(score, name) for name in FIGURES]
    assert [-1 if value is None else value for value in ours] == pytest.approx(list(expected), abs=1e-9)


@BOXES_AND_MASKS
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_detection_hits_what_it_hits_for_pycocotools(iou_type: IouType, data: st.DataObject) -> None:
    cases = data.draw(detection_cases(shape=iou_type))
    evaluated = pycocotools_eval(*to_records(cases, iou_type), iou_type)
    columns = DetectionColumns(iou_type)
    for case in cases:
        assert case.truth
        columns.add(case.truth, case.prediction)
    ours = match(columns.data())
    whole = [one for one in evaluated.evalImgs if one and one["aRng"] == [0, 1e10]]
    assert evaluated.params.iouThrs.tolist() == list(COCO_IOUS)
    for t, matches in enumerate(ours):
        expected = {
            id_ - 1: int(truth) - 1
            for one in whole
            for id_, truth in zip(one["dtIds"], one["dtMatches"][t], strict=True)
        }
        assert dict(enumerate(matches.truth)) == expected


def test_many_boxes_of_many_classes_have_the_figures_of_pycocotools() -> None:
    truth, found = make_boxes(7, scale=0.02)
    ours = run_ours(make_cases(truth, found))
    theirs = run_pycocotools(*make_records(truth, found))
    assert 0.05 < ours.figures[0] < 0.9
    assert ours.figures == pytest.approx(theirs.figures, abs=1e-9)


def test_detections_beyond_the_best_hundred_count_where_coco_does_not_limit_them() -> None:
    n = 150
    boxes = [
        (float(10 * (k % 20)), float(10 * (k // 20)), 10.0 * (k % 20) + 8, 10.0 * (k // 20) + 8)
        for k in range(n)
    ]
    truth = [boxed(f"t{k}", "bolt", box) for k, box in enumerate(boxes)]
    found = [boxed(f"p{k}", "bolt", box, 1 - k / 200) for k, box in enumerate(boxes)]
    result = measure(make_case(truth, found))
    assert result.score.ar_100 == pytest.approx(100 / 150)
    assert result.operating.all.recall[0] == 1.0
    assert result.errors.kinds["missed"].n == 0
    assert result.confusion.counts == ((150, 0), (0, 0))
    assert result.calibration.all.n == 150


# ---- which images and regions count ----

TRUE = boxed("t", "bolt", (2, 2, 12, 12))
HIT = boxed("p", "bolt", (2, 2, 12, 12), 0.5)
FALSE = boxed("q", "bolt", (100, 100, 120, 120), 0.9)


@given(detection_cases(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_cases_does_not_matter(cases: list[Case], random: object) -> None:
    shuffled = list(cases)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert measure(*cases) == measure(*shuffled)


def test_images_with_only_false_positives_count() -> None:
    alone = measure(make_case([TRUE], [HIT]))
    both = measure(make_case([TRUE], [HIT]), make_case([], [FALSE], image="sha256:2"))
    assert (alone.score.ap, alone.n_images) == (pytest.approx(1.0), 1)
    assert (both.score.ap, both.n_images, both.n_predicted) == (pytest.approx(0.5), 2, 2)
    assert both.errors.kinds["background"].n == 1
    assert both.errors.kinds["background"].images == ("sha256:2",)
    assert both.operating.all.fp[0] == 1


def test_images_that_nobody_judged_do_not_count_but_are_counted() -> None:
    skipped = replace(
        make_case([], [FALSE], image="sha256:3"), reviews=(annotation(image="sha256:3", state="skipped"),)
    )
    result = measure(make_case([TRUE], [HIT]), make_case(None, [FALSE], image="sha256:2"), skipped)
    assert (result.n_images, result.n_unreviewed, result.n_predicted) == (1, 2, 1)
    assert result.score.ap == pytest.approx(1.0)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_counts_and_decoys_are_none_of_the_models(arm: str) -> None:
    case = make_case([TRUE], [HIT], arm=arm, decoys=[boxed("d", "bolt", (50, 50, 60, 60), 0.99)])  # type: ignore[arg-type]
    result = measure(case)
    assert (result.n_predicted, result.score.ap) == (1, pytest.approx(1.0))


def test_without_a_review_everything_is_undefined() -> None:
    for result in (measure(), measure(make_case(None, [HIT])), measure(iou_type="segm")):
        assert (result.n_images, result.n_truth, result.n_predicted) == (0, 0, 0)
        assert {getattr(result.score, name) for name in FIGURES} == {None}
        assert {one.value for one in (result.ap, result.ap50, result.precision, result.recall)} == {None}
        assert result.confusion.counts == ((0,),)
        assert {cost.ap_cost for cost in result.errors.kinds.values()} == {None}
        assert (result.calibration.all.ece, result.operating.all.best) == (None, None)
        assert dict(result.curves) == {}


def test_one_image_without_anything_is_an_image() -> None:
    result = measure(make_case([], []))
    assert (result.n_images, result.score.ap, result.n_truth) == (1, None, 0)


def test_a_prediction_without_truth_in_its_class_is_a_class() -> None:
    result = measure(make_case([TRUE], [HIT, boxed("r", "nut", (50, 50, 60, 60), 0.3)]))
    assert (result.score.ap, result.score.per_class["nut"].ap) == (pytest.approx(1.0), None)
    assert result.operating.per_class["nut"].recall[0] is None
    assert result.operating.per_class["nut"].precision[0] == 0.0


def test_what_has_no_mask_is_left_out_where_masks_are_compared_and_counted() -> None:
    mask = block(2, 2, 12, 12, size=SQUARE)
    case = make_case([TRUE, masked("u", "nut", mask)], [HIT, masked("r", "nut", mask, score=0.4), FALSE])
    result = measure(case, iou_type="segm")
    assert (result.n_truth, result.n_predicted, result.n_left_out) == (1, 1, 3)
    assert result.score.ap == pytest.approx(1.0)
    assert measure(case).n_left_out == 0


def test_a_mask_of_another_size_than_its_image_overlaps_nothing_and_is_counted() -> None:
    small, right = block(2, 2, 12, 12, size=Size(100, 100)), block(2, 2, 12, 12, size=SQUARE)
    result = measure(
        make_case([masked("t", "nut", right)], [masked("p", "nut", small, score=0.9)]), iou_type="segm"
    )
    assert (result.n_misfit_masks, result.score.ap, result.errors.kinds["background"].n) == (1, 0.0, 1)
    both = measure(
        make_case([masked("t", "nut", small)], [masked("p", "nut", small, score=0.9)]), iou_type="segm"
    )
    assert both.n_misfit_masks == 2


def test_empty_masks_are_never_hit() -> None:
    empty = block(0, 0, 0, 0, size=SQUARE)
    result = measure(
        make_case([masked("t", "nut", empty)], [masked("p", "nut", empty, score=0.9)]), iou_type="segm"
    )
    assert (result.score.ap, result.operating.all.tp[0]) == (0.0, 0)


def test_a_true_box_has_the_area_of_its_mask_and_a_detection_that_of_its_box() -> None:
    mask = block(0, 0, 40, 40, size=SQUARE)  # 1,600 px: medium
    small = replace(TRUE, instance=replace(TRUE.instance, mask=mask))
    result = measure(make_case([small], [HIT]))
    assert (result.score.ap_medium, result.score.ap_small) == (pytest.approx(1.0), None)
    painted = replace(FALSE, instance=replace(FALSE.instance, mask=mask))  # its box is small
    more = measure(make_case([small], [HIT, painted]))
    assert (more.score.ap_medium, more.score.ap) == (pytest.approx(1.0), pytest.approx(0.5))


def test_one_image_in_two_tasks_counts_twice() -> None:
    result = measure(make_case([TRUE], [HIT]), make_case([TRUE], []))
    assert (result.n_images, result.n_truth, result.score.ar_100) == (2, 2, pytest.approx(0.5))


def test_the_latest_review_counts() -> None:
    case = make_case([TRUE], [HIT])
    assert case.truth is not None
    other = annotation([boxed("t", "nut", (2, 2, 12, 12))], image="sha256:1", author="zoe", size=SQUARE)
    assert set(measure(replace(case, reviews=(case.truth, other))).score.per_class) == {"bolt", "nut"}


def test_everything_of_a_result_is_numbers_text_or_nothing() -> None:
    """It is written as JSON by the names of its fields."""

    def check(value: object) -> None:
        if isinstance(value, dict):
            assert all(isinstance(key, str) for key in value)
            for one in value.values():
                check(one)
        elif isinstance(value, (tuple, list)):
            for one in value:
                check(one)
        else:
            assert type(value) in (int, float, str, type(None))
            assert not isinstance(value, float) or np.isfinite(value)

    check(asdict(measure(make_case([TRUE], [HIT, FALSE]), make_case(None, [HIT]))))


def test_a_tally_keeps_few_bytes_of_a_box_and_the_compressed_form_of_a_mask() -> None:
    mask = block(10, 10, 90, 90, size=SQUARE)
    found = [masked("p", "bolt", mask, score=0.5, box=Box(10, 10, 90, 90))] * 1000

    def n_bytes(iou_type: IouType) -> int:
        tally = DetectionTally(iou_type)
        tally.add(make_case([], found))
        return len(pickle.dumps(tally))

    assert n_bytes("bbox") < 70 * 1000
    assert n_bytes("segm") < 500 * 1000  # 80 columns of 80 px, 3 bytes each
