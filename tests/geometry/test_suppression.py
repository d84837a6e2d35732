from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import batched_nms, nms

from detseg.geometry.boxes import Floats, box_iou_matrix
from detseg.geometry.masks import bitmap_to_mask, empty_mask, mask_iou
from detseg.geometry.suppression import soft_suppress, suppress, suppress_masks
from detseg.types import Mask, Size

Found = tuple[np.ndarray, np.ndarray, np.ndarray]
thresholds = st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0])
methods: list[Literal["linear", "gaussian"]] = ["linear", "gaussian"]


@st.composite
def found(draw: st.DrawFn) -> Found:
    """Boxes on a grid of eighths, so that no IoU is rounded; scores, some equal; labels of 3 classes."""
    n = draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corner = rng.integers(0, 80, (n, 2)) / 8
    boxes = np.concatenate((corner, corner + rng.integers(0, 60, (n, 2)) / 8), axis=1)  # some without area
    return boxes, rng.integers(0, 12, n) / 12, rng.integers(0, 3, n)


@given(found(), thresholds)
def test_it_is_torchvisions(made: Found, threshold: float) -> None:
    boxes, scores, labels = made
    everything = torch.tensor(boxes), torch.tensor(scores)
    by_class = batched_nms(*everything, torch.tensor(labels), threshold)
    assert suppress(boxes, scores, iou_threshold=threshold).tolist() == nms(*everything, threshold).tolist()
    assert suppress(boxes, scores, labels, iou_threshold=threshold).tolist() == by_class.tolist()


@given(found(), thresholds)
def test_what_stays_stays_again_and_nothing_in_it_overlaps(made: Found, threshold: float) -> None:
    boxes, scores, _ = made
    kept = suppress(boxes, scores, iou_threshold=threshold)
    assert suppress(boxes[kept], scores[kept], iou_threshold=threshold).tolist() == list(range(kept.size))
    iou = box_iou_matrix(boxes[kept], boxes[kept])
    assert np.all(iou[~np.eye(kept.size, dtype=bool)] <= threshold)


def soft_by_the_paper(boxes: Floats, scores: Floats, fade: Callable[[float], float]) -> dict[int, float]:
    """Figure 2 of the paper, word by word."""
    iou = box_iou_matrix(boxes, boxes)
    left, kept = dict(enumerate(scores.tolist())), {}
    while left:
        best = max(left, key=lambda i: (left[i], -i))
        kept[best] = left.pop(best)
        left = {i: score * fade(iou[best, i]) for i, score in left.items()}
    return kept


@given(found(), st.sampled_from([0.3, 0.5]), st.sampled_from(methods))
def test_soft_suppression_is_the_papers(
    made: Found, number: float, method: Literal["linear", "gaussian"]
) -> None:
    boxes, scores, labels = made
    fade = {
        "linear": lambda iou: 1 - iou if iou > number else 1.0,
        "gaussian": lambda iou: float(np.exp(-(iou**2) / number)),
    }[method]
    expected = {}
    for label in set(labels):
        of_label = np.flatnonzero(labels == label)
        of_class = soft_by_the_paper(boxes[of_label], scores[of_label], fade)
        expected |= {int(of_label[i]): score for i, score in of_class.items()}
    kept, faded = soft_suppress(
        boxes, scores, labels, method=method, iou_threshold=number, sigma=number, min_score=0.05
    )
    assert dict(zip(kept.tolist(), faded.tolist(), strict=True)) == pytest.approx(
        {i: score for i, score in expected.items() if score >= 0.05}
    )
    assert np.all(np.diff(faded) <= 1e-12)


def test_soft_suppression_of_two() -> None:
    boxes, scores = np.array([[0.0, 0, 10, 10], [0, 0, 10, 6]]), np.array([0.9, 0.8])  # IoU 0.6
    kept, faded = soft_suppress(boxes, scores, method="linear", iou_threshold=0.5)
    assert (kept.tolist(), faded.tolist()) == ([0, 1], pytest.approx([0.9, 0.32]))
    kept, faded = soft_suppress(boxes, scores, method="gaussian", sigma=0.5, min_score=0.4)
    assert (kept.tolist(), faded.tolist()) == ([0], [0.9])  # 0.8 * exp(-0.72) is 0.39


def test_of_equal_scores_the_first_stays() -> None:
    boxes = np.array([[0.0, 0, 10, 10]] * 3)
    assert suppress(boxes, np.full(3, 0.5), iou_threshold=0.5).tolist() == [0]
    assert suppress(boxes, np.array([0.5, 0.7, 0.7]), iou_threshold=0.5).tolist() == [1]


def test_nothing_stays_nothing() -> None:
    nothing = np.zeros((0, 4)), np.zeros(0)
    assert suppress(*nothing, iou_threshold=0.5).tolist() == []
    assert suppress(*nothing, np.zeros(0, dtype=np.int64), iou_threshold=0.5).tolist() == []
    kept, faded = soft_suppress(*nothing, method="linear")
    assert (kept.tolist(), faded.tolist()) == ([], [])
    assert suppress_masks([], np.zeros(0), iou_threshold=0.5).tolist() == []


def test_boxes_without_area_overlap_nothing() -> None:
    boxes = np.array([[5.0, 5, 5, 9], [5, 5, 5, 9], [0, 0, 10, 10]])
    assert suppress(boxes, np.array([0.9, 0.8, 0.7]), iou_threshold=0.0).tolist() == [0, 1, 2]


@given(st.integers(0, 12), st.integers(0, 2**32 - 1), thresholds)
def test_masks_are_suppressed_by_their_own_overlap(n: int, seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    masks = [some_mask(rng) for _ in range(n)]
    scores, labels = rng.integers(0, 5, n) / 5, rng.choice(["nut", "bolt"], n)
    expected: list[int] = []
    for i in sorted(range(n), key=lambda i: (-scores[i], i)):
        rivals = [j for j in expected if labels[j] == labels[i]]
        if all(mask_iou(masks[i], masks[j]) <= threshold for j in rivals):
            expected.append(i)
    assert suppress_masks(masks, scores, labels, iou_threshold=threshold).tolist() == expected


def some_mask(rng: np.random.Generator) -> Mask:
    bitmap = np.zeros((12, 10), dtype=bool)
    (x0, x1), (y0, y1) = np.sort(rng.integers(0, 11, 2)), np.sort(rng.integers(0, 13, 2))
    bitmap[y0:y1, x0:x1] = rng.random((y1 - y0, x1 - x0)) < 0.9
    return bitmap_to_mask(bitmap)


def test_crossing_masks_both_stay_though_their_boxes_are_one() -> None:
    rising, falling = np.eye(20, dtype=bool), np.eye(20, dtype=bool)[::-1]
    masks = [bitmap_to_mask(rising), bitmap_to_mask(falling), bitmap_to_mask(rising)]
    assert suppress_masks(masks, np.array([0.9, 0.8, 0.7]), iou_threshold=0.5).tolist() == [0, 1]


def test_empty_masks_stay() -> None:
    assert suppress_masks([empty_mask(Size(4, 4))] * 2, np.array([0.5, 0.6]), iou_threshold=0.0).tolist() == [
        1,
        0,
    ]
