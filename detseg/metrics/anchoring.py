"""How much reviewers lean on the model's regions: its figures against people who saw them, minus those
against people who did not, or against known truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from detseg.metrics.detection_intervals import BIAS_RATE, BIAS_SPAN
from detseg.metrics.halved import FigureColumns, add_scenes
from detseg.metrics.intervals import AIM, MIN_UNITS, UNKNOWN, Estimate, Rough, unseen_share
from detseg.metrics.paired import HalvedDifference, compare_means
from detseg.types import Annotation


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


class SameImages:
    """Images whose truth is known and that people reviewed with the model's regions.

    What makes a sample easy against one makes it easy against the other, so both figures are taken of the
    same halves of the images. ``seed`` draws these.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._seed, self._n_images = seed, 0
        self._sides = (FigureColumns(), FigureColumns())  # alone, assisted

    def add(
        self, prediction: Annotation, *, alone: Annotation, assisted: Annotation, with_masks: bool
    ) -> None:
        """One image. Without masks, its truth says nothing about those of the model."""
        self._n_images += 1
        pairs = [(truth, prediction) for truth in (alone, assisted)]
        for side, (truth, answer) in zip(self._sides, pairs, strict=True):
            side.add(truth, answer, with_masks=with_masks)
        if with_masks:
            add_scenes(self._sides, pairs)

    def bounds(self) -> dict[str, tuple[float, float]]:
        """The interval of each figure's difference, assisted minus alone, by the figure's name."""
        alone, assisted = (
            side.halve(seed=self._seed, with_masks=True) | side.halve_hits(seed=self._seed)
            for side in self._sides
        )
        found = {name: compare_means(one, assisted[name]) for name, one in alone.items()}
        return {name: self._bounds(one) for name, one in found.items() if one is not None}

    def _bounds(self, found: HalvedDifference) -> tuple[float, float]:
        """The interval about the difference without the halves' bias, as that of AP is.

        Images of no kind seen may have no difference; where no image at all makes one, they may have any.
        """
        value, unseen = found.value, unseen_share(self._n_images)
        if not found.error:
            return value - unseen * (1.0 + value), value + unseen * (1.0 - value)
        bias = found.of_halves / (2.0**BIAS_RATE - 1.0)
        low, high = sorted(value - part * bias for part in BIAS_SPAN)
        low -= math.hypot(found.error, unseen * max(value, 0.0))
        high += math.hypot(found.error, unseen * max(-value, 0.0))
        return max(min(low, value), -1.0), min(max(high, value), 1.0)


def difference_of(
    first: Estimate, second: Estimate, *, bounds: tuple[float, float] | None = None
) -> Estimate:
    """The first figure minus the second, with the interval that theirs give it.

    Figures of different images: the ends are recovered from those of both (MOVER: Zou and Donner,
    "Construction of confidence limits about effect measures", 2008), so that the interval covers as well as
    theirs. Those of the same images have the ``bounds`` that these give. Too little data for one figure is
    too little for the difference. ``n`` is that of the smaller sample.

    >>> difference_of(Estimate(0.9, 0.8, 1.0, 50, 100), Estimate(0.6, 0.5, 0.7, 20, 80)).low.__round__(3)
    0.159
    """
    a, b = _known(first), _known(second)
    n = min(first.n, second.n)
    if a is None or b is None:
        return Estimate(None, None, None, n, None) if n else UNKNOWN
    value = a[0] - b[0]
    low, high = bounds or (
        value - math.hypot(a[0] - a[1], b[2] - b[0]),
        value + math.hypot(a[2] - a[0], b[0] - b[1]),
    )
    half = (high - low) / 2.0
    needed = max(MIN_UNITS, math.ceil(n * (half / AIM) ** 2))
    rough = [one.rough for one in (first, second) if one.rough is not None]
    if not rough:
        return Estimate(value, low, high, n, needed)
    more = [one.n_more for one in rough if one.n_more is not None]
    known = Rough(value, low, high, max(more) if len(more) == len(rough) else None)
    return Estimate(None, None, None, n, needed, known)


def _known(estimate: Estimate) -> tuple[float, float, float] | None:
    """Value, low and high, also of too little data."""
    if estimate.rough is not None:
        return estimate.rough.value, estimate.rough.low, estimate.rough.high
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return estimate.value, estimate.low, estimate.high
