"""Intervals of means over classes: mIoU, PQ and others that weigh every class alike.

The mean is over the classes that the images show: of one that they do not show nothing is known. So that a
class that is missing by chance cannot pass unseen, such a mean is told where each of its classes is on at
least ``MIN_CLASS_IMAGES`` images.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from detseg.metrics.intervals import LEVEL, UNKNOWN, Estimate, told, unseen_share, wilson_bounds

Floats = npt.NDArray[np.float64]

MIN_CLASS_IMAGES = 3
"""A class on fewer images makes no mean over classes."""

_QUANTILE = (1.0 + LEVEL) / 2.0
_MOST_LEVERAGE = 0.9  # of an image on its class: beyond it the others tell too little


def class_mean(parts: npt.ArrayLike, wholes: npt.ArrayLike) -> Estimate:
    """The mean over classes of (the sum of parts / the sum of wholes), in [0, 1], by image.

    Both have shape (n_images, n_classes), with 0 <= part <= whole; a class without wholes does not count, nor
    does an image. Images and not classes are drawn.

    - The variance is that of leaving out each image (the jackknife), which for ratios is in closed form and
      holds for the images of a large weight. Student's t takes its degrees of freedom from how many images
      carry each class (Satterthwaite, 1946; Bell and McCaffrey, "Bias reduction in standard errors for linear
      regression with multi-stage samples", 2002).
    - The interval is Wilson's at the number of trials that have this variance, so that it stays in [0, 1].
    - What no image shows is added as in ``bounds_by_image``, for each class by its own images.
    """
    up, down = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
    up, down = up[:, down.sum(axis=0) > 0.0], down[:, down.sum(axis=0) > 0.0]
    up, down = up[(down > 0.0).any(axis=1)], down[(down > 0.0).any(axis=1)]
    n, n_classes = down.shape
    if not n or not n_classes:
        return UNKNOWN
    ratios, images = up.sum(axis=0) / down.sum(axis=0), np.count_nonzero(down, axis=0)
    low, high = _bounds(up, down, ratios)
    pull = mean_pull(ratios, images)
    value = float(ratios.mean())
    low, high = widen(value, (low, high), pull)
    return told(value, low, high, n=n, scale="share", enough=bool(images.min() >= MIN_CLASS_IMAGES))


def mean_pull(ratios: Floats, images: npt.ArrayLike) -> float:
    """How far images of no kind seen may draw a mean over classes, (n_classes,) both; up if negative.

    Classes fail apart from each other, so their squares add up.
    """
    pulls = [
        (2.0 * ratio - 1.0) * unseen_share(int(n))
        for ratio, n in zip(ratios.tolist(), np.asarray(images).tolist(), strict=True)
    ]
    total = math.fsum(pulls)
    return math.copysign(math.sqrt(math.fsum(pull**2 for pull in pulls)) / len(pulls), total)


def widen(value: float, bounds: tuple[float, float], pull: float) -> tuple[float, float]:
    """The interval with the end moved that unseen images draw it to; in [0, 1]."""
    low, high = bounds
    if pull > 0.0:
        low = value - math.hypot(value - low, pull)
    else:
        high = value + math.hypot(high - value, pull)
    return max(low, 0.0), min(high, 1.0)


def _bounds(up: Floats, down: Floats, ratios: Floats) -> tuple[float, float]:
    n, n_classes = down.shape
    value = float(ratios.mean())
    leverage = down / down.sum(axis=0)
    left_out = (up - ratios * down) / down.sum(axis=0) / (1.0 - np.minimum(leverage, _MOST_LEVERAGE))
    variance = float((left_out.sum(axis=1) ** 2).sum()) / n_classes**2 * (n - 1) / n
    if variance <= 0.0:
        return value, value
    few = students_t((left_out**2).sum(axis=0), 1.0 / (leverage**2).sum(axis=0) - 1.0)
    return wilson_bounds(value, value * (1.0 - value) / (variance * few**2))


def students_t(variances: Floats, degrees: Floats) -> float:
    """Student's t of a sum of classes' errors over that of the normal distribution, from 1.

    ``variances`` and ``degrees`` of freedom are the classes', (n_classes,) both; fewer than 1 degree are 1.
    """
    together = float((variances**2 / np.maximum(degrees, 1.0)).sum())
    if together <= 0.0:
        return 1.0
    return float(stdtrit(float(variances.sum()) ** 2 / together, _QUANTILE)) / float(ndtri(_QUANTILE))
