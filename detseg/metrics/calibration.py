"""Calibration: whether a model's scores mean what they say.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detseg.metrics.coco_data import Bools, DetectionData, Floats
from detseg.metrics.coco_eval import Matches, calibration_bins

N_BINS = 10


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """The detections with a score in [low, high); the last bin holds 1.0 too."""

    low: float
    high: float
    n: int
    mean_score: float | None
    """the model's mean score, in [0, 1]; None for an empty bin"""
    precision: float | None
    """The share that is right, in [0, 1]; None for an empty bin."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """A reliability diagram: bins of equal width over [0, 1], and what they come to."""

    bins: tuple[ScoreBin, ...]
    ece: float | None
    """sum over the bins of n / N * abs(precision - mean_score), in [0, 1]; 0 is perfect"""
    mce: float | None
    """max over the bins of abs(precision - mean_score), in [0, 1]"""
    n: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of all detections together and of each class by name. A detection is right if it matches at IoU 0.5."""

    all: Reliability
    per_class: Mapping[str, Reliability]


def calibrate(data: DetectionData, matches: Matches) -> Calibration:
    """The reliability of the scores of all detections, and of those of each label."""
    scores, right, label = data.found.score, matches.right, data.found.label
    return Calibration(
        _reliability(scores, right),
        {name: _reliability(scores[label == k], right[label == k]) for k, name in enumerate(data.labels)},
    )


def _reliability(scores: Floats, right: Bools) -> Reliability:
    n, bins, gaps = len(scores), [], []
    for entry in calibration_bins(scores, right, N_BINS):
        count, score, precision = entry["count"], entry["avg_confidence"], entry["avg_accuracy"]
        edges = entry["bin_lower"], entry["bin_upper"]
        bins.append(ScoreBin(*edges, count, score, precision) if count else ScoreBin(*edges, 0, None, None))
        gaps.append((count / n, abs(precision - score)) if count else (0.0, 0.0))
    return Reliability(
        tuple(bins),
        ece=sum(share * gap for share, gap in gaps) if n else None,
        mce=max(gap for _, gap in gaps) if n else None,
        n=n,
    )
