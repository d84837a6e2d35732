"""Kinds of errors of detections, and what each costs (Bolya et al., "TIDE", ECCV 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from detseg.metrics.coco_data import Bools, DetectionData, Floats, Ints
from detseg.metrics.coco_eval import MATCH_IOU, Matches, average_precision, overlaps
from detseg.types import ImageId

BACKGROUND_IOU = 0.1
N_IMAGES = 12

ErrorKind = Literal["class", "location", "both", "duplicate", "background", "missed"]
"""In IoU with the truth, where 0.5 is a hit and below 0.1 is background:

``class``: a hit on an object of another class; ``location``: 0.1 to 0.5 with one of its own class;
``both``: 0.1 to 0.5 with one of another class; ``duplicate``: a hit on an object that a better detection
took; ``background``: below 0.1 with everything; ``missed``: an object that no detection hit, and that no
error of class or location explains.
"""
ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)


@dataclass(frozen=True, slots=True)
class ErrorCost:
    """The number of errors of a kind, and what they cost.

    To mend is to move a misplaced or mislabeled detection onto its object (of several on one object the
    best; the others, and all on objects that another detection hit, go), to drop a duplicate, a background
    and a ``both``, and not to count a missed object as truth.
    """

    n: int
    ap_cost: float | None
    """AP at IoU 0.5 with the errors of this kind mended, all others left, minus ``ap50``, in [-1, 1].

    None where there is no truth, or none is left to measure it by. Rarely below 0.
    """
    images: tuple[ImageId, ...]
    """The images with most of them, most first, 12 at most."""


@dataclass(frozen=True, slots=True)
class ErrorCosts:
    """All six kinds, in the order of ``ERROR_KINDS``, and how often each happens in each class.

    An error belongs to the class of the detection, a missed object to its own. ``ap50`` is the AP at IoU 0.5
    that the costs refer to: the mean over the classes that have truth, of all detections, where COCO's own
    looks at the best 100 of an image and class.
    """

    ap50: float | None
    kinds: Mapping[ErrorKind, ErrorCost]
    per_class: Mapping[str, Mapping[ErrorKind, int]]


def error_costs(data: DetectionData, matches: Matches) -> ErrorCosts:
    """Sort the detections that hit nothing by reason, find the missed objects, and compute what each reason
    costs.

    A detection has one reason, the first that holds of location, class, duplicate and background (where an
    IoU is exactly 0.5, too, it is location; exactly 0.1 is background), else both.
    """
    near = _nearest(data)
    right = matches.right
    reasons = _reasons(near, right)
    is_hit = np.zeros(len(data.truth), dtype=np.bool_)
    is_hit[matches.truth[right]] = True
    target = np.select([reasons == "location", reasons == "class"], [near.own_truth, near.other_truth], -1)
    aimed = np.flatnonzero(target >= 0)
    target[aimed[is_hit[target[aimed]]]] = -1
    is_missed = ~is_hit
    is_missed[target[target >= 0]] = False
    situation = _Situation(data, right, reasons, _best_on_each(target, data.found.score), is_missed)
    ap50 = _mean_ap(situation, None)
    kinds = {kind: _cost(situation, kind, ap50) for kind in ERROR_KINDS}
    return ErrorCosts(ap50, kinds, _count_per_class(situation))


@dataclass(frozen=True, slots=True)
class _Nearest:
    """For each detection (N,), the highest IoU with an object of its own and of another class, and whose."""

    own: Floats
    own_truth: Ints
    other: Floats
    other_truth: Ints


@dataclass(frozen=True, slots=True)
class _Situation:
    data: DetectionData
    right: Bools
    reasons: npt.NDArray[np.str_]
    """(N,), "" where a detection is right"""
    target: Ints
    """(N,), the object that a detection would hit were its reason mended, -1 for none"""
    is_missed: Bools
    """(M,) of the truth"""

    def errors(self, kind: ErrorKind) -> tuple[Ints, Ints]:
        """Image and label of each error of a kind."""
        rows, side = (
            (self.is_missed, self.data.truth) if kind == "missed" else (self.reasons == kind, self.data.found)
        )
        return side.image[rows], side.label[rows]


def _nearest(data: DetectionData) -> _Nearest:
    n = len(data.found)
    own, other = np.zeros(n), np.zeros(n)
    own_truth, other_truth = np.full(n, -1), np.full(n, -1)
    for rows, columns, iou in overlaps(data):
        same = data.found.label[rows][:, None] == data.truth.label[columns][None, :]
        for best, truth, values in (
            (own, own_truth, np.where(same, iou, 0.0)),
            (other, other_truth, np.where(same, 0.0, iou)),
        ):
            best[rows] = values.max(axis=1)
            truth[rows] = values.argmax(axis=1) + columns.start
    return _Nearest(own, own_truth, other, other_truth)


def _reasons(near: _Nearest, right: Bools) -> npt.NDArray[np.str_]:
    return np.select(
        [
            right,
            (near.own >= BACKGROUND_IOU) & (near.own <= MATCH_IOU),
            near.other >= MATCH_IOU,
            near.own >= MATCH_IOU,
            np.maximum(near.own, near.other) <= BACKGROUND_IOU,
        ],
        ["", "location", "class", "duplicate", "background"],
        "both",
    )


def _best_on_each(target: Ints, scores: Floats) -> Ints:
    """Only the detection with the highest score, the first of equals, keeps its target."""
    order = np.lexsort((np.arange(len(target)), -scores))
    _, first = np.unique(target[order], return_index=True)
    kept = np.full(len(target), -1)
    kept[order[first]] = target[order[first]]
    return kept


def _cost(situation: _Situation, kind: ErrorKind, ap50: float | None) -> ErrorCost:
    image, _ = situation.errors(kind)
    per_image = np.bincount(image, minlength=len(situation.data.images))
    most = np.argsort(-per_image, kind="stable")[:N_IMAGES]
    mended = _mean_ap(situation, kind)
    return ErrorCost(
        len(image),
        None if ap50 is None or mended is None else mended - ap50,
        tuple(situation.data.images[i] for i in most if per_image[i]),
    )


def _mean_ap(situation: _Situation, mended: ErrorKind | None) -> float | None:
    """The mean over classes with truth; with the missed objects gone, those with detections count as 0."""
    data = situation.data
    label, right = data.found.label, situation.right
    kept = np.ones(len(data.found), dtype=np.bool_)
    if mended in ("location", "class"):
        is_moved = (situation.reasons == mended) & (situation.target >= 0)
        label = label.copy()
        label[is_moved] = data.truth.label[situation.target[is_moved]]
        right = right | is_moved
    if mended is not None:
        kept = right | (situation.reasons != mended)
    n_truth = np.bincount(data.truth.label, minlength=len(data.labels))
    n_left = n_truth
    if mended == "missed":
        n_left = n_truth - np.bincount(data.truth.label[situation.is_missed], minlength=len(data.labels))
    aps = []
    for k in np.flatnonzero(n_truth):
        rows = np.flatnonzero(kept & (label == k))
        if n_left[k]:
            aps.append(average_precision(data.found.score[rows], right[rows], int(n_left[k])))
        elif len(rows):
            aps.append(0.0)
    return float(np.mean(aps)) if aps else None


def _count_per_class(situation: _Situation) -> dict[str, dict[ErrorKind, int]]:
    labels = situation.data.labels
    counts = {kind: np.bincount(situation.errors(kind)[1], minlength=len(labels)) for kind in ERROR_KINDS}
    return {name: {kind: int(counts[kind][k]) for kind in ERROR_KINDS} for k, name in enumerate(labels)}
