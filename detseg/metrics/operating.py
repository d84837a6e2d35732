"""Precision, recall and F1 of a model from which only detections above a score are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detseg.metrics.coco_data import Bools, DetectionData, Floats, Ints
from detseg.metrics.coco_eval import Matches

MIN_SCORES = tuple(k / 100 for k in range(101))


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The figures of a model whose detections with a score below ``min_score`` are dropped, at IoU 0.5."""

    min_score: float
    tp: int
    fp: int
    fn: int
    precision: float | None
    """tp / (tp + fp), in [0, 1]; None without detections"""
    recall: float | None
    """tp / (tp + fn), in [0, 1]; None without truth"""
    f1: float | None
    """2 tp / (2 tp + fp + fn), in [0, 1]; None without detections and truth"""


@dataclass(frozen=True, slots=True)
class OperatingCurve:
    """The operating points of one class, or of all together, as columns; ``n_truth`` is tp + fn everywhere.

    ``best`` is the point with the highest F1 over all thresholds there are, not only over those of the
    columns; the highest threshold of equals. None without truth or detections.
    """

    n_truth: int
    tp: tuple[int, ...]
    fp: tuple[int, ...]
    precision: tuple[float | None, ...]
    recall: tuple[float | None, ...]
    f1: tuple[float | None, ...]
    best: OperatingPoint | None


@dataclass(frozen=True, slots=True)
class OperatingCurves:
    """Each column of a curve has one entry per ``min_score``: 0.00, 0.01, ... 1.00."""

    min_score: tuple[float, ...]
    all: OperatingCurve
    per_class: Mapping[str, OperatingCurve]


def operating_curves(data: DetectionData, matches: Matches) -> OperatingCurves:
    """Compute the figures at all thresholds; all classes together count as one, object by object."""
    found, right = data.found, matches.right
    n_truth = np.bincount(data.truth.label, minlength=len(data.labels))
    per_class = {
        name: _curve(found.score[found.label == k], right[found.label == k], int(n_truth[k]))
        for k, name in enumerate(data.labels)
    }
    return OperatingCurves(MIN_SCORES, _curve(found.score, right, len(data.truth)), per_class)


def _curve(scores: Floats, right: Bools, n_truth: int) -> OperatingCurve:
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    tp_by_rank = np.concatenate([[0], np.cumsum(right[order])])  # of the first 0, 1, ... N detections
    n_used = np.searchsorted(-ranked, -np.array(MIN_SCORES), side="right")
    points = [
        _point(t, int(tp_by_rank[n]), int(n - tp_by_rank[n]), n_truth)
        for t, n in zip(MIN_SCORES, n_used, strict=True)
    ]
    return OperatingCurve(
        n_truth,
        tp=tuple(point.tp for point in points),
        fp=tuple(point.fp for point in points),
        precision=tuple(point.precision for point in points),
        recall=tuple(point.recall for point in points),
        f1=tuple(point.f1 for point in points),
        best=_best(ranked, tp_by_rank, n_truth),
    )


def _best(ranked: Floats, tp_by_rank: Ints, n_truth: int) -> OperatingPoint | None:
    if not n_truth or not len(ranked):
        return None
    ends = np.append(np.flatnonzero(ranked[1:] < ranked[:-1]), len(ranked) - 1) + 1  # no tie is cut
    f1 = 2 * tp_by_rank[ends] / (ends + n_truth)  # 2 tp + fp + fn = detections + truth
    n = int(ends[np.argmax(f1)])
    return _point(float(ranked[n - 1]), int(tp_by_rank[n]), n - int(tp_by_rank[n]), n_truth)


def _point(min_score: float, tp: int, fp: int, n_truth: int) -> OperatingPoint:
    n_found = tp + fp
    return OperatingPoint(
        min_score,
        tp,
        fp,
        n_truth - tp,
        precision=tp / n_found if n_found else None,
        recall=tp / n_truth if n_truth else None,
        f1=2 * tp / (n_found + n_truth) if n_found + n_truth else None,
    )
