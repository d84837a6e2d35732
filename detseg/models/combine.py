"""Boxes of a detector and masks of a segmenter meet: what both saw is one instance. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from detseg.geometry.boxes import box_iou_matrix, boxes_to_array
from detseg.geometry.extent import extent
from detseg.geometry.matching import match_by_label
from detseg.models.predictor import ordered
from detseg.types import Instance


def combine(
    detected: Sequence[Instance], segmented: Sequence[Instance], *, match_iou: float
) -> tuple[Instance, ...]:
    """The instances of both, sorted; a thing that both saw is one, with its box, its mask and ``both``.

    A box and a mask are the same thing if they have one label and the IoU of the box with the mask's tight
    box is at least ``match_iou``; one-to-one, with the largest sum of IoUs. Such an instance has the
    detector's score. What only one of them saw stays as it is: nothing is invented, so a thing that only
    the segmenter saw has no box.
    """
    things = [one for one in segmented if one.kind == "thing"]
    iou = box_iou_matrix(
        boxes_to_array([extent(one) for one in detected]), boxes_to_array([extent(one) for one in things])
    )
    pairs = match_by_label(
        [one.label for one in detected], [one.label for one in things], iou, min_iou=match_iou
    )
    merged = {i: replace(detected[i], mask=things[j].mask, seen_by="both") for i, j in pairs}
    matched = {j for _, j in pairs}
    return ordered(
        [
            *(merged.get(i, one) for i, one in enumerate(detected)),
            *(one for j, one in enumerate(things) if j not in matched),
            *(one for one in segmented if one.kind == "stuff"),
        ]
    )
