"""Doubled boxes and masks: of those that overlap too much, the best-scored one stays or the others fade.

Boxes have shape (N, 4), float64, ``x0 y0 x1 y1`` in pixels; scores shape (N,), in [0, 1]; labels shape (N,)
of any type that can be compared. Only what has one label is compared; without labels, everything is.
Answers are positions in the input, best first; of equal scores the earlier one counts as better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from detseg.geometry.boxes import Floats, boxes_to_array
from detseg.geometry.extent import NOWHERE
from detseg.geometry.masks import mask_iou, mask_to_box
from detseg.types import Mask

Positions = npt.NDArray[np.int64]
Labels = npt.NDArray[Any]


def suppress(
    boxes: Floats, scores: Floats, labels: Labels | None = None, *, iou_threshold: float
) -> Positions:
    """The boxes that no better one overlaps by more than ``iou_threshold`` (non-maximum suppression).

    Equal to torchvision's ``nms``, and with labels to its ``batched_nms``.
    """
    kept, _ = _greedy(boxes, scores, labels, fade=lambda iou: np.where(iou > iou_threshold, 0.0, 1.0))
    return kept


def soft_suppress(
    boxes: Floats,
    scores: Floats,
    labels: Labels | None = None,
    *,
    method: Literal["linear", "gaussian"],
    iou_threshold: float = 0.5,
    sigma: float = 0.5,
    min_score: float = 0.001,
) -> tuple[Positions, Floats]:
    """The boxes whose faded score is at least ``min_score``, and these scores.

    Every better box multiplies a score by ``1 - iou`` where the IoU is above ``iou_threshold`` (linear), or
    by ``exp(-iou^2 / sigma)`` (gaussian). Source: Bodla et al., "Soft-NMS: improving object detection with
    one line of code", 2017.
    """

    def linear(iou: Floats) -> Floats:
        return np.where(iou > iou_threshold, 1.0 - iou, 1.0)

    def gaussian(iou: Floats) -> Floats:
        return np.exp(-(iou**2) / sigma)

    fade = linear if method == "linear" else gaussian
    return _greedy(boxes, scores, labels, fade=fade, min_score=min_score)


def suppress_masks(
    masks: Sequence[Mask], scores: Floats, labels: Labels | None = None, *, iou_threshold: float
) -> Positions:
    """The masks that no better one overlaps by more than ``iou_threshold``. All masks have one size."""
    most = _most_iou(masks)  # decoding nothing, it rules most pairs out
    candidates = most > iou_threshold
    if labels is not None:
        candidates &= labels[:, None] == labels[None, :]
    alive = np.ones(len(masks), dtype=bool)
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if not alive[i]:
            continue
        kept.append(i)
        alive[i] = False
        for j in np.flatnonzero(alive & candidates[i]):
            alive[j] = mask_iou(masks[i], masks[j]) <= iou_threshold
    return np.array(kept, dtype=np.int64)


def _greedy(
    boxes: Floats,
    scores: Floats,
    labels: Labels | None,
    *,
    fade: Callable[[Floats], Floats],
    min_score: float = 0.0,
) -> tuple[Positions, Floats]:
    """Takes the best box, fades the scores of the others by their overlap with it, and so on.

    ``fade`` maps IoUs to factors in [0, 1]; a factor of 0 drops a box whatever ``min_score`` is.
    """
    left = np.flatnonzero(scores >= min_score)
    corners = np.ascontiguousarray(boxes.T)  # (4, N)
    area = (corners[2] - corners[0]) * (corners[3] - corners[1])
    faded = scores.astype(np.float64)
    kept = []
    while left.size:
        best = left[np.argmax(faded[left])]
        kept.append(best)
        left = left[left != best]
        factors = fade(_iou_of_one(corners, area, best, left))
        if labels is not None:
            factors = np.where(labels[left] == labels[best], factors, 1.0)
        faded[left] *= factors
        left = left[(factors > 0.0) & (faded[left] >= min_score)]
    order = np.array(kept, dtype=np.int64)
    return order, faded[order]


def _iou_of_one(corners: Floats, area: Floats, one: int, others: Positions) -> Floats:
    """The IoU of a box with others, from corners (4, N) and areas (N,); 0 for a pair without area."""
    x0, y0, x1, y1 = corners[:, others]
    width = np.minimum(x1, corners[2, one]) - np.maximum(x0, corners[0, one])
    height = np.minimum(y1, corners[3, one]) - np.maximum(y0, corners[1, one])
    intersection = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    union = area[one] + area[others] - intersection
    iou: Floats = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0.0)
    return iou


def _most_iou(masks: Sequence[Mask]) -> Floats:
    """No pair of masks has a larger IoU than this, shape (N, N).

    Two masks share at most what their tight boxes share, and at most the smaller of them.
    """
    boxes = boxes_to_array([mask_to_box(mask) or NOWHERE for mask in masks])
    area = np.array([mask.area for mask in masks], dtype=np.float64)
    width, height = (
        np.minimum(boxes[:, None, axis + 2], boxes[None, :, axis + 2])
        - np.maximum(boxes[:, None, axis], boxes[None, :, axis])
        for axis in (0, 1)
    )
    shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    shared = np.minimum(shared, np.minimum(area[:, None], area[None, :]))
    union = area[:, None] + area[None, :] - shared
    most: Floats = np.divide(shared, union, out=np.zeros_like(union), where=union > 0.0)
    return most
