"""Weeks of reviews: how often a change is told where there is none, and how often one is found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from bench.coverage.frame import Setup, Trial, alarm_trial
from bench.coverage.shares import beta_binomial
from detseg.metrics.weeks import WeekImages, WeekShare, compare_weeks

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Project:
    """Images by week; regions of an image are kept as one, or with a correlation."""

    share: float = 0.9
    """of the regions that are kept, on average over two equally busy people"""
    correlation: float = 0.4
    whole: bool = False
    """whether an image is kept or fails with all its regions"""
    n_weeks: int = 12
    n_images: int = 20
    """a week"""
    regions: tuple[int, int] = (8, 8)
    dense_weeks: bool = False
    """whether every other week has images of up to 60 regions, the others of up to 6"""
    apart: float = 0.0
    """two people keep so much less and so much more than the mean"""
    is_uneven: bool = False
    """whether one of the two may do nearly all images of a week"""
    drop: float = 0.0
    """how much less is kept in the last four weeks"""

    def draw(self, rng: np.random.Generator) -> dict[str, WeekImages]:
        return {f"2026-W{week + 1:02d}": self._week(rng, week) for week in range(self.n_weeks)}

    def _week(self, rng: np.random.Generator, week: int) -> WeekImages:
        n = self.n_images
        low, high = ((2, 60) if week % 2 else (2, 6)) if self.dense_weeks else self.regions
        trials = rng.integers(low, high + 1, n)
        who = (rng.random(n) < (rng.beta(0.7, 0.7) if self.is_uneven else 0.5)).astype(np.intp)
        kept = self.share + np.where(who > 0, self.apart, -self.apart)
        kept = kept - self.drop * (week >= self.n_weeks - 4)
        successes = self._successes(rng, trials, kept).astype(np.float64)
        sums = (successes, trials.astype(np.float64))
        return WeekImages(*sums, who if self.apart else np.zeros_like(who), *sums)

    def _successes(self, rng: np.random.Generator, trials: Ints, kept: Floats) -> Ints:
        if self.whole:
            return np.where(rng.random(len(trials)) < kept, trials, 0)
        successes = np.zeros_like(trials)
        for share in np.unique(kept):
            chosen = kept == share
            successes[chosen] = beta_binomial(rng, trials[chosen], float(share), self.correlation)
        return successes


def projects() -> Iterator[tuple[str, Project]]:
    """Projects in which nothing changes."""
    for share in (0.5, 0.9, 0.98):
        for correlation in (0.0, 0.4):
            name = f"12 weeks of 20 images, acceptance {share}, correlation {correlation}"
            yield name, Project(share, correlation)
    for share in (0.9, 0.95, 0.98):
        yield f"whole images fail, acceptance {share}", Project(share, whole=True)
    yield "40 regions an image", Project(regions=(40, 40))
    yield "1 to 60 regions an image", Project(regions=(1, 60), correlation=0.3)
    yield "every other week has large images", Project(dense_weeks=True)
    two = Project(0.85, apart=0.08, is_uneven=True)
    yield "two people of ±8 points share weeks unevenly", two
    yield "the same, whole images fail", replace(two, whole=True)
    yield (
        "the same, 60 images of 40 regions, correlation 0.1",
        replace(two, n_images=60, regions=(40, 40), correlation=0.1),
    )
    yield "52 weeks", Project(n_weeks=52)
    yield "4 weeks of 100 images", Project(n_weeks=4, n_images=100)
    yield "weeks of 6 images", Project(n_images=6)


def setups() -> Iterator[Setup]:
    """False alarms, then changes of 20 points in the last four weeks."""
    for name, project in projects():
        yield Setup("False alarms of drift", name, partial(alarm_of, project=project), kind="alarm")
    changes = {
        "12 weeks of 20 images, acceptance 0.9 to 0.7, correlation 0.4": Project(drop=0.2),
        "whole images fail, 0.9 to 0.7": Project(whole=True, drop=0.2),
        "60 images a week, 0.9 to 0.7, correlation 0.4": Project(n_images=60, drop=0.2),
        "60 images a week, 0.9 to 0.8, correlation 0.4": Project(n_images=60, drop=0.1),
        "two people of ±8 points, 0.85 to 0.65": Project(0.85, apart=0.08, is_uneven=True, drop=0.2),
    }
    for name, project in changes.items():
        yield Setup("Drift that is found", name, partial(find_in, project=project), kind="find")


def weeks_of(project: Project, rng: np.random.Generator) -> tuple[WeekShare, ...]:
    """The weeks of one such project."""
    seed = int(rng.integers(2**31))
    return compare_weeks(project.draw(rng), seed=seed)


def alarm_of(rng: np.random.Generator, *, project: Project) -> Trial:
    """Return the trial of a project in which nothing changed: an alarm where a change is told."""
    return alarm_trial(any(week.changed for week in weeks_of(project, rng)))


def find_in(rng: np.random.Generator, *, project: Project) -> Trial:
    """Found where a fall is told, in the week in which it came or one beside it."""
    weeks = weeks_of(project, rng)
    near = weeks[project.n_weeks - 5 : project.n_weeks - 2]
    return alarm_trial(not any(week.changed and (week.change or 0.0) < 0.0 for week in near))
