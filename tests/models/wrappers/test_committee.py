from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.errors import ModelError
from detseg.geometry.fusion import FusionOptions
from detseg.geometry.masks import Bitmap, bitmap_to_mask, empty_mask
from detseg.models.predictor import LONGEST_VERSION, Predictor, ordered, predict_each
from detseg.models.wrappers.committee import CommitteePredictor, fuse_instances
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, Instance, ModelVersion, Size
from tests.models.colours import ColourPredictor, painted

IMAGE = painted(60, 40, [("nut", 2, 2, 12, 12), ("bolt", 30, 5, 50, 9), ("belt", 0, 30, 60, 40)])
EVEN = (1.0, 1.0)


def fuse(*answers: Sequence[Instance], weights: Sequence[float] = EVEN, **options: Any) -> list[Instance]:
    return list(fuse_instances(answers, weights, FusionOptions(**options)))


def bitmap(x0: int, y0: int, x1: int, y1: int) -> Bitmap:
    made = np.zeros((20, 20), dtype=bool)
    made[y0:y1, x0:x1] = True
    return made


NUT = Instance("nut", "thing", box=Box(2, 2, 12, 12), score=0.8, seen_by="detector")
MASKED = Instance("nut", "thing", mask=bitmap_to_mask(bitmap(2, 2, 12, 11)), score=0.6, seen_by="segmenter")
BELT = Instance("belt", "stuff", mask=bitmap_to_mask(bitmap(0, 0, 20, 8)), score=0.5, seen_by="segmenter")


def test_a_committee_of_one_is_its_member() -> None:
    inner = ColourPredictor()
    alone: Predictor = CommitteePredictor([inner], weights=[2.0])
    assert predict_each(alone, [IMAGE, IMAGE]) == predict_each(inner, [IMAGE, IMAGE])
    assert alone.predict([]) == ()
    doubled = [NUT, replace(NUT, score=0.7)]  # nor are a model's own boxes fused
    assert fuse(doubled[::-1], weights=[1.0]) == doubled


def test_a_committee_of_many_has_a_version_that_a_catalog_can_keep() -> None:
    names = [f"{letter * 40}@00000000" for letter in "abcdefgh"]
    members = [ColourPredictor(version=ModelVersion(name)) for name in names]
    versions = {CommitteePredictor(some).version for some in (members, members[:-1], members[::-1])}
    assert len(versions) == 3
    assert all(len(version) <= LONGEST_VERSION for version in versions)
    assert all(re.fullmatch(r"\w{40}\+.*@[0-9a-f]{8}", version) for version in versions)


@pytest.mark.parametrize("form", ["box", "mask", "both"])
def test_members_that_agree_answer_as_one_does(form: str) -> None:
    members = [ColourPredictor(form) for _ in range(3)]
    (together,) = CommitteePredictor(members).predict([IMAGE])
    (alone,) = members[0].predict([IMAGE])
    assert len(together) == len(alone) == 3
    for fused, one in zip(together, alone, strict=True):
        assert replace(fused, box=None, mask=BELT.mask, score=None) == replace(
            one, box=None, mask=BELT.mask, score=None
        )
        assert fused.mask == one.mask
        assert fused.score == pytest.approx(one.score)
        assert (fused.box is None) == (one.box is None)
        if fused.box and one.box:
            assert fused.box.xyxy == pytest.approx(one.box.xyxy)


def test_what_one_of_two_saw_counts_half_and_keeps_its_place() -> None:
    assert fuse([NUT, BELT], []) == [replace(NUT, score=0.4), replace(BELT, score=0.25)]
    assert fuse([NUT, BELT], [], score_rule="max") == [NUT, BELT]
    assert fuse([NUT, BELT], [], min_score=0.3) == [replace(NUT, score=0.4)]
    assert fuse([NUT, BELT], [], skip_score=0.6) == [replace(NUT, score=0.4)]
    assert fuse([], []) == []


def test_a_box_and_a_mask_of_two_models_are_one_thing() -> None:
    (fused,) = fuse([NUT], [MASKED])
    assert fused.box is not None
    assert fused.box.xyxy == pytest.approx((2, 2, 12, 2 + (0.8 * 10 + 0.6 * 9) / 1.4))
    assert (fused.mask, fused.seen_by) == (MASKED.mask, "both")
    assert fused.score == pytest.approx(0.7)


def test_masks_alone_stay_without_a_box() -> None:
    other = replace(MASKED, mask=bitmap_to_mask(bitmap(3, 2, 12, 11)), score=0.5)
    (fused,) = fuse([MASKED], [other])
    assert (fused.box, fused.mask, fused.seen_by) == (None, MASKED.mask, "segmenter")
    nothing = replace(MASKED, mask=empty_mask(Size(20, 20)))
    assert fuse([nothing], []) == []


def test_masks_vote_by_score_and_weight() -> None:
    small, large = bitmap(2, 2, 12, 10), bitmap(2, 2, 12, 12)
    first = replace(NUT, mask=bitmap_to_mask(small), seen_by="both")
    second = replace(NUT, mask=bitmap_to_mask(large), score=0.5, seen_by="both")
    assert fuse([first], [second])[0].mask == first.mask
    assert fuse([first], [second], weights=(1.0, 2.0))[0].mask == second.mask
    shifted = replace(second, mask=bitmap_to_mask(bitmap(3, 2, 12, 12)))
    voted = fuse([first], [second], [shifted], weights=(1.0, 1.0, 1.0))[0].mask
    assert voted == bitmap_to_mask(small | bitmap(3, 2, 12, 12))  # two of three have it, 1.0 of 1.8


def test_masks_that_share_nothing_leave_the_best_one() -> None:
    thirds = [bitmap(2, 2, 6, 12), bitmap(6, 2, 9, 12), bitmap(9, 2, 12, 12)]
    parts = [replace(NUT, mask=bitmap_to_mask(third), seen_by="both") for third in thirds]
    parts[1] = replace(parts[1], score=0.9)
    (fused,) = fuse(*([part] for part in parts), weights=(1.0, 1.0, 1.0))
    assert fused.mask == parts[1].mask


def test_stuff_is_fused_by_label() -> None:
    tray = replace(BELT, label="tray")
    better = replace(BELT, mask=bitmap_to_mask(bitmap(0, 0, 20, 9)), score=0.9)
    assert fuse([BELT], [better, tray]) == [replace(better, score=0.7), replace(tray, score=0.25)]


def test_a_score_is_never_above_one() -> None:
    often = [replace(NUT, score=0.9), replace(NUT, score=0.95)]
    (fused,) = fuse([], often, weights=(1.0, 3.0))
    assert fused.score == 1.0


@given(st.integers(0, 2**32 - 1), st.permutations(range(3)))
def test_the_order_of_members_and_of_what_they_saw_does_not_matter(seed: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    scores = iter(rng.permutation(30) / 31 + 0.01)
    answers = [
        [
            replace(NUT, box=Box(x, 2, x + 10, 12), label=label, score=float(next(scores)))
            for x, label in zip(rng.integers(0, 8, 6).tolist(), rng.choice(["nut", "bolt"], 6), strict=True)
        ]
        for _ in range(3)
    ]
    weights = (1.0, 1.37, 0.73)
    fused = fuse(*answers, weights=weights)
    again = fuse(*(answers[i][::-1] for i in order), weights=[weights[i] for i in order])
    assert [(one.label, pytest.approx(one.score)) for one in again] == [(o.label, o.score) for o in fused]
    assert ordered(fused) == tuple(fused)


def test_it_is_named_after_its_members() -> None:
    first = ColourPredictor(version=ModelVersion("detr@11111111"), unmapped={"cat": 2, "dog": 1})
    second = ColourPredictor(version=ModelVersion("eomt@22222222"), unmapped={"cat": 1}, detector="")
    both = CommitteePredictor([first, second])
    assert both.version.startswith("detr+eomt@")
    assert (both.detector, both.segmenter) == ("boxes", "masks")
    assert both.unmapped == {"cat": 3, "dog": 1}
    others = [
        CommitteePredictor([second, first]),
        CommitteePredictor([first, first]),
        CommitteePredictor([first, second], weights=[1, 2]),
        CommitteePredictor([first, second], options=FusionOptions(iou_threshold=0.6)),
    ]
    assert len({both.version, *(one.version for one in others)}) == 5
    assert CommitteePredictor([first, second], weights=[1, 1]).version == both.version


def test_members_and_weights_that_do_not_fit_are_refused() -> None:
    member = ColourPredictor()
    with pytest.raises(ModelError, match="a committee without members"):
        CommitteePredictor([])
    for weights in ([1.0], [1.0, 0.0], [1.0, float("nan")]):
        with pytest.raises(ModelError, match="do not fit 2 models: give each one above 0"):
            CommitteePredictor([member, member], weights=weights)
    stranger = ColourPredictor(taxonomy=Taxonomy((LabelClass("cat"),)), version=ModelVersion("cats@00000001"))
    with pytest.raises(ModelError, match="colours@00000000 and cats@00000001 have different taxonomies"):
        CommitteePredictor([member, stranger])
