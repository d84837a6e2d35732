from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detseg.geometry.masks import bitmap_to_mask
from detseg.models.checkpoint_predictor import combine
from detseg.types import Box, Instance, Mask


def block(x0: int, y0: int, x1: int, y1: int) -> Mask:
    """A rectangle of foreground in an image of 40x30."""
    bitmap = np.zeros((30, 40), dtype=bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap_to_mask(bitmap)


def boxed(label: str, *xyxy_px: float, score: float = 0.9) -> Instance:
    return Instance(label, "thing", box=Box(*xyxy_px), score=score, seen_by="detector")


def masked(label: str, *xyxy_px: int, score: float = 0.6) -> Instance:
    return Instance(label, "thing", mask=block(*xyxy_px), score=score, seen_by="segmenter")


BELT = Instance("belt", "stuff", mask=block(0, 0, 40, 30), score=0.99, seen_by="segmenter")


def test_what_both_saw_is_one_instance_with_the_detectors_score() -> None:
    box, mask = boxed("nut", 2, 2, 12, 12), masked("nut", 3, 2, 12, 12)
    assert combine([box], [mask], match_iou=0.5) == (replace(box, mask=mask.mask, seen_by="both"),)


def test_what_one_saw_stays_and_is_marked() -> None:
    box, mask = boxed("nut", 2, 2, 12, 12), masked("nut", 20, 2, 30, 12)
    assert combine([box], [mask], match_iou=0.5) == (box, mask)
    assert combine([box], [], match_iou=0.5) == (box,)
    assert combine([], [mask], match_iou=0.5) == (mask,)
    assert combine([], [], match_iou=0.5) == ()
    assert mask.box is None


def test_labels_do_not_mix() -> None:
    box, mask = boxed("nut", 2, 2, 12, 12), masked("bolt", 2, 2, 12, 12)
    assert combine([box], [mask], match_iou=0.5) == (box, mask)


def test_the_threshold_is_included() -> None:
    box, mask = boxed("nut", 0, 0, 10, 10), masked("nut", 0, 0, 5, 10)
    assert combine([box], [mask], match_iou=0.5)[0].seen_by == "both"
    assert combine([box], [mask], match_iou=0.51) == (box, mask)


def test_stuff_has_a_mask_only_and_never_takes_a_box() -> None:
    box = boxed("belt", 0, 0, 40, 30)
    assert combine([box], [BELT], match_iou=0.5) == (BELT, box)


def test_two_equal_masks_stay_two() -> None:
    mask = masked("nut", 2, 2, 12, 12)
    assert combine([], [mask, mask], match_iou=0.5) == (mask, mask)
    box = boxed("nut", 2, 2, 12, 12)
    assert [one.seen_by for one in combine([box], [mask, mask], match_iou=0.5)] == ["both", "segmenter"]


@given(st.permutations(range(6)))
def test_the_order_of_what_was_seen_does_not_matter(order: list[int]) -> None:
    detected = [boxed("nut", 2 * i, 2, 2 * i + 10, 12, score=0.5 + i / 20) for i in range(6)]
    segmented = [masked("nut", 4 * i, 2, 4 * i + 10, 12, score=0.4 + i / 20) for i in range(6)]
    expected = combine(detected, [*segmented, BELT], match_iou=0.5)
    shuffled = combine([detected[i] for i in order], [BELT, *(segmented[i] for i in order)], match_iou=0.5)
    assert shuffled == expected
