"""The agreement of two answers to the same images. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detseg.geometry.boxes import box_iou_matrix, boxes_to_array
from detseg.geometry.masks import Bitmap, mask_to_bitmap, unite_masks
from detseg.geometry.matching import match_by_label
from detseg.types import Instance

SAME_BOX_IOU = 0.95
"""From here on two boxes of one label count as the same box."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """``changed_boxes``: ``1 - 2 matched / (n_a + n_b)``, where a box of the one answer has one of the same
    label in the other with an IoU of at least ``SAME_BOX_IOU``. ``changed_mask_pixels``: pixels that one
    answer gives to a label and the other does not, as a share of those that either does. Both in [0, 1]; None
    where there is nothing to compare.
    """

    n_images: int
    changed_boxes: float | None
    changed_mask_pixels: float | None


def agreement(answers: Sequence[Sequence[Instance]], others: Sequence[Sequence[Instance]]) -> Agreement:
    """Of the answers to the same images, in the same order."""
    n_boxes = n_matched = n_pixels = n_changed = 0
    for mine, theirs in zip(answers, others, strict=True):
        boxes_a, boxes_b = ([one for one in some if one.box] for some in (mine, theirs))
        n_boxes += len(boxes_a) + len(boxes_b)
        n_matched += _n_matched(boxes_a, boxes_b)
        for label in {one.label for one in (*mine, *theirs) if one.mask}:
            a, b = _pixels(mine, label), _pixels(theirs, label)
            n_pixels += int(np.count_nonzero(a | b))
            n_changed += int(np.count_nonzero(a ^ b))
    return Agreement(
        len(answers),
        1 - 2 * n_matched / n_boxes if n_boxes else None,
        n_changed / n_pixels if n_pixels else None,
    )


def _n_matched(mine: Sequence[Instance], theirs: Sequence[Instance]) -> int:
    iou = box_iou_matrix(
        boxes_to_array([one.box for one in mine if one.box]),
        boxes_to_array([one.box for one in theirs if one.box]),
    )
    labels, others = [one.label for one in mine], [one.label for one in theirs]
    return len(match_by_label(labels, others, iou, min_iou=SAME_BOX_IOU))


def _pixels(instances: Sequence[Instance], label: str) -> Bitmap | np.bool_:
    masks = [one.mask for one in instances if one.mask and one.label == label]
    return mask_to_bitmap(unite_masks(masks)) if masks else np.False_
