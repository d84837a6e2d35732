"""Differences between two models' figures on the same images, with intervals of 95 % or wider.

What makes an image hard for one model makes it hard for the other, so images are never compared across: the
difference is taken on each image, or in each draw of images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from detseg.metrics.class_means import students_t
from detseg.metrics.detection_intervals import N_HALVES, HalvedAps, draw_halves
from detseg.metrics.intervals import LEVEL, unseen_share

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RISK = (1.0 - LEVEL) / 2.0
"""The chance that the truth lies beyond one end of an interval of 95 %."""

_Z = float(ndtri(1.0 - RISK))


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of the candidate minus that of the present model; all None where one of them is undefined."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def has_risen(self) -> bool:
        """Tell whether the whole interval is above 0."""
        return self.low is not None and self.low > 0.0

    @property
    def has_fallen(self) -> bool:
        """Tell whether the whole interval is below 0."""
        return self.high is not None and self.high < 0.0


NOTHING = Difference(None, None, None)


def mean_change(changes: Floats) -> Difference:
    """The mean of what changes in each image, (n_images,), with Student's interval."""
    n = len(changes)
    if n < 2:
        return NOTHING
    value = float(changes.mean())
    error = float(changes.std(ddof=1)) / math.sqrt(n) * float(stdtrit(n - 1, 1.0 - RISK))
    return Difference(value, value - error, value + error)


def mean_difference(present: Floats, candidate: Floats, worst: Floats, *, risk: float = RISK) -> Difference:
    """The difference between two means per image; (n_images,) all, 0 in images that do not count.

    ``worst`` is what a model would have that finds nothing in an image. Two uncertainties are combined by
    MOVER (Zou and Donner, 2008), as ``intervals.bounds_by_image`` does:

    - what the images at hand say: Student's interval of the differences. Its degrees of freedom are those of
      the images that count;
    - what they cannot say. Images of a kind that none of them is may be up to ``unseen_share`` of all. If the
      candidate found nothing in them, the difference would rise by that share of (worst - present); if the
      present model found nothing, fall by that of (worst - candidate).

    ``risk`` is the chance that the truth lies beyond one end. 0 exactly where both are equal on every image.

    >>> same = np.array([7.0, 42.0, 14.0])
    >>> mean_difference(same, same, same + 70.0)
    Difference(value=0.0, low=0.0, high=0.0)
    """
    n, counted = len(present), (present > 0.0) | (candidate > 0.0) | (worst > 0.0)
    n_counted = int(np.count_nonzero(counted))
    if np.array_equal(present, candidate):
        return Difference(0.0, 0.0, 0.0) if n else NOTHING
    differences = candidate - present
    value = float(differences.mean())
    if n_counted < 2:
        return Difference(value, -math.inf, math.inf)
    error = float(differences.std(ddof=1)) / math.sqrt(n) * float(stdtrit(n_counted - 1, 1.0 - risk))
    unseen = unseen_share(n_counted, level=1.0 - 2.0 * risk) * n_counted / n
    fall, rise = (unseen * max(float((worst - one)[counted].mean()), 0.0) for one in (candidate, present))
    return Difference(value, value - math.hypot(error, fall), value + math.hypot(error, rise))


@dataclass(frozen=True, slots=True, eq=False)
class Halved:
    """A figure of K classes, of all images and of R halves of them; NaN where it is undefined.

    Both models' halves are the same images: ``draw_halves`` of one seed.
    """

    whole: Floats
    """(K,)"""
    halves: Floats
    """(R, K)"""
    images: Ints
    """(K,) images that have to do with each class"""


def halve_ratios(parts: Floats, wholes: Floats, *, seed: int) -> Halved:
    """The sum of parts / the sum of wholes of each class: (n_images, K) both."""
    counts = draw_halves(len(parts), np.random.default_rng(seed), N_HALVES)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Halved(
            whole=parts.sum(axis=0) / wholes.sum(axis=0),
            halves=(counts @ parts) / (counts @ wholes),
            images=np.count_nonzero(wholes, axis=0),
        )


def halve_ap(aps: HalvedAps, *, ious: slice = slice(None)) -> Halved:
    """The AP at those IoUs, of the classes that have truth: the same ones for both models."""
    seen = np.flatnonzero(aps.images)
    return Halved(
        aps.whole[ious][:, seen].mean(axis=0), aps.halves[ious][:, :, seen].mean(axis=0), aps.images[seen]
    )


def mean_of_classes(halved: Halved) -> float | None:
    """The mean over the classes that have the figure; None without any."""
    defined = np.isfinite(halved.whole)
    return float(halved.whole[defined].mean()) if defined.any() else None


def difference_of_means(present: Halved, candidate: Halved) -> Difference:
    """The difference between two means over classes, each over those that have the figure.

    Halves without replacement spread about the figure of all images as these do about that of the world (Shao
    and Wu, 1989); Student's t is for the images of each class (Satterthwaite, 1946). What makes AP of few
    images too high is in both figures, and goes out.
    """
    before, after = mean_of_classes(present), mean_of_classes(candidate)
    if before is None or after is None:
        return NOTHING
    return _difference(after - before, _by_class(candidate), _by_class(present), candidate.images)


def difference_of_class(present: Halved, candidate: Halved, k: int) -> Difference:
    """The difference between the figures of one class."""
    value = float(candidate.whole[k] - present.whole[k])
    if not math.isfinite(value):
        return NOTHING
    after, before = (_by_class(one)[:, [k]] for one in (candidate, present))
    return _difference(value, after, before, candidate.images[[k]])


def _by_class(halved: Halved) -> Floats:
    """The halves with the figure of all images where a half has none: (R, K)."""
    filled: Floats = np.where(np.isfinite(halved.halves), halved.halves, halved.whole)
    return filled


def _difference(value: float, candidate: Floats, present: Floats, images: Ints) -> Difference:
    if images.max(initial=0) < 2:
        return Difference(value, -math.inf, math.inf)
    of_class = np.nan_to_num(candidate - present)
    means = np.nanmean(candidate, axis=1) - np.nanmean(present, axis=1)
    few = students_t(of_class.var(axis=0), images.astype(np.float64) - 1.0)
    error = float(means.std(ddof=1)) * few * _Z
    return Difference(value, value - error, value + error)
