"""Intervals of the figures of detection, by resampling images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from detseg.metrics.bootstrap import resampled_counts
from detseg.metrics.coco_data import Bools, DetectionData, Floats, Ints
from detseg.metrics.coco_eval import COCO_RECALLS, Matches
from detseg.metrics.intervals import LEVEL, Estimate, told, wilson_by_image

N_RESAMPLES = 100
"""Enough to know a standard error to 7 %."""

_BLOCK = 2_000_000  # numbers at once: 16 MB


@dataclass(frozen=True, slots=True)
class _Class:
    """The detections of one class, best first, and its true objects; all by the position of their image."""

    image: Ints
    """(n,) of the detections"""
    right: Bools
    """(T, n), at each IoU"""
    truth_image: Ints
    """(m,) of the true objects"""


def estimate_ap(value: float | None, drawn: Floats, *, n_images: int) -> Estimate:
    """An AP with the interval of its resamples (R,), for samples of as many images.

    The interval is 1.96 standard errors to either side: resamples have a higher AP than the images
    themselves, because the best precision at any higher recall gains from noise, so their percentiles
    would not hold the value.
    """
    drawn = drawn[np.isfinite(drawn)]
    if value is None or len(drawn) < 2:
        return Estimate(None, None, None, n_images, None)
    half = float(ndtri((1.0 + LEVEL) / 2.0) * drawn.std(ddof=1))
    return told(value, max(value - half, 0.0), min(value + half, 1.0), n=n_images, scale="share")


def estimate_ap_per_class(
    data: DetectionData, aps: Sequence[float | None], drawn: Floats
) -> dict[str, Estimate]:
    """Of every class (K,), by name, from ``resample_ap``'s answer; ``n`` is the images with its truth."""
    return {
        name: estimate_ap(
            aps[k],
            mean_over(drawn[:, :, k], axis=0),
            n_images=len(np.unique(data.truth.image[data.truth.label == k])),
        )
        for k, name in enumerate(data.labels)
    }


def estimate_precision(data: DetectionData, matches: Matches, *, min_score: float) -> Estimate:
    """The share of the detections from that score on that hit an object."""
    used = data.found.score >= min_score
    return _share_by_image(data, data.found.image[used], matches.right[used])


def estimate_recall(data: DetectionData, matches: Matches, *, min_score: float) -> Estimate:
    """The share of the true objects that detections from that score on hit."""
    is_hit = np.zeros(len(data.truth), dtype=np.bool_)
    is_hit[matches.truth[matches.right & (data.found.score >= min_score)]] = True
    return _share_by_image(data, data.truth.image, is_hit)


def _share_by_image(data: DetectionData, image: Ints, success: Bools) -> Estimate:
    n = len(data.images)
    return wilson_by_image(np.bincount(image[success], minlength=n), np.bincount(image, minlength=n))


def resample_ap(data: DetectionData, right: Bools, *, seed: int, n_resamples: int = N_RESAMPLES) -> Floats:
    """``average_precisions`` of R draws of as many images with replacement: (T, R, K)."""
    blocks = resampled_counts(len(data.images), np.random.default_rng(seed), n_resamples)
    return np.concatenate([average_precisions(data, right, counts) for counts in blocks], axis=1)


def average_precisions(data: DetectionData, right: Bools, counts: Floats) -> Floats:
    """The AP of K classes at each of T IoUs in each of R draws of images: (T, R, K).

    ``right`` says of every detection whether it hits at each IoU, (T, N); ``counts`` how often each draw
    holds each image, (R, n_images). NaN where a draw has no truth of a class.
    """
    aps = np.full((len(right), len(counts), len(data.labels)), np.nan)
    order = np.argsort(-data.found.score, kind="stable")
    for k in range(len(data.labels)):
        rows = order[data.found.label[order] == k]
        one = _Class(data.found.image[rows], right[:, rows], data.truth.image[data.truth.label == k])
        step = max(1, _BLOCK // max(1, len(rows)))
        for start in range(0, len(counts), step):
            block = slice(start, start + step)
            aps[:, block, k] = _class_aps(one, counts[block])
    return aps


def mean_over(aps: Floats, axis: int | tuple[int, ...]) -> Floats:
    """The mean over an axis of what is not NaN; NaN where everything is."""
    n = np.isfinite(aps).sum(axis=axis)
    total = np.nansum(aps, axis=axis)
    mean: Floats = np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)
    return mean


def _class_aps(one: _Class, counts: Floats) -> Floats:
    n_truth = counts[:, one.truth_image].sum(axis=1)  # (R,)
    weights = counts[:, one.image]  # (R, n)
    n_found = np.cumsum(weights, axis=1)
    aps = np.stack([_ap(weights, n_found, n_truth, np.flatnonzero(right)) for right in one.right])
    return np.where(n_truth > 0.0, aps, np.nan)


def _ap(weights: Floats, n_found: Floats, n_truth: Floats, hits: Ints) -> Floats:
    """COCO's AP at 101 recalls of each draw (R,); something without truth.

    Precision has its peaks where a detection hits, so only these are looked at: a hit holds all recalls
    k / 100 from that of the hit before up to its own, at the best precision there or later.
    """
    if not len(hits):
        return np.zeros(len(weights))
    tp = np.cumsum(weights[:, hits], axis=1)  # (R, h)
    precision = tp / np.maximum(n_found[:, hits], 1.0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = tp / np.maximum(n_truth, 1.0)[:, None]
    n_reached = np.searchsorted(COCO_RECALLS, recall, side="right")
    held = np.diff(n_reached, axis=1, prepend=0)
    ap: Floats = (best * held).sum(axis=1) / 101.0
    return ap
