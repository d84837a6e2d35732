"""A share by week, and the weeks in which it changed for certain, not by chance."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from detseg.metrics.intervals import LEVEL, Estimate, difference_bounds, effective_trials, wilson_by_image

Floats = npt.NDArray[np.float64]

NOT_KNOWN = "unknown"
"""The week of a review without a date, and the score of a region without one."""


@dataclass(frozen=True, slots=True)
class WeekShare:
    """A share in one ISO week (UTC) of reviews, and how it differs from the last week before that has one."""

    week: str
    share: Estimate
    change: float | None
    """the share - that of the week before, in [-1, 1]; None in the first week"""
    change_low: float | None
    change_high: float | None
    """its interval, wide enough that all weeks together are wrong in 5 % of projects"""
    changed: bool
    """whether that interval leaves 0 out"""


def compare_weeks(weeks: Mapping[str, tuple[Floats, Floats]]) -> tuple[WeekShare, ...]:
    """The weeks by time, from the successes and trials of each of their images: (n,) both.

    Images have trials. What is of no known week is left out. A change is flagged where Newcombe's interval of
    the difference leaves 0 out, at a level that Bonferroni's correction takes from the number of weeks.
    """
    dated = sorted(week for week, (_, trials) in weeks.items() if week != NOT_KNOWN and len(trials))
    level = 1.0 - (1.0 - LEVEL) / max(len(dated) - 1, 1)
    found: list[WeekShare] = []
    before: tuple[float, float] | None = None
    for week in dated:
        successes, trials = weeks[week]
        now = float(successes.sum() / trials.sum()), effective_trials(successes, trials)
        low, high = (None, None) if before is None else difference_bounds(before, now, level=level)
        found.append(
            WeekShare(
                week=week,
                share=wilson_by_image(successes, trials),
                change=None if before is None else now[0] - before[0],
                change_low=low,
                change_high=high,
                changed=low is not None and high is not None and not low <= 0.0 <= high,
            )
        )
        before = now
    return tuple(found)


class WeekTally:
    """Collects a share image by image, kept small."""

    def __init__(self) -> None:
        self._images: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))

    def add(self, moment: datetime | None, successes: float, trials: float) -> None:
        """One image that was reviewed then; one without trials tells nothing."""
        if trials > 0:
            self._images[iso_week(moment)].extend((successes, trials))

    def result(self) -> tuple[WeekShare, ...]:
        """The weeks so far, by time."""
        tables = {week: np.array(rows).reshape(-1, 2) for week, rows in self._images.items()}
        return compare_weeks({week: (table[:, 0], table[:, 1]) for week, table in tables.items()})


def iso_week(moment: datetime | None) -> str:
    """The ISO week in UTC.

    >>> iso_week(datetime(2025, 12, 31, tzinfo=UTC))
    '2026-W01'
    """
    if moment is None:
        return NOT_KNOWN
    year, week, _ = moment.astimezone(UTC).isocalendar()
    return f"{year}-W{week:02d}"
