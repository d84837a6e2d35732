"""The time that help saves, where people pause and times are missing; and the mean seconds of a review."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.coverage.frame import Setup, Trial, trial
from detseg.metrics.bootstrap import mean_of_skewed
from detseg.metrics.effort import measure_saving
from detseg.metrics.pauses import judge_times
from detseg.metrics.timing import review_times
from detseg.metrics.work_log import EDIT, REVIEW, WorkTables

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PAUSE_S = (1200.0, 7200.0)
THREE = (0.6, 1.0, 1.7)
"""The speeds of three people, in seconds to those of a mean one."""


@dataclass(frozen=True, slots=True)
class World:
    """Reviews whose times have a mean of 15 s and 12 s per region by hand, times the person's speed."""

    n: int = 500
    control: float = 0.2
    """share of control images"""
    saving: float = 0.55
    """of the mean seconds"""
    saving_by_person: tuple[float, ...] = ()
    """in place of ``saving``, for each of the people"""
    by_size: bool = False
    """whether images of few regions save less"""
    speeds: tuple[float, ...] = (1.0,)
    uneven: bool = False
    """whether one of the people has three times as many control images as the others"""
    spread: float = 0.6
    """of the logarithms around the mean"""
    spread_assisted: float = 0.0
    """the same of assisted images, where it differs"""
    shape: Literal["lognormal", "gamma"] = "lognormal"
    regions: Literal["equal", "few and many", "from 1 to 200"] = "few and many"
    regions_are_known: bool = True
    pauses: float = 0.0
    """share of reviews with a pause of 20 to 120 minutes"""
    missing: float = 0.0
    """share of reviews without a time"""

    def draw(self, rng: np.random.Generator) -> WorkTables:
        n, regions = self.n, self._regions(rng)
        author = rng.integers(0, len(self.speeds), n)
        odds = np.where(author % 2, 0.5, 1.5) if self.uneven else 1.0
        control = rng.random(n) < self.control * odds
        mean = np.asarray(self.speeds)[author] * self._by_hand_s(regions)
        mean = mean * np.where(control, 1.0, 1.0 - self._savings(regions, author))
        seconds = mean * self._noise(rng, control)
        seconds += (rng.random(n) < self.pauses) * rng.uniform(*PAUSE_S, n)
        reviews = np.zeros(n, REVIEW)
        reviews["image"], reviews["control"], reviews["author"] = np.arange(n), control, author
        reviews["lead_s"] = np.where(rng.random(n) < self.missing, np.nan, seconds)
        known = regions if self.regions_are_known else np.full(n, 3)
        reviews["by_hand_s"], reviews["edits_s"] = 35.0 * known, 7.0 * known
        names = tuple(map(str, range(len(self.speeds))))
        return WorkTables(reviews, np.zeros(0, EDIT), (), ("thing",), ("model",), names, ("2026-W01",), 0)

    def truth(self) -> float:
        """1 - mean assisted seconds / mean seconds by hand, without pauses."""
        if not self.by_size and not self.saving_by_person:
            return self.saving
        rng = np.random.default_rng(0)
        n = 1_000_000
        author = rng.integers(0, len(self.speeds), n)
        regions = rng.geometric(1 / 8, n)
        by_hand = np.asarray(self.speeds)[author] * self._by_hand_s(regions)
        return float((by_hand * self._savings(regions, author)).sum() / by_hand.sum())

    def _savings(self, regions: Ints, author: Ints) -> Floats:
        own = self.saving_by_person or (self.saving,) * len(self.speeds)
        savings: Floats = np.asarray(own)[author] * (1.0 - np.exp(-regions / 5.0) if self.by_size else 1.0)
        return savings

    def _by_hand_s(self, regions: Ints) -> Floats:
        seconds: Floats = (15.0 + 12.0 * regions).astype(np.float64)
        return seconds

    def _regions(self, rng: np.random.Generator) -> Ints:
        if self.regions == "equal":
            return np.full(self.n, 5)
        if self.regions == "few and many":
            return rng.geometric(1 / 8, self.n)
        return np.clip(np.rint(rng.lognormal(math.log(8.0), 1.0, self.n)), 1, 200).astype(np.int64)

    def _noise(self, rng: np.random.Generator, control: npt.NDArray[np.bool_]) -> Floats:
        """Factors of mean 1."""
        if self.shape == "gamma":
            return rng.gamma(1.0 / self.spread**2, self.spread**2, self.n)
        spread = np.where(control | (not self.spread_assisted), self.spread, self.spread_assisted)
        factors: Floats = np.exp(spread * rng.standard_normal(self.n) - spread**2 / 2.0)
        return factors


def worlds() -> Iterator[tuple[str, World]]:
    """Plain ones, then those with pauses."""
    yield "5 % control images", World(control=0.05)
    yield "half control images, three people", World(control=0.5, speeds=THREE)
    yield "nothing is saved", World(saving=0.0)
    yield "images of equal size", World(regions="equal", spread=0.4)
    yield "100 images", World(n=100, control=0.3)
    yield "60 images, three people", World(n=60, control=0.3, speeds=THREE)
    yield "30 images, 12 control", World(n=30, control=0.4)
    yield "200 images, log-sd 1", World(n=200, control=0.3, spread=1.0)
    yield "3,000 images, very different sizes", World(n=3000, regions="from 1 to 200", speeds=THREE)
    yield "log-sd 0.5 by hand, 0.9 assisted", World(spread=0.5, spread_assisted=0.9)
    yield "large images save more", World(n=1000, by_size=True)
    yield "people save 30, 50 and 70 %", World(speeds=THREE, saving_by_person=(0.3, 0.5, 0.7))
    yield "gamma times", World(shape="gamma", spread=0.7)
    yield "regions are not known", World(regions_are_known=False)
    for share in (0.03, 0.1):
        name, base = f"{100 * share:.0f} % pauses, 10 % missing", World(pauses=share, missing=0.1)
        yield from _with_pauses(name, base)


def _with_pauses(name: str, base: World) -> Iterator[tuple[str, World]]:
    pauses, missing = base.pauses, base.missing
    yield name, base
    yield f"{name}, 5 % control images", World(pauses=pauses, missing=missing, control=0.05)
    yield f"{name}, 60 images", World(pauses=pauses, missing=missing, n=60, control=0.3)
    yield f"{name}, 100 images", World(pauses=pauses, missing=missing, n=100, control=0.3)
    yield (
        f"{name}, three people, half control images",
        World(pauses=pauses, missing=missing, speeds=THREE, control=0.5),
    )
    yield f"{name}, three people, uneven", World(pauses=pauses, missing=missing, speeds=THREE, uneven=True)
    sizes: Literal["from 1 to 200"] = "from 1 to 200"
    yield f"{name}, very different sizes", World(pauses=pauses, missing=missing, regions=sizes, speeds=THREE)
    yield f"{name}, log-sd 1", World(pauses=pauses, missing=missing, spread=1.0)
    yield (
        f"{name}, log-sd 0.5 and 0.9",
        World(pauses=pauses, missing=missing, spread=0.5, spread_assisted=0.9),
    )
    yield f"{name}, regions not known", World(pauses=pauses, missing=missing, regions_are_known=False)
    large = World(pauses=pauses, missing=missing, n=3000, regions=sizes, speeds=THREE)
    yield f"{name}, 3,000 images", large


def setups() -> Iterator[Setup]:
    """The saving, then mean seconds."""
    for name, world in worlds():
        yield Setup("Effort saved", name, partial(saving_trial, world=world, truth=world.truth()))
    for spread in (0.6, 1.0):
        for n in (20, 60, 200, 1000):
            draw = partial(_mean, n=n, spread=spread)
            yield Setup("Mean seconds", f"log-sd {spread}, {n} reviews", draw)
    for n in (100, 500):
        world = World(n=n, control=0.0, pauses=0.1, missing=0.1)
        yield Setup("Mean seconds", f"10 % pauses, 10 % missing, {n} reviews", partial(_timed, world=world))


def saving_trial(rng: np.random.Generator, *, world: World, truth: float) -> Trial:
    """Reviews of a world, and the saving that is measured from them."""
    tables = world.draw(rng)
    return trial(truth, measure_saving(tables, judge_times(tables.reviews)).share)


def _mean(rng: np.random.Generator, *, n: int, spread: float) -> Trial:
    """The truth is relative to the median: exp(spread^2 / 2)."""
    seconds, seed = rng.lognormal(0.0, spread, n), int(rng.integers(2**31))
    return trial(math.exp(spread**2 / 2.0), mean_of_skewed(seconds, np.ones(n), seed=seed))


def _timed(rng: np.random.Generator, *, world: World) -> Trial:
    seed = int(rng.integers(2**31))
    truth = (15.0 + 12.0 * 8.0) * (1.0 - world.saving)
    return trial(truth, review_times(world.draw(rng), seed=seed).assisted.mean_s)
