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
from detseg.metrics.halved import Halved
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


def difference_of_means(present: Halved, candidate: Halved) -> Difference:
    """The difference between two models' means over classes, each over those that have the figure.

    What makes AP of few images too high is in both figures, and goes out.
    """
    found = compare_means(present, candidate)
    return NOTHING if found is None else found.interval()


def difference_of_class(present: Halved, candidate: Halved, name: str) -> Difference:
    """The difference between the figures of one class; undefined where one of them lacks it."""
    found = compare_means(present, candidate, classes=(name,))
    return NOTHING if found is None else found.interval()


@dataclass(frozen=True, slots=True)
class HalvedDifference:
    """A difference of all images, what more it is in halves of them, and how far its interval reaches."""

    value: float
    of_halves: float
    """the mean difference in halves, minus ``value``"""
    error: float
    """half of the interval of 95 %; infinite for an image alone"""

    def interval(self) -> Difference:
        """The interval about the value."""
        return Difference(self.value, self.value - self.error, self.value + self.error)


def compare_means(
    present: Halved, candidate: Halved, *, classes: tuple[str, ...] | None = None
) -> HalvedDifference | None:
    """Compare two means over classes, all of them or some; None where one of them lacks the figure.

    Halves without replacement spread about the figure of all images as these do about that of the world (Shao
    and Wu, 1989); Student's t is for the images of each class (Satterthwaite, 1946).
    """
    names = classes or tuple(sorted({*present.classes, *candidate.classes}))
    before, after = _align(present, names), _align(candidate, names)
    if (old := before.mean()) is None or (new := after.mean()) is None:
        return None
    images = np.maximum(before.images, after.images)
    of_class = np.nan_to_num(after.halves - before.halves)
    means = np.nanmean(after.halves, axis=1) - np.nanmean(before.halves, axis=1)
    few = students_t(of_class.var(axis=0), images.astype(np.float64) - 1.0)
    error = float(means.std(ddof=1)) * few * _Z if images.max(initial=0) > 1 else math.inf
    return HalvedDifference(new - old, float(means.mean()) - (new - old), error)


def _align(halved: Halved, classes: tuple[str, ...]) -> Halved:
    """Those classes, of which some may be missing; a half without the figure has that of all images."""
    at = [halved.classes.index(name) if name in halved.classes else len(halved.classes) for name in classes]
    whole = np.append(halved.whole, np.nan)[at]
    halves = np.pad(halved.halves, ((0, 0), (0, 1)), constant_values=np.nan)[:, at]
    filled = np.where(np.isfinite(halves), halves, whole)
    return Halved(classes, whole, filled, np.append(halved.images, 0)[at])
