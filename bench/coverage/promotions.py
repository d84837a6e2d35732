"""Candidates that are no better than the present model, and how often they are promoted; better ones, too.

The truth is that of the world: how much work each model's answers need on average. People's work follows from
what becomes of each object (left, moved, missed) and of what is no object, by the cost model's seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.coverage.frame import Setup, Trial, alarm_trial, trial
from detseg.metrics.costs import CostModel
from detseg.metrics.evidence import CALIBRATION, Evidence, NeededWork, halve_calibration
from detseg.metrics.intervals import Estimate
from detseg.metrics.judgement import Judgement, Rule, judge
from detseg.metrics.paired import Difference

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COSTS = CostModel()

MANY = 20_000
"""Images by which a candidate is made as good as it is to be: the error of its seconds is below 1 %."""

_N_TRIALS = 500
_MOVED = 0.4
"""The share of objects that are badly placed among those that are not left; the others are missed."""
_WRONG = 0.1
"""Regions that are no object, per object."""


@dataclass(frozen=True)
class World:
    """Images with 8 objects on average, a present model, and a candidate with ``ratio`` times its seconds."""

    n: int = 60
    ratio: float = 1.0
    failing: float = 0.0
    """the share of images in which the candidate finds nothing; elsewhere it is so much better that the ratio
    holds"""
    sizes: Literal["alike", "few and many", "from 1 to 200"] = "few and many"
    own: float = 0.3
    """how far each model has good and bad images of its own (logits), beside those that are hard for both"""
    classes: tuple[float, ...] = (0.6, 0.4)
    """the share of the objects that each class has"""
    last_skill: float = 0.0
    """what the candidate is better at the last class than at the others (logits)"""
    overconfident: float = 0.0
    """what the candidate's scores are too high (logits)"""

    def evidence(self, rng: np.random.Generator) -> Evidence:
        """Both models on new images."""
        return self.observe(rng, *self.images(rng))

    def images(self, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """The objects of each class in each image, (n, k), and how easy it is for both models, (n, 1)."""
        total: Ints = np.full(self.n, 8, dtype=np.int64)
        if self.sizes == "few and many":
            total = rng.geometric(1 / 8, self.n).astype(np.int64)
        elif self.sizes == "from 1 to 200":
            total = np.clip(np.rint(rng.lognormal(math.log(8.0) - 0.5, 1.0, self.n)), 1, 200).astype(np.int64)
        return rng.multinomial(total, self.classes), rng.normal(0.0, 0.7, (self.n, 1))

    def observe(self, rng: np.random.Generator, objects: Ints, easy: Floats) -> Evidence:
        """Both models on those images."""
        seed, fails = int(rng.integers(1 << 30)), rng.random((self.n, 1)) < self.failing
        present = self._answers(rng, objects, easy)
        candidate = self._answers(
            rng, objects, easy, skill=skill_for(self), fails=fails, last=self.last_skill
        )
        drawn = COSTS.box_by_hand_s * objects.astype(np.float64)
        return Evidence(
            classes=tuple(f"c{k}" for k in range(len(self.classes))),
            n_truth=tuple(objects.sum(axis=0).tolist()),
            present=present.work(objects),
            candidate=candidate.work(objects),
            nothing=NeededWork(drawn, objects.astype(np.float64)),
            present_figures={CALIBRATION: halve_calibration(*present.bins(0.0), seed=seed)},
            candidate_figures={
                CALIBRATION: halve_calibration(*candidate.bins(self.overconfident), seed=seed)
            },
        )

    def chances(
        self, rng: np.random.Generator, easy: Floats, skill: float, last: float
    ) -> tuple[Floats, Floats]:
        """The chance that an object of each class is left in each image, and the number of wrong regions per
        object: (n, k) both."""
        skills = np.full(len(self.classes), skill)
        skills[-1] += last
        logit = 1.2 + easy + skills + rng.normal(0.0, self.own, (len(easy), 1))
        return 1.0 / (1.0 + np.exp(-logit)), _WRONG * np.exp(-skills) + np.zeros_like(logit)

    def _answers(
        self,
        rng: np.random.Generator,
        objects: Ints,
        easy: Floats,
        *,
        skill: float = 0.0,
        fails: Bools | float = 0.0,
        last: float = 0.0,
    ) -> _Answers:
        chance, rate = self.chances(rng, easy, skill, last)
        left = rng.binomial(objects, chance)
        moved = rng.binomial(objects - left, _MOVED)
        wrong = rng.poisson(rate * objects)
        score = chance / (chance + (1.0 - chance) * _MOVED + rate)
        left, moved, wrong = (np.where(fails, 0, one) for one in (left, moved, wrong))
        return _Answers(left, moved, wrong, score)


@dataclass(frozen=True, eq=False)
class _Answers:
    """The regions of each class in each image, (n, k) all: those that are left, those that are moved, those
    that are no object, and the share that is expected to be left."""

    left: Ints
    moved: Ints
    wrong: Ints
    score: Floats

    def work(self, objects: Ints) -> NeededWork:
        missed = objects - self.left - self.moved
        looks = COSTS.check_s * (self.left + self.moved + self.wrong)
        drawn = COSTS.box_by_hand_s * (self.moved + missed)
        return NeededWork(looks + drawn, (self.moved + missed + self.wrong).astype(np.float64))

    def bins(self, off: float) -> tuple[Floats, Floats, Floats]:
        """Regions, sums of scores, and left regions, by tenth of the score: (n, 10) each."""
        score = 1.0 / (1.0 + (1.0 / self.score - 1.0) * math.exp(-off))
        shown = self.left + self.moved + self.wrong
        n = len(shown)
        place = np.arange(n)[:, None] * 10 + np.minimum((score * 10.0).astype(np.int64), 9)

        def sums(values: Floats | Ints) -> Floats:
            return np.bincount(place.ravel(), values.ravel(), n * 10).reshape(n, 10).astype(np.float64)

        return sums(shown), sums(shown * score), sums(self.left)


@cache
def _reference(world: World) -> tuple[Ints, Floats]:
    return replace(world, n=MANY).images(np.random.default_rng(0))


def skill_for(world: World) -> float:
    """The logits by which the candidate is better where it finds anything, to have that ratio of seconds."""
    return _skill_for(replace(world, n=MANY, overconfident=0.0))


@cache
def _skill_for(world: World) -> float:
    objects, easy = _reference(replace(world, ratio=1.0, failing=0.0, last_skill=0.0))

    def seconds(skill: float, last: float) -> float:
        chance, rate = world.chances(np.random.default_rng(1), easy, skill, last)
        moved = (1.0 - chance) * _MOVED
        looks = COSTS.check_s * (chance + moved + rate)
        return float((objects * (looks + COSTS.box_by_hand_s * (1.0 - chance))).sum())

    wanted = world.ratio * seconds(0.0, 0.0)
    failed = world.failing * COSTS.box_by_hand_s * float(objects.sum())
    low, high = -6.0, 12.0
    for _ in range(30):
        middle = (low + high) / 2.0
        is_dear = failed + (1.0 - world.failing) * seconds(middle, world.last_skill) > wanted
        low, high = (middle, high) if is_dear else (low, middle)
    return (low + high) / 2.0


def setups() -> Iterator[Setup]:
    """Candidates that are no better; better ones; and how often the interval of the seconds holds."""
    for name, world in worse_worlds():
        yield Setup("Wrong promotions", name, partial(promoted, world=world), "no better", _N_TRIALS)
    for n in (60, 200):
        name, draw = f"10 equal candidates one after the other, {n} images", partial(_ten_looks, n=n)
        yield Setup("Wrong promotions", name, draw, "no better", 300)
    for name, world in better_worlds():
        yield Setup("Right promotions", name, partial(promoted, world=world), "better", _N_TRIALS)
    for name, world in worse_worlds():
        yield Setup("Difference in seconds", name, partial(_difference, world=world), n_trials=_N_TRIALS)


def worse_worlds() -> Iterator[tuple[str, World]]:
    """Equal candidates and worse ones."""
    for n in (20, 60, 200):
        images = f"{n} images"
        yield f"equal, {images}", World(n=n)
        yield f"equal, much alike, {images}", World(n=n, own=0.05)
        yield f"equal, images of equal size, {images}", World(n=n, sizes="alike")
        yield f"equal, from 1 to 200 objects, {images}", World(n=n, sizes="from 1 to 200")
        yield f"3 % more seconds, {images}", World(n=n, ratio=1.03)
        yield f"equal, finds nothing in 5 % of the images, {images}", World(n=n, failing=0.05)
        alike = World(n=n, failing=0.05, sizes="alike", own=0.05)
        yield f"equal, of equal size and much alike, nothing in 5 %, {images}", alike
        yield f"equal, finds nothing in 2 % of the images, {images}", World(n=n, failing=0.02)
        rare = World(n=n, classes=(0.7, 0.27, 0.03), last_skill=-2.0)
        yield f"equal, worse at a rare class, {images}", rare
        large = World(n=n, sizes="from 1 to 200", failing=0.05)
        yield f"equal, from 1 to 200 objects, nothing in 5 %, {images}", large


def better_worlds() -> Iterator[tuple[str, World]]:
    """Candidates that save 10, 20 and 40 %."""
    for n in (20, 60, 200):
        for ratio in (0.9, 0.8, 0.6):
            saved = f"{100 * (1 - ratio):.0f} % fewer seconds, {n} images"
            yield saved, World(n=n, ratio=ratio)
            yield f"{saved} of 1 to 200 objects", World(n=n, ratio=ratio, sizes="from 1 to 200")
        worse = World(n=n, ratio=0.8, classes=(0.5, 0.4, 0.1), last_skill=-2.5)
        yield f"20 % fewer seconds, much worse at a tenth of the objects, {n} images", worse
        yield f"20 % fewer seconds, overconfident, {n} images", World(n=n, ratio=0.8, overconfident=1.5)


def promoted(rng: np.random.Generator, *, world: World) -> Trial:
    """Tell whether the candidate is promoted at the first look."""
    return alarm_trial(_judge(world.evidence(rng)).better is True)


def _judge(evidence: Evidence, look: int = 1) -> Judgement:
    return judge(evidence, Rule(look=look))


def _ten_looks(rng: np.random.Generator, *, n: int) -> Trial:
    """Ten candidates that are as good as the present model, by the same images, until one is promoted."""
    world = World(n=n)
    objects, easy = world.images(rng)
    looks = (_judge(world.observe(rng, objects, easy), look) for look in range(1, 11))
    return alarm_trial(any(one.better for one in looks))


def _difference(rng: np.random.Generator, *, world: World) -> Trial:
    """The truth is what the candidate is worse by, per image."""
    found = _judge(world.evidence(rng)).difference["expected_seconds"]
    return trial(true_difference(world), _estimate(found))


def _estimate(difference: Difference) -> Estimate:
    return Estimate(difference.value, difference.low, difference.high, 0, None)


@cache
def true_difference(world: World) -> float:
    """The seconds per image that the candidate needs more."""
    many = replace(world, n=MANY)
    evidence = many.observe(np.random.default_rng(2), *many.images(np.random.default_rng(0)))
    return (world.ratio - 1.0) * float(evidence.present.seconds.sum()) / MANY
