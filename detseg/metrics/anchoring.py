"""How much reviewers lean on the model's regions: its figures against people who saw them, minus those
against people who did not, or against known truth."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from detseg.metrics.intervals import AIM, LEVEL, MIN_UNITS, UNKNOWN, Estimate, Rough
from detseg.metrics.matched import match_regions
from detseg.types import Annotation

_Z = float(ndtri((1.0 + LEVEL) / 2.0))
_FISHER_LEAST = 3
"""Images that a correlation is known from no better than not at all."""


@dataclass(frozen=True, slots=True)
class Anchoring:
    """Differences of the model's figures, assisted minus those of the headline, each in [-1, 1].

    Above 0: people left what they would have drawn in another way. Control images are drawn by lot, and are
    others than the assisted ones; of gold images, reviews and truth are of the same ones (``same_images``).
    """

    same_images: bool
    n_assisted: int
    """images with an assisted review that are compared"""
    n_alone: int
    """images of the headline"""
    box_ap: Estimate
    mask_ap: Estimate
    precision: Estimate
    recall: Estimate
    miou: Estimate
    pq: Estimate


class CommonImages:
    """Images whose truth is known and that people reviewed with the model's regions: what makes a sample easy
    against one makes it easy against the other, so the two figures differ less than those of other images."""

    def __init__(self) -> None:
        self._assisted, self._alone = array("d"), array("d")

    def add(self, prediction: Annotation, *, assisted: Annotation, alone: Annotation) -> None:
        """One image, unless nothing is on it."""
        values = [_overlap(prediction, truth) for truth in (assisted, alone)]
        if values[0] is not None and values[1] is not None:
            self._assisted.append(values[0])
            self._alone.append(values[1])

    def correlation(self) -> float:
        """The least that the two figures may be correlated, in [0, 1].

        Figures of samples correlate as those of their images do: here the overlap of what met. The lower end
        of Fisher's interval ("On the probable error of a coefficient of correlation", 1921), so that few
        images narrow nothing.
        """
        n = len(self._alone)
        if n <= _FISHER_LEAST or not (np.std(self._alone) and np.std(self._assisted)):
            return 0.0
        found = float(np.clip(np.corrcoef(self._assisted, self._alone)[0, 1], -1.0, 1.0 - 1e-9))
        return max(0.0, math.tanh(math.atanh(max(found, 0.0)) - _Z / math.sqrt(n - _FISHER_LEAST)))


def _overlap(prediction: Annotation, truth: Annotation) -> float | None:
    """The sum of the IoUs of pairs that met, over the mean number of regions; None where there are none."""
    matched = match_regions(prediction, truth).values()
    n = sum(one.n_first + one.n_second for one in matched)
    return 2.0 * sum(one.box_iou for one in matched) / n if n else None


def difference_of(first: Estimate, second: Estimate, *, correlation: float = 0.0) -> Estimate:
    """The first figure minus the second, with the interval that theirs give it.

    The ends are recovered from those of both figures (MOVER: Zou and Donner, "Construction of confidence
    limits about effect measures", 2008), so that the interval covers as well as theirs; ``correlation`` is
    that of the two figures from sample to sample, 0 for different images. Too little data for one of them is
    too little for the difference. ``n`` is that of the smaller sample.

    >>> difference_of(Estimate(0.9, 0.8, 1.0, 50, 100), Estimate(0.6, 0.5, 0.7, 20, 80)).low.__round__(3)
    0.159
    """
    a, b = _known(first), _known(second)
    n = min(first.n, second.n)
    if a is None or b is None:
        return Estimate(None, None, None, n, None) if n else UNKNOWN
    value = a[0] - b[0]
    low = value - _half(a[0] - a[1], b[2] - b[0], correlation)
    high = value + _half(a[2] - a[0], b[0] - b[1], correlation)
    half = (high - low) / 2.0
    needed = max(MIN_UNITS, math.ceil(n * (half / AIM) ** 2))
    rough = [one.rough for one in (first, second) if one.rough is not None]
    if not rough:
        return Estimate(value, low, high, n, needed)
    more = [one.n_more for one in rough if one.n_more is not None]
    known = Rough(value, low, high, max(more) if len(more) == len(rough) else None)
    return Estimate(None, None, None, n, needed, known)


def _half(of_first: float, of_second: float, correlation: float) -> float:
    return math.sqrt(max(0.0, of_first**2 + of_second**2 - 2.0 * correlation * of_first * of_second))


def _known(estimate: Estimate) -> tuple[float, float, float] | None:
    """Value, low and high, also of too little data."""
    if estimate.rough is not None:
        return estimate.rough.value, estimate.rough.low, estimate.rough.high
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return estimate.value, estimate.low, estimate.high
