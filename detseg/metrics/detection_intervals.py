"""How sure the figures of detection are, where images are what was drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from detseg.metrics.coco_data import Bools, DetectionData, Floats, Ints
from detseg.metrics.coco_eval import COCO_RECALLS, Matches
from detseg.metrics.intervals import LEVEL, Estimate, resampled_counts, told, wilson_by_image

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
    """``average_precisions`` of R draws of as many images with replacement: (T, R)."""
    blocks = resampled_counts(len(data.images), np.random.default_rng(seed), n_resamples)
    return np.concatenate([average_precisions(data, right, counts) for counts in blocks], axis=1)


def average_precisions(data: DetectionData, right: Bools, counts: Floats) -> Floats:
    """The AP at each of T IoUs in each of R draws, (T, R), that hold each image so often: (R, n_images).

    ``right`` says of every detection whether it hits at each IoU, (T, N). An AP is the mean over the classes
    that have truth among the images drawn; NaN where none has.
    """
    classes = list(_classes(data, right))
    step = max(1, _BLOCK // max([1, *(len(one.image) for one in classes)]))
    blocks = [
        _mean_over_classes(classes, counts[start : start + step], n_ious=len(right))
        for start in range(0, len(counts), step)
    ]
    return np.concatenate(blocks, axis=1)


def _classes(data: DetectionData, right: Bools) -> Iterator[_Class]:
    order = np.argsort(-data.found.score, kind="stable")
    for k in range(len(data.labels)):
        rows = order[data.found.label[order] == k]
        truth_image = data.truth.image[data.truth.label == k]
        if len(truth_image):
            yield _Class(data.found.image[rows], right[:, rows], truth_image)


def _mean_over_classes(classes: Sequence[_Class], counts: Floats, *, n_ious: int) -> Floats:
    """Of draws that hold each image so many times, (R, n_images), the mean AP at each IoU (T, R)."""
    total, n_classes = np.zeros((n_ious, len(counts))), np.zeros(len(counts))
    for one in classes:
        n_truth = counts[:, one.truth_image].sum(axis=1)  # (R,)
        n_classes += n_truth > 0.0
        weights = counts[:, one.image]  # (R, n)
        n_found = np.cumsum(weights, axis=1)
        for t in range(n_ious):
            total[t] += _ap(weights, n_found, n_truth, np.flatnonzero(one.right[t]))
    return np.divide(total, n_classes, out=np.full_like(total, np.nan), where=n_classes > 0.0)


def _ap(weights: Floats, n_found: Floats, n_truth: Floats, hits: Ints) -> Floats:
    """COCO's AP at 101 recalls of each draw (R,), 0 without truth.

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
    return np.where(n_truth > 0.0, (best * held).sum(axis=1) / 101.0, 0.0)
