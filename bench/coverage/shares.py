"""Shares of regions and F1, where regions of one image resemble each other or whole images fail."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from bench.coverage.frame import Setup, Trial, trial
from detseg.metrics.intervals import events_by_image, wilson_by_image
from detseg.metrics.matched import Matched, MatchedRows

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

N_IMAGES = (20, 60, 200)


def setups() -> Iterator[Setup]:
    """Shares from one half to all, with and without resemblance, of few and of many images."""
    for n in N_IMAGES:
        for share in (0.5, 0.8, 0.9, 0.98, 1.0):
            for correlation in (0.0, 0.1, 0.4):
                if share < 1.0 or correlation == 0.0:
                    name = f"share {share}, correlation {correlation}, {n} images of 40 regions"
                    yield _setup(name, partial(_beta, n=n, share=share, correlation=correlation))
        name = f"share 0.9, correlation 0.3, {n} images of 1 to 60 regions"
        yield _setup(name, partial(_beta, n=n, share=0.9, correlation=0.3, regions=(1, 60)))
        name = f"share 0.98, correlation 0.4, {n} images of 1 to 8 regions"
        yield _setup(name, partial(_beta, n=n, share=0.98, correlation=0.4, regions=(1, 8)))
        for failing in (0.02, 0.05, 0.1, 0.3):
            name = f"{100 * failing:.0f} % of images fail whole, {n} images of 40 regions"
            yield _setup(name, partial(_whole, n=n, failing=failing))
    for n in N_IMAGES:
        for failing in (0.0, 0.05):
            fails = f", {100 * failing:.0f} % of images fail whole" if failing else ""
            draw = partial(_changes, n=n, failing=failing)
            yield Setup("Changes per image", f"{n} images of 1 to 30 regions{fails}", draw)
    for n in N_IMAGES:
        for badly, found in ((0.04, 0.5), (0.04, 0.0), (0.1, 0.5)):
            done = f"{100 * badly:.0f} % of images badly done ({found} of their objects found)"
            draw = partial(_gold, n=n, badly=badly, found=found)
            yield Setup("F1 on gold images", f"{done}, {n} images of 3 to 20 objects", draw)


def _setup(name: str, draw: partial[Trial]) -> Setup:
    return Setup("Shares", name, draw)


def _beta(
    rng: np.random.Generator, *, n: int, share: float, correlation: float, regions: tuple[int, int] = (40, 40)
) -> Trial:
    """Every image has a share of its own, of a beta distribution; the truth is its mean."""
    trials = rng.integers(regions[0], regions[1] + 1, n)
    return trial(share, wilson_by_image(beta_binomial(rng, trials, share, correlation), trials))


def beta_binomial(rng: np.random.Generator, trials: Ints, share: float, correlation: float) -> Ints:
    """Successes of every image, (n,), as correlated within images as is said, in [0, 1)."""
    if not correlation or share in (0.0, 1.0):
        return rng.binomial(trials, share)
    size = 1.0 / correlation - 1.0
    return rng.binomial(trials, rng.beta(share * size, (1.0 - share) * size, len(trials)))


def _whole(rng: np.random.Generator, *, n: int, failing: float) -> Trial:
    """A share of images fails with all its regions, and of the others one region in a hundred does."""
    trials = np.full(n, 40)
    kept = np.where(rng.random(n) < failing, 0, rng.binomial(trials, 0.99))
    return trial((1.0 - failing) * 0.99, wilson_by_image(kept, trials))


def _changes(rng: np.random.Generator, *, n: int, failing: float) -> Trial:
    """People change 15 of 100 regions and add 5 more, or all of an image's; images differ."""
    shown, fails = rng.integers(1, 31, n), rng.random(n) < failing
    changed = np.where(fails, shown, beta_binomial(rng, shown, 0.15, 0.15))
    added = rng.poisson(0.05 * shown)
    truth = 15.5 * (0.05 + failing + (1.0 - failing) * 0.15)
    return trial(truth, events_by_image(changed + added, shown + added, np.ones(n)))


def _gold(rng: np.random.Generator, *, n: int, badly: float, found: float) -> Trial:
    """People find 97 of 100 objects and draw 3 more; on some images far fewer, and as many that are none."""
    rows, objects = MatchedRows(), rng.integers(3, 21, n)
    for n_true, is_bad in zip(objects, rng.random(n) < badly, strict=True):
        met = int(rng.binomial(n_true, found if is_bad else 0.97))
        wrong = int(rng.poisson((1.0 - found if is_bad else 0.03) * n_true))
        rows.add(Matched(n_first=met + wrong, n_second=int(n_true), n_met=met))
    met_share = badly * found + (1.0 - badly) * 0.97
    drawn_share = 1.0  # as many are wrong as are missed
    return trial(2.0 * met_share / (drawn_share + 1.0), rows.share("n_met", "n_first", "n_second"))
