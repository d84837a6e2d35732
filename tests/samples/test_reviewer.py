"""The simulated reviewer: what it keeps, corrects, deletes and adds, and that its chance is seeded."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.geometry.boxes import box_iou
from detseg.geometry.masks import bitmap_to_mask, mask_iou, mask_to_bitmap
from detseg.samples.reviewer import ReviewerHabits, SimulatedReview, review, truth_of_scene
from detseg.samples.scenes import generate_scene
from detseg.types import Annotation, Box, ImageId, Instance, Region, RegionId, Size

IMAGE = ImageId("sha256:00")
SIZE = Size(96, 72)
FLAWLESS = ReviewerHabits(error_rate=0.0, skip_rate=0.0, hand_px=0.0)
SCENE = generate_scene(3, Size(320, 240))
TRUTH = truth_of_scene(SCENE, IMAGE)


def rectangle(label: str, box: tuple[int, int, int, int], *, score: float | None = None) -> Instance:
    x0, y0, x1, y1 = box
    bitmap = np.zeros((SIZE.height, SIZE.width), dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return Instance(label, "thing", Box(*map(float, box)), bitmap_to_mask(bitmap), score)


def annotation(*instances: Instance, author: str = "model@00000000") -> Annotation:
    regions = tuple(Region(RegionId(f"r{i}"), "model", instance) for i, instance in enumerate(instances))
    return Annotation(IMAGE, SIZE, author, "unlabeled", regions)


def truth(*instances: Instance) -> Annotation:
    return replace(annotation(*instances), state="labeled" if instances else "empty")


def prediction_of_truth() -> Annotation:
    regions = tuple(
        Region(RegionId(f"p{i}"), "model", replace(region.instance, score=0.9, seen_by="both"))
        for i, region in enumerate(TRUTH.regions)
    )
    return replace(TRUTH, author="model@00000000", state="unlabeled", regions=regions)


def reviewed(
    prediction: Annotation, true: Annotation, habits: ReviewerHabits = FLAWLESS, seed: int = 0
) -> SimulatedReview:
    return review(prediction, true, rng=np.random.default_rng(seed), habits=habits)


def test_a_perfect_prediction_is_kept_as_it_is() -> None:
    prediction = prediction_of_truth()
    answer = reviewed(prediction, TRUTH)
    assert answer.regions == prediction.regions
    assert answer.state == "labeled"
    assert answer.lead_time_s > 0


def test_nothing_predicted_and_nothing_there_is_empty() -> None:
    assert reviewed(annotation(), truth()).state == "empty"
    assert reviewed(annotation(), truth()).regions == ()


def test_a_false_object_alone_is_deleted_and_leaves_the_image_empty() -> None:
    answer = reviewed(annotation(rectangle("nut", (5, 5, 30, 30), score=0.9)), truth())
    assert (answer.state, answer.regions) == ("empty", ())


def test_without_predictions_the_truth_is_drawn_by_a_person() -> None:
    answer = reviewed(replace(TRUTH, regions=()), TRUTH)
    assert [region.instance for region in answer.regions] == [region.instance for region in TRUTH.regions]
    assert {region.origin for region in answer.regions} == {"person"}
    assert all(region.id.startswith("simulated-") for region in answer.regions)
    assert len({region.id for region in answer.regions}) == len(answer.regions)


def test_a_slightly_wrong_box_is_kept_and_a_wrong_one_is_moved_under_its_id() -> None:
    target = rectangle("nut", (10, 10, 50, 50))
    near = replace(target, box=Box(11, 10, 51, 50), score=0.8)
    far = replace(target, box=Box(22, 10, 62, 50), score=0.8)
    assert reviewed(annotation(near), truth(target)).regions[0].instance == near
    (moved,) = reviewed(annotation(far), truth(target)).regions
    assert moved == Region(RegionId("r0"), "model", replace(far, box=target.box))


def test_a_bad_mask_is_reshaped_and_a_good_box_stays() -> None:
    target = rectangle("nut", (10, 10, 50, 50))
    half = replace(rectangle("nut", (10, 10, 50, 30)), box=Box(10, 10, 50, 49), score=0.8)
    (region,) = reviewed(annotation(half), truth(target)).regions
    assert region.instance.mask == target.mask
    assert region.instance.box == half.box


def test_a_wrong_label_is_corrected_and_the_score_stays_the_models() -> None:
    target = rectangle("nut", (10, 10, 50, 50))
    (region,) = reviewed(annotation(replace(target, label="washer", score=0.6)), truth(target)).regions
    assert (region.id, region.instance.label, region.instance.score) == ("r0", "nut", 0.6)


def test_of_two_predictions_of_one_object_the_better_stays() -> None:
    target = rectangle("nut", (10, 10, 50, 50))
    worse = replace(rectangle("nut", (10, 10, 50, 40)), score=0.9)
    answer = reviewed(annotation(worse, replace(target, score=0.5)), truth(target))
    assert [region.id for region in answer.regions] == ["r1"]


def test_an_equal_label_weighs_more_than_a_little_more_overlap() -> None:
    nut, washer = rectangle("nut", (10, 10, 50, 50)), rectangle("washer", (14, 10, 54, 50))
    answer = reviewed(annotation(replace(washer, score=0.5), replace(nut, score=0.5)), truth(nut, washer))
    assert [(region.id, region.instance.label) for region in answer.regions] == [
        ("r0", "washer"),
        ("r1", "nut"),
    ]


@pytest.mark.parametrize("seen", ["box", "mask"])
def test_what_one_model_did_not_see_is_added_to_the_same_region(seen: str) -> None:
    target = rectangle("nut", (10, 10, 50, 50))
    half = replace(target, score=0.7, **({"mask": None} if seen == "box" else {"box": None}))
    (region,) = reviewed(annotation(half), truth(target)).regions
    assert region == Region(RegionId("r0"), "model", replace(target, score=0.7))


def test_a_project_of_boxes_asks_for_no_masks() -> None:
    answer = reviewed(replace(TRUTH, regions=()), TRUTH, replace(FLAWLESS, annotate="boxes"))
    things = [region.instance for region in TRUTH.regions if region.instance.kind == "thing"]
    assert [region.instance.label for region in answer.regions] == [one.label for one in things]
    assert all(region.instance.mask is None for region in answer.regions)


def test_a_skipped_task_keeps_what_was_predicted() -> None:
    prediction = prediction_of_truth()
    answer = reviewed(prediction, TRUTH, replace(FLAWLESS, skip_rate=1.0))
    assert (answer.state, answer.regions) == ("skipped", prediction.regions)


def test_equal_seeds_give_equal_reviews_and_others_do_not() -> None:
    careless = ReviewerHabits(error_rate=0.3)
    prediction = shaken(prediction_of_truth(), np.random.default_rng(1), px=6)
    assert reviewed(prediction, TRUTH, careless, seed=5) == reviewed(prediction, TRUTH, careless, seed=5)
    assert reviewed(prediction, TRUTH, careless, seed=5) != reviewed(prediction, TRUTH, careless, seed=6)


@given(seed=st.integers(0, 2**32 - 1), px=st.integers(0, 30), n_lost=st.integers(0, 4))
def test_who_makes_no_errors_arrives_at_the_truth(seed: int, px: int, n_lost: int) -> None:
    rng = np.random.default_rng(seed)
    prediction = shaken(prediction_of_truth(), rng, px=px)
    prediction = replace(prediction, regions=prediction.regions[n_lost:])
    answer = reviewed(prediction, TRUTH, FLAWLESS, seed)
    assert sorted(region.instance.label for region in answer.regions) == sorted(
        region.instance.label for region in TRUTH.regions
    )
    for region in TRUTH.regions:
        assert any(_agree(region.instance, other.instance) for other in answer.regions)


@given(seed=st.integers(0, 2**32 - 1))
def test_who_always_errs_deletes_and_adds_nothing(seed: int) -> None:
    false = rectangle("gear", (60, 40, 90, 70), score=0.9)
    missed = rectangle("nut", (5, 5, 30, 30))
    answer = reviewed(annotation(false), truth(missed), ReviewerHabits(error_rate=1.0, skip_rate=0.0), seed)
    assert [region.instance for region in answer.regions] == [false]


@given(seed=st.integers(0, 2**32 - 1))
def test_every_answer_stays_inside_the_image(seed: int) -> None:
    corner = rectangle("nut", (0, 0, 96, 72))
    answer = reviewed(annotation(), truth(corner), replace(FLAWLESS, hand_px=8.0), seed)
    box = answer.regions[0].instance.box
    assert box is not None
    assert 0 <= box.x0 < box.x1 <= SIZE.width
    assert 0 <= box.y0 < box.y1 <= SIZE.height


def test_work_takes_longer_than_looking() -> None:
    steady = replace(FLAWLESS, spread=0.0)
    kept = reviewed(prediction_of_truth(), TRUTH, steady).lead_time_s
    drawn = reviewed(replace(TRUTH, regions=()), TRUTH, steady).lead_time_s
    n_boxes = sum(region.instance.box is not None for region in TRUTH.regions)
    assert kept == steady.look_s
    assert drawn == pytest.approx(kept + n_boxes * steady.box_s + len(TRUTH.regions) * steady.mask_s)


def test_images_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="320x240"):
        reviewed(annotation(), TRUTH)


def test_where_one_shape_is_asked_for_each_thing_has_one() -> None:
    """A box that the detector alone saw becomes the mask; a mask is not given a box."""
    once = replace(FLAWLESS, annotate="both", spread=0.0)
    target = rectangle("nut", (10, 10, 50, 50))
    for seen in (replace(target, box=None, score=0.7), replace(target, mask=None, score=0.7)):
        (region,) = reviewed(annotation(seen), truth(target), once).regions
        assert region == Region(RegionId("r0"), "model", replace(target, box=None, score=0.7))
    drawn = reviewed(annotation(), truth(target), once)
    assert drawn.regions[0].instance == replace(target, box=None)
    assert drawn.lead_time_s == pytest.approx(once.look_s + once.mask_s)


@pytest.mark.parametrize("wrong", [{"error_rate": 1.5}, {"keep_box_iou": -0.1}])
def test_impossible_habits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="is in"):
        replace(FLAWLESS, **wrong)


def shaken(prediction: Annotation, rng: np.random.Generator, *, px: int) -> Annotation:
    """The prediction with every box and mask moved by up to that many pixels."""
    return replace(
        prediction,
        regions=tuple(
            replace(region, instance=_shift(region.instance, rng.integers(-px, px + 1, 2), prediction.size))
            for region in prediction.regions
        ),
    )


def _shift(instance: Instance, offset: np.ndarray, size: Size) -> Instance:
    dx, dy = (int(v) for v in offset)
    box, mask = instance.box, instance.mask
    if box is not None:
        x0, x1 = np.clip([box.x0 + dx, box.x1 + dx], 0, size.width)
        y0, y1 = np.clip([box.y0 + dy, box.y1 + dy], 0, size.height)
        box = Box(float(x0), float(y0), float(x1), float(y1))
    if mask is not None:
        mask = bitmap_to_mask(np.roll(mask_to_bitmap(mask), (dy, dx), axis=(0, 1)))
    return replace(instance, box=box, mask=mask)


def _agree(a: Instance, b: Instance) -> bool:
    if a.label != b.label or (a.box is None) != (b.box is None):
        return False
    boxes = a.box is None or b.box is None or box_iou(a.box, b.box) >= FLAWLESS.keep_box_iou
    masks = a.mask is not None and b.mask is not None and mask_iou(a.mask, b.mask) >= FLAWLESS.keep_mask_iou
    return boxes and masks
