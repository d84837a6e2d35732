"""Intervals of the figures of detection: of AP by halves of the images, of precision and recall as of shares.

The best precision at any higher recall gains from noise, so AP is too high, the more the fewer images there
are, and so is that of half of the images: by how much tells how far the whole is off. Half of the images
without replacement also spread about the AP of all as these do about that of the world (the jackknife that
leaves out half: Shao and Wu, "A general theory for jackknife variance estimation", 1989). Draws with
replacement say less of either, as doubled images agree with themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detseg.metrics.class_means import MIN_CLASS_IMAGES, mean_pull, students_t, widen
from detseg.metrics.coco_data import Bools, DetectionData, Floats, Ints
from detseg.metrics.coco_eval import COCO_RECALLS, Matches
from detseg.metrics.intervals import Estimate, told, wilson_bounds, wilson_by_image

N_HALVES = 100
"""Enough to know a standard error to 7 %."""

BIAS_RATE = 0.5
"""AP is too high by about a constant / n_images ** BIAS_RATE: 0.4 to 0.7 from 20 to 200 images in the made
projects of ``bench.coverage``, where a smooth figure's bias would fall with 1."""

BIAS_SPAN = (0.75, 4.0 / 3.0)
"""The bias is between these times what the halves say: AP50 has less of it, AP of few images more."""

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


@dataclass(frozen=True, slots=True)
class HalvedAps:
    """The APs at T IoUs of K classes, of all images and of R halves of them; NaN without truth of a class."""

    whole: Floats
    """(T, K)"""
    halves: Floats
    """(T, R, K)"""
    images: Ints
    """(K,) images with truth of each class"""
    effective_images: Floats
    """(K,) as many with equally many objects say as much (Kish, "Survey Sampling", 1965): few crowded images
    decide an AP alone"""
    n_images: int


def halve(data: DetectionData, right: Bools, *, seed: int, n_halves: int = N_HALVES) -> HalvedAps:
    """The APs of all images and of halves drawn at random, each half beside the rest."""
    n, k = len(data.images), len(data.labels)
    counts = draw_halves(n, np.random.default_rng(seed), n_halves)
    objects = np.zeros((k, n))  # of each class on each image
    np.add.at(objects, (data.truth.label, data.truth.image), 1.0)
    return HalvedAps(
        whole=average_precisions(data, right, np.ones((1, n)))[:, 0],
        halves=average_precisions(data, right, counts),
        images=np.count_nonzero(objects, axis=1),
        effective_images=objects.sum(axis=1) ** 2 / np.maximum((objects**2).sum(axis=1), 1.0),
        n_images=n,
    )


def estimate_ap(value: float | None, aps: HalvedAps, *, ious: slice = slice(None)) -> Estimate:
    """An AP over classes, the mean over those with truth, with its interval; told as ``class_mean`` is."""
    seen = np.flatnonzero(aps.images)
    if value is None or not len(seen):
        return Estimate(None, None, None, aps.n_images, None)
    low, high = _bounds(value, aps, seen, ious)
    enough = bool(aps.images[seen].min() >= MIN_CLASS_IMAGES)
    return told(value, low, high, n=aps.n_images, scale="share", enough=enough)


def estimate_ap_per_class(
    labels: Sequence[str], values: Sequence[float | None], aps: HalvedAps
) -> dict[str, Estimate]:
    """The AP of every class (K,), by name; ``n`` is the images with its truth."""
    found: dict[str, Estimate] = {}
    for k, (name, value) in enumerate(zip(labels, values, strict=True)):
        n = int(aps.images[k])
        bounds = (0.0, 1.0) if value is None or n < 2 else _bounds(value, aps, np.array([k]), slice(None))
        missing = Estimate(None, None, None, n, None)
        found[name] = missing if value is None or n < 2 else told(value, *bounds, n=n, scale="share")
    return found


def _bounds(value: float, aps: HalvedAps, classes: Ints, ious: slice) -> tuple[float, float]:
    """The interval of the mean over those classes and IoUs, about what it is without the halves' bias.

    Wilson's at the number of trials that have the halves' variance, with Student's t for the effective images
    of each class (Satterthwaite, 1946), and room for what no image shows (``mean_pull``): crowded images that
    are missing pull as far as few images do, so it is by the effective ones, too.
    """
    whole, effective = aps.whole[ious][:, classes].mean(axis=0), aps.effective_images[classes]  # (k,)
    halves = aps.halves[ious][:, :, classes].mean(axis=0)  # (R, k)
    halves = np.where(np.isfinite(halves), halves, whole)  # of a class that is on the other half alone
    means = halves.mean(axis=1)
    bias = max((float(means.mean()) - float(whole.mean())) / (2.0**BIAS_RATE - 1.0), 0.0)
    error = float(means.std(ddof=1)) * students_t(halves.var(axis=0), effective - 1.0)
    least, most = (value - part * bias for part in BIAS_SPAN)
    low, high = _wilson(most, error)[0], _wilson(least, error)[1]
    return widen(value, (min(low, value), max(high, value)), mean_pull(whole, np.rint(effective)))


def _wilson(centre: float, error: float) -> tuple[float, float]:
    """Wilson's interval of a share with that standard error."""
    centre = min(max(centre, 0.0), 1.0)
    return wilson_bounds(centre, centre * (1.0 - centre) / error**2) if error else (centre, centre)


def draw_halves(n: int, rng: np.random.Generator, n_halves: int) -> Floats:
    """How often each image is in each half, 0 or 1: (n_halves, n)."""
    order = np.argsort(rng.random((n_halves // 2, n)), axis=1)
    first = np.zeros((n_halves // 2, n))
    np.put_along_axis(first, order[:, : n // 2], 1.0, axis=1)
    return np.concatenate([first, 1.0 - first])


def estimate_precision(data: DetectionData, matches: Matches, *, min_score: float) -> Estimate:
    """The share of the detections from that score on that hit an object."""
    return wilson_by_image(*hits_of_found(data, matches, min_score=min_score))


def estimate_recall(data: DetectionData, matches: Matches, *, min_score: float) -> Estimate:
    """The share of the true objects that detections from that score on hit."""
    return wilson_by_image(*hits_of_truth(data, matches, min_score=min_score))


def hits_of_found(data: DetectionData, matches: Matches, *, min_score: float = 0.0) -> tuple[Ints, Ints]:
    """The detections of each image from that score on that hit an object, and all: (n_images,) both."""
    used = data.found.score >= min_score
    return _count_by_image(data, data.found.image[used], matches.right[used])


def hits_of_truth(data: DetectionData, matches: Matches, *, min_score: float = 0.0) -> tuple[Ints, Ints]:
    """The true objects of each image that are hit, and all of them: (n_images,) both."""
    is_hit = np.zeros(len(data.truth), dtype=np.bool_)
    is_hit[matches.truth[matches.right & (data.found.score >= min_score)]] = True
    return _count_by_image(data, data.truth.image, is_hit)


def _count_by_image(data: DetectionData, image: Ints, success: Bools) -> tuple[Ints, Ints]:
    n = len(data.images)
    return np.bincount(image[success], minlength=n), np.bincount(image, minlength=n)


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
