"""How much reviewers lean on the model's regions: its figures against people who saw them, minus those
against people who did not, or against known truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from detseg.metrics.intervals import AIM, MIN_UNITS, UNKNOWN, Estimate, Rough


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
