from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.errors import ConfigError, ModelError
from detseg.geometry.cleaning import CleaningOptions
from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap
from detseg.models.predictor import Predictor, predict_each
from detseg.models.wrappers.refined import RefinedPredictor, RefineOptions, refine
from detseg.types import Box, DecodedImage, Instance, Mask, ModelVersion
from tests.models.colours import ColourPredictor, painted


def block(x0: int, y0: int, x1: int, y1: int) -> Mask:
    """A rectangle of foreground in an image of 40x30."""
    bitmap = np.zeros((30, 40), dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap_to_mask(bitmap)


def boxed(label: str, *xyxy_px: float, score: float) -> Instance:
    return Instance(label, "thing", box=Box(*xyxy_px), score=score, seen_by="detector")


def masked(label: str, *xyxy_px: int, score: float) -> Instance:
    return Instance(label, "thing", mask=block(*xyxy_px), score=score, seen_by="segmenter")


BELT = Instance("belt", "stuff", mask=block(0, 0, 40, 30), score=0.7, seen_by="segmenter")
NUT = boxed("nut", 2, 2, 12, 12, score=0.9)
SAME_NUT = boxed("nut", 2, 2, 12, 10, score=0.8)  # IoU 0.8
SAME_AS_BOLT = boxed("bolt", 2, 2, 12, 10, score=0.7)


@dataclass
class Answering(ColourPredictor):
    """Answers what it is told to."""

    answer: Sequence[Instance] = ()

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        return (tuple(self.answer),) * len(batch)


def test_options_of_old_change_nothing() -> None:
    inner = ColourPredictor()
    refined: Predictor = RefinedPredictor(inner, RefineOptions())
    image = painted(40, 30, [("nut", 2, 2, 9, 9), ("belt", 0, 20, 40, 30)])
    assert RefineOptions().changes_nothing
    assert predict_each(refined, [image]) == predict_each(inner, [image])
    assert refined.predict([]) == ()
    assert (refined.detector, refined.segmenter, refined.taxonomy) == ("boxes", "masks", inner.taxonomy)


def test_each_class_has_its_thresholds_for_boxes_and_for_masks() -> None:
    seen = [boxed("nut", 0, 0, 9, 9, score=0.6), masked("nut", 20, 0, 29, 9, score=0.5), BELT]
    seen += [boxed("bolt", 0, 20, 9, 29, score=0.1)]
    options = RefineOptions(box_thresholds={"nut": 0.6}, mask_thresholds={"nut": 0.51, "belt": 0.71})
    assert refine(seen, options) == (seen[0], seen[3])
    options = RefineOptions(box_thresholds={"nut": 0.61}, mask_thresholds={"nut": 0.5, "belt": 0.7})
    assert refine(seen, options) == (BELT, seen[1], seen[3])


def test_a_threshold_may_name_an_alias_but_no_stranger() -> None:
    screw = RefinedPredictor(Answering(answer=[SAME_AS_BOLT]), RefineOptions(box_thresholds={"Screw": 0.71}))
    assert screw.predict([painted(40, 30, [])]) == ((),)
    bolt = RefinedPredictor(Answering(), RefineOptions(box_thresholds={"bolt": 0.71}))
    assert bolt.version == screw.version
    with pytest.raises(ConfigError, match="'wheel' is not in the taxonomy"):
        RefinedPredictor(ColourPredictor(), RefineOptions(mask_thresholds={"wheel": 0.5}))


def test_suppression_by_class_and_over_all_classes() -> None:
    seen = [NUT, SAME_NUT, BELT, SAME_AS_BOLT]
    assert refine(seen, RefineOptions(suppression="class")) == (NUT, BELT, SAME_AS_BOLT)
    assert refine(seen, RefineOptions(suppression="agnostic")) == (NUT, BELT)
    assert refine(seen, RefineOptions(suppression="class", suppression_iou=0.8)) == tuple(seen)


def test_a_mask_outlives_its_box() -> None:
    """The segmenter's mask met the worse of two boxes on one thing; the better one has it then, once."""
    better = boxed("bolt", 2, 2, 12, 12, score=0.9)
    worse = Instance("bolt", "thing", Box(2, 2, 12, 13), block(2, 2, 12, 12), 0.6, "both")
    by_class = RefineOptions(suppression="class")
    whole = replace(better, mask=worse.mask, seen_by="both")
    assert refine([better, worse], by_class) == (whole,)
    assert refine([whole, worse], by_class) == (whole,)
    stranger = replace(better, label="nut")
    assert refine([stranger, worse], RefineOptions(suppression="agnostic")) == (stranger,)


def test_soft_suppression_lowers_scores_and_thresholds_hold_afterwards() -> None:
    soft = RefineOptions(suppression="class", suppression_method="linear")
    first, second = refine([NUT, SAME_NUT], soft)
    assert (first, replace(second, score=SAME_NUT.score)) == (NUT, SAME_NUT)
    assert second.score == pytest.approx(0.16)
    assert refine([NUT, SAME_NUT], replace(soft, suppression_min_score=0.2)) == (NUT,)
    assert refine([NUT, SAME_NUT], replace(soft, box_thresholds={"nut": 0.5})) == (NUT,)
    gaussian = replace(soft, suppression_method="gaussian", suppression_sigma=0.5)
    assert refine([NUT, SAME_NUT], gaussian)[1].score == pytest.approx(0.8 * np.exp(-1.28))


def test_doubled_masks_are_suppressed_and_the_better_one_may_have_a_box() -> None:
    both = replace(NUT, mask=block(2, 2, 12, 12), seen_by="both")
    double = masked("nut", 2, 2, 12, 11, score=0.6)
    other = masked("bolt", 2, 2, 12, 11, score=0.5)
    assert refine([double, both, other], RefineOptions(suppression="class")) == (both, other)
    assert refine([double, both, other], RefineOptions(suppression="agnostic")) == (both,)


def test_stuff_is_suppressed_within_its_class_only() -> None:
    everywhere = masked("nut", 0, 0, 40, 30, score=0.9)
    doubled = replace(BELT, score=0.6)
    assert refine([everywhere, BELT, doubled], RefineOptions(suppression="agnostic")) == (everywhere, BELT)


def test_masks_are_cleaned_and_a_box_around_the_mask_follows_it() -> None:
    bitmap = mask_to_bitmap(block(2, 2, 12, 12))
    bitmap[20, 30] = True
    speckled, clean = bitmap_to_mask(bitmap), block(2, 2, 12, 12)
    cleaning = RefineOptions(cleaning=CleaningOptions(min_speck_px=5))
    tight = Instance("nut", "thing", Box(2, 2, 31, 21), speckled, 0.9, "both")
    assert refine([tight], cleaning) == (replace(tight, box=Box(2, 2, 12, 12), mask=clean),)
    of_detector = replace(tight, box=Box(2.5, 2, 30, 20))
    assert refine([of_detector], cleaning) == (replace(of_detector, mask=clean),)


def test_where_the_mask_vanishes_the_detectors_box_stays() -> None:
    cleaning = RefineOptions(cleaning=CleaningOptions(min_area_px=5))
    speck = Instance("nut", "thing", Box(2, 2, 6, 6), block(3, 3, 5, 5), 0.9, "both")
    assert refine([speck], cleaning) == (replace(speck, mask=None),)
    assert refine([replace(speck, box=None, seen_by="segmenter")], cleaning) == ()
    assert refine([replace(speck, box=Box(3, 3, 5, 5))], cleaning) == ()  # it was the mask's alone


def test_the_version_says_what_was_done_to_which_answers() -> None:
    def version(options: RefineOptions, inner: str = "colours@00000000") -> str:
        return RefinedPredictor(ColourPredictor(version=ModelVersion(inner)), options).version

    options = [
        RefineOptions(),
        RefineOptions(suppression="class"),
        RefineOptions(suppression="class", suppression_iou=0.6),
        RefineOptions(box_thresholds={"nut": 0.5}),
        RefineOptions(mask_thresholds={"nut": 0.5}),
        RefineOptions(cleaning=CleaningOptions(keep_thin=True)),
    ]
    versions = [version(one) for one in options]
    assert [version(one) for one in options] == versions
    assert len(set(versions)) == len(options)
    assert all(one.startswith("colours@") and len(one) == len("colours@00000000") for one in versions)
    assert version(options[0], "colours@11111111") not in versions
    assert version(options[0], "a+b@00000000").startswith("a+b@")


@given(st.integers(0, 2**32 - 1), st.sampled_from(["none", "class", "agnostic"]))
def test_refining_twice_is_refining_once_and_order_does_not_matter(seed: int, suppression: Any) -> None:
    rng = np.random.default_rng(seed)
    seen = []
    for score in rng.permutation(8) / 10 + 0.1:
        (x0, y0), (w, h) = rng.integers(0, 15, 2).tolist(), rng.integers(1, 15, 2).tolist()
        label = str(rng.choice(["nut", "bolt"]))
        one = masked(label, x0, y0, x0 + w, y0 + h, score=score)
        seen.append(
            replace(one, box=Box(x0, y0, x0 + w, y0 + h), seen_by="both") if rng.random() < 0.5 else one
        )
    options = RefineOptions(suppression=suppression, cleaning=CleaningOptions(opening_px=1, min_area_px=6))
    refined = refine(seen, options)
    assert refine(seen[::-1], options) == refined
    if suppression == "none":  # a cleaned mask may overlap what it did not overlap before
        assert refine(refined, options) == refined


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"suppression_iou": 1.5}, r"suppression_iou is in \[0, 1\], not 1.5"),
        ({"suppression_sigma": 0.0}, "suppression_sigma is above 0, not 0.0"),
        ({"box_thresholds": {"nut": -1.0}}, r"box_thresholds of 'nut' is in \[0, 1\], not -1.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        RefineOptions(**wrong)


def test_a_broken_member_is_named() -> None:
    broken = Answering(answer=[replace(NUT, label="wheel")], version=ModelVersion("theirs@12345678"))
    with pytest.raises(ModelError, match=r"theirs@12345678, image painted\.png: the label 'wheel'"):
        RefinedPredictor(broken, RefineOptions()).predict([painted(40, 30, [])])
