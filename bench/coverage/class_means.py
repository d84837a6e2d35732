"""mIoU and PQ with rare classes, of few images: their truth is that of many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from bench.coverage.frame import Setup, Trial, trial
from detseg.metrics.class_means import class_mean

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, tuple[float, ...]], tuple[Floats, Floats]]

COMMON = (0.7, 0.5, 0.5, 0.4)
"""The share of images that each class is on."""

RARE = (0.6, 0.4, 0.3, 0.2, 0.1, 0.05)

SPARSE = (0.15,) * 8

KINDS = (("4 common classes", COMMON), ("6 classes, some rare", RARE), ("8 sparse classes", SPARSE))

MANY = 400_000
"""Images whose figure is the truth: its own error is below 0.002."""


def setups() -> Iterator[Setup]:
    """Both figures of few and many images, with and without rare classes and images that fail whole."""
    for group, draw in (("mIoU", draw_pixels), ("PQ", draw_segments)):
        for n in (20, 60, 200):
            for name, shares in KINDS:
                for failing in (0.0, 0.05):
                    fails = f", {100 * failing:.0f} % of images fail whole" if failing else ""
                    yield Setup(
                        group,
                        f"{name}, {n} images{fails}",
                        partial(_trial, draw=draw, n=n, shares=shares, failing=failing),
                    )


def _trial(
    rng: np.random.Generator, *, draw: Draw, n: int, shares: tuple[float, ...], failing: float
) -> Trial:
    parts, wholes = _fail(rng, *draw(rng, n, shares), failing)
    truth = _truth(draw, shares, failing)
    return trial(float(np.mean(truth)), class_mean(parts, wholes))


@cache
def _truth(draw: Draw, shares: tuple[float, ...], failing: float) -> tuple[float, ...]:
    """The figure of every class."""
    rng = np.random.default_rng(0)
    parts, wholes = _fail(rng, *draw(rng, MANY, shares), failing)
    return tuple((parts.sum(axis=0) / wholes.sum(axis=0)).tolist())


def _fail(rng: np.random.Generator, parts: Floats, wholes: Floats, failing: float) -> tuple[Floats, Floats]:
    return np.where(rng.random((len(parts), 1)) < failing, 0.0, parts), wholes


def draw_pixels(rng: np.random.Generator, n: int, shares: tuple[float, ...]) -> tuple[Floats, Floats]:
    """The shared pixels and those of either side, of each class of each image: (n, k) both."""
    k = len(shares)
    area = np.where(rng.random((n, k)) < shares, rng.lognormal(8.0, 1.0, (n, k)), 0.0)
    skill = rng.normal(0.0, 0.5, (n, 1))  # classes of one image are found alike
    found = 1.0 / (1.0 + np.exp(-(_quality(shares) + skill + rng.normal(0.0, 0.7, (n, k)))))
    extra = rng.exponential(0.12, (n, k)) * area
    wrong = np.where(rng.random((n, k)) < 0.03, rng.lognormal(6.0, 1.0, (n, k)), 0.0)
    return found * area, area + extra + wrong


def draw_segments(rng: np.random.Generator, n: int, shares: tuple[float, ...]) -> tuple[Floats, Floats]:
    """The sum of the matched IoUs, and tp + fp / 2 + fn / 2, of each class of each image: (n, k) both."""
    k = len(shares)
    there = np.where(rng.random((n, k)) < shares, 1 + rng.poisson(1.0, (n, k)), 0)
    skill = rng.normal(0.0, 0.5, (n, 1))
    chance = 1.0 / (1.0 + np.exp(-(_quality(shares) + skill + rng.normal(0.0, 0.5, (n, k)))))
    matched = rng.binomial(there, chance)
    iou = matched * (0.5 + 0.5 * rng.beta(6.0, 3.0, (n, k)))
    wrong = rng.poisson(np.where(there > 0, 0.2, 0.03))
    return iou, matched + 0.5 * (there - matched) + 0.5 * wrong


def _quality(shares: tuple[float, ...]) -> Floats:
    """The logit of how much is found of each class: rare ones are found worse."""
    return 1.0 + 1.2 * np.array(shares) / max(shares)
