"""A share by week, and the weeks in which it changed for certain, not by chance."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from detseg.metrics.change_points import Units, find_changes
from detseg.metrics.intervals import Estimate, wilson_by_image

Floats = npt.NDArray[np.float64]

NOT_KNOWN = "unknown"
"""The week of a review without a date, and the score of a region without one."""


@dataclass(frozen=True, slots=True)
class WeekShare:
    """A share in one ISO week (UTC) of reviews, and how it differs from the weeks before."""

    week: str
    share: Estimate
    change: float | None
    """the share of this week and ``n_after`` - 1 more - that of the ``n_before`` weeks before, each person
    compared with themselves, in [-1, 1]; None in the first week, and where nobody worked on both sides"""
    change_low: float | None
    change_high: float | None
    """its interval, wide enough that all weeks of a report together are wrong in 4 % of projects; None where
    a side has fewer than ten images"""
    changed: bool
    """whether it is flagged: that interval leaves 0 out, and the weeks before and after differ as wholes,
    beside the other flagged ones"""
    n_before: int
    """weeks that have reviews; of the windows around this week, those that differ most"""
    n_after: int


@dataclass(frozen=True, slots=True, eq=False)
class WeekImages:
    """The images of one week: successes and trials of each, (n,), and those that are compared, (m,).

    ``who`` (m,) tells people apart, or groups of people. Each image is compared once, as one review of it.
    """

    successes: Floats
    trials: Floats
    """above 0"""
    who: npt.NDArray[np.intp]
    compared_successes: Floats
    compared_trials: Floats
    """above 0"""


def compare_weeks(weeks: Mapping[str, WeekImages], *, seed: int = 0) -> tuple[WeekShare, ...]:
    """The weeks by time. What is of no known week is left out. ``seed`` draws what chance would do."""
    dated = sorted(week for week, images in weeks.items() if week != NOT_KNOWN and len(images.trials))
    if not dated:
        return ()
    units = Units(
        week=np.repeat(np.arange(len(dated)), [len(weeks[week].who) for week in dated]),
        person=np.concatenate([weeks[week].who for week in dated]),
        successes=np.concatenate([weeks[week].compared_successes for week in dated]),
        trials=np.concatenate([weeks[week].compared_trials for week in dated]),
    )
    changes = find_changes(units, len(dated), seed=seed)
    found: list[WeekShare] = []
    for number, week in enumerate(dated):
        change = changes.get(number)
        found.append(
            WeekShare(
                week=week,
                share=wilson_by_image(weeks[week].successes, weeks[week].trials),
                change=None if change is None else change.value,
                change_low=None if change is None else change.low,
                change_high=None if change is None else change.high,
                changed=change is not None and change.is_certain,
                n_before=0 if change is None else change.n_before,
                n_after=0 if change is None else change.n_after,
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class DatedShare:
    """Successes and trials of a review of an image, when it was made, and by whom."""

    moment: datetime | None
    successes: float
    trials: float
    who: str


class WeekTally:
    """Collects a share image by image, kept small."""

    def __init__(self) -> None:
        self._reviews: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
        self._who: dict[str, int] = {}
        self._n_images = 0

    def add(self, *reviews: DatedShare) -> None:
        """One image, by all its reviews; one without trials tells nothing.

        Of several reviews one is compared with other weeks, for they resemble each other: people take turns.
        """
        self._n_images += bool(reviews)
        for number, one in enumerate(reviews):
            if one.trials > 0:
                code = self._who.setdefault(one.who, len(self._who))
                is_compared = number == self._n_images % len(reviews)
                row = (self._n_images, one.successes, one.trials, code, is_compared)
                self._reviews[iso_week(one.moment)].extend(row)

    def result(self) -> tuple[WeekShare, ...]:
        """The weeks so far, by time."""
        return compare_weeks({week: _week_images(rows) for week, rows in self._reviews.items()})


def _week_images(rows: array[float]) -> WeekImages:
    image, successes, trials, who, is_compared = np.array(rows).reshape(-1, 5).T
    of_image = np.unique(image, return_inverse=True)[1]
    chosen = is_compared > 0.0
    return WeekImages(
        np.bincount(of_image, successes).astype(np.float64),
        np.bincount(of_image, trials).astype(np.float64),
        who=who[chosen].astype(np.intp),
        compared_successes=successes[chosen],
        compared_trials=trials[chosen],
    )


def iso_week(moment: datetime | None) -> str:
    """The ISO week in UTC.

    >>> iso_week(datetime(2025, 12, 31, tzinfo=UTC))
    '2026-W01'
    """
    if moment is None:
        return NOT_KNOWN
    year, week, _ = moment.astimezone(UTC).isocalendar()
    return f"{year}-W{week:02d}"
