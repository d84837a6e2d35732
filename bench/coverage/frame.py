"""Set-ups of made worlds, and the share of their trials in which an interval holds the truth.

A set-up draws one world of reviews at a time, has ``detseg`` make a figure of it, and sets the truth beside
it: the parameter that the world was drawn by, or the figure of a world so large that its own error does not
count. A figure that is not shown is no miss; how often it is shown stands in the table.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from detseg.metrics.intervals import Estimate

Kind = Literal["interval", "alarm", "find", "no better", "better"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One world: the truth, and the figure with its interval, or None in its place where none is shown."""

    truth: float
    low: float | None = None
    high: float | None = None
    value: float | None = None

    @property
    def shown(self) -> bool:
        return self.low is not None


def trial(truth: float, estimate: Estimate) -> Trial:
    """The trial of an estimate; one without a value is not shown."""
    if estimate.value is None:
        return Trial(truth)
    return Trial(truth, estimate.low, estimate.high, estimate.value)


def alarm_trial(alarmed: bool) -> Trial:
    """The trial of a project in which nothing changed: whether an alarm was raised nevertheless."""
    return Trial(0.0, 1.0, 1.0, 1.0) if alarmed else Trial(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Setup:
    """A kind of world and a figure of it. ``draw`` makes one trial of the random numbers that it is given."""

    group: str
    """the figure, and the heading in the table: "Shares" """
    name: str
    """the world, unique in its group: "share 0.98, correlation 0.4, 20 images of 40 regions" """
    draw: Callable[[np.random.Generator], Trial]
    kind: Kind = "interval"
    """an alarm's share of trials in which it is raised is to be small; nothing has changed in its worlds, and
    something has in those of "find", where held is what is found. Likewise a candidate that is "no better" is
    seldom to be promoted, and one that is "better" often"""
    n_trials: int = 1000
    """as many as are run unless the command says otherwise; fewer where one takes long"""


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome of a set-up's trials."""

    group: str
    name: str
    kind: Kind
    n_trials: int
    n_shown: int
    n_held: int
    """trials whose interval holds the truth, of those shown; of an alarm, those in which it is not raised"""
    n_low: int
    """trials whose interval lies below the truth"""
    width: float
    """the mean width of the intervals that are shown; NaN without any"""
    bias: float
    """the mean of figure - truth over the trials that are shown; NaN without any"""

    @property
    def coverage(self) -> float:
        """The share of intervals that hold the truth; NaN where none is shown."""
        return self.n_held / self.n_shown if self.n_shown else math.nan


def run(setups: Iterable[Setup], *, seed: int, n_trials: int | None = None, jobs: int = 1) -> Iterator[Row]:
    """Run every set-up and yield its row, in order."""
    if jobs == 1:
        yield from (run_setup(setup, seed=seed, n_trials=n_trials) for setup in setups)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(partial(run_setup, seed=seed, n_trials=n_trials), setups)


def run_setup(setup: Setup, *, seed: int, n_trials: int | None = None) -> Row:
    """Run ``n_trials`` worlds of a set-up; world number i of a seed is always the same."""
    n = setup.n_trials if n_trials is None else n_trials
    name = zlib.crc32(f"{setup.group}: {setup.name}".encode())
    return tally(setup, [setup.draw(np.random.default_rng([seed, name, i])) for i in range(n)])


def tally(setup: Setup, trials: list[Trial]) -> Row:
    """Count what became of a set-up's trials."""
    shown = [(t.truth, t.low, t.high, t.value) for t in trials if t.low is not None and t.high is not None]
    held = [low <= truth <= high for truth, low, high, _ in shown]
    errors = [value - truth for truth, _, _, value in shown if value is not None]
    return Row(
        group=setup.group,
        name=setup.name,
        kind=setup.kind,
        n_trials=len(trials),
        n_shown=len(shown),
        n_held=sum(held),
        n_low=sum(high < truth for truth, _, high, _ in shown),
        width=float(np.mean([high - low for _, low, high, _ in shown])) if shown else math.nan,
        bias=float(np.mean(errors)) if errors else math.nan,
    )
