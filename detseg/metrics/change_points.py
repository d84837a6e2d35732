"""When a share of people's work changed: between which weeks, beyond what chance would do.

Whoever reviewed in a week decides about its share as much as the model does, so weeks are compared within
people: the difference of two windows of weeks is the mean of the people's own differences, with the weights
of Mantel and Haenszel, n_before n_after / (n_before + n_after). Every boundary between two weeks is looked at
through windows of 1, 2, 4, ... weeks to either side, because a lasting change shows in the long ones and a
passing one in the short. The largest of all these differences, in standard errors, is compared with the
largest after the images of each person were dealt out to their weeks anew: chance, with regions of one image
as alike as they are, and with all those looks counted (a permutation test of the maximum; Westfall and Young,
"Resampling-Based Multiple Testing", 1993). What is found parts the weeks, and each part is searched for
more (Matteson and James, "A nonparametric approach for multiple change point analysis of multivariate data",
JASA 109, 2014).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.metrics.intervals import MIN_UNITS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

FALSE_ALARMS = 0.04
"""Projects in which nothing changes, and a report that looks at all their weeks says that something did."""

_MOST_SHUFFLED, _FEWEST_ROUNDS, _MOST_ROUNDS = 2_000_000, 199, 499
_AT_ONCE = 1_000_000
_SAME = 1e-9  # statistics that differ less are equal


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Images of a week, each by one person: (n,) each."""

    week: Ints
    """its number by time, from 0"""
    person: Ints
    """from 0"""
    successes: Floats
    trials: Floats
    """above 0"""

    def sorted(self) -> Units:
        """In an order that does not depend on the one in which they came."""
        order = np.lexsort((self.successes, self.trials, self.week, self.person))
        return Units(*(column[order] for column in (self.week, self.person, self.successes, self.trials)))


@dataclass(frozen=True, slots=True)
class Change:
    """The difference between the weeks before a boundary and those after it."""

    value: float
    """share after - share before, each person compared with themselves, in [-1, 1]"""
    low: float | None
    """the ends of its interval, wide enough that all looks together are wrong in 4 % of projects; None where
    nothing varies, or a side has fewer than ten images"""
    high: float | None
    n_before: int
    """weeks"""
    n_after: int
    is_certain: bool


def find_changes(units: Units, n_weeks: int, *, seed: int) -> dict[int, Change]:
    """The change at the boundary before each week, from 1 on; without those of which nobody saw both sides.

    ``n_weeks`` have units.
    """
    units, rng = units.sorted(), np.random.default_rng(seed)
    found = dict[int, Change]()
    while len(found) < n_weeks - 1:
        edges = [0, *sorted(found), n_weeks]
        look = _look(units, _windows(n_weeks, edges), edges, rng)
        if look.p > FALSE_ALARMS:
            break
        at = int(np.argmax(look.seen.sizes()[0].max(axis=0)))
        change = look.change(at, is_certain=True)
        assert change is not None
        found[int(look.windows.boundary[at])] = change
    kept = _confirmed(found, units, n_weeks, rng)
    edges = [0, *sorted(kept), n_weeks]
    if len(edges) > n_weeks:
        return kept
    if len(kept) < len(found):
        look = _look(units, _windows(n_weeks, edges), edges, rng)
    rest = ((int(t), look.change(at, is_certain=False)) for at, t in enumerate(look.windows.boundary))
    return kept | {t: change for t, change in rest if change is not None}


def _confirmed(
    found: dict[int, Change], units: Units, n_weeks: int, rng: np.random.Generator
) -> dict[int, Change]:
    """Those that part the weeks still when all others do: a bad week has two edges, not three."""
    kept = dict(found)
    for t in found if len(found) > 1 else ():
        edges = [0, *sorted(set(kept) - {t}), n_weeks]
        part = int(np.searchsorted(edges, t))
        whole = _Windows(np.array([t]), np.array([[edges[part - 1]]]), np.array([[edges[part]]]))
        if _look(units, whole, edges, rng).p > FALSE_ALARMS:
            del kept[t]
    return kept


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """The differences that are seen, and how large the largest would be by chance."""

    windows: _Windows
    seen: _Compared
    limit: float
    p: float

    def change(self, at: int, *, is_certain: bool) -> Change | None:
        return self.seen.change(self.windows, at, self.limit, is_certain=is_certain)


def _look(units: Units, windows: _Windows, edges: list[int], rng: np.random.Generator) -> _Look:
    """Compare the windows, and again with the images dealt out anew between the edges."""
    n_weeks, (group, off) = edges[-1], _residuals(units, edges)
    seen = _compare(_by_week(units, off, units.week[None], n_weeks), windows)
    dealt = _deal(units.week, group, rng, step=_rounds_at_once(units, windows))
    largest = np.concatenate(
        [_compare(_by_week(units, off, weeks, n_weeks), windows).largest() for weeks in dealt]
    )
    limit = float(np.quantile(largest, 1.0 - FALSE_ALARMS, method="higher"))
    n_larger = np.count_nonzero(largest >= seen.largest()[0] - _SAME)
    return _Look(windows, seen, limit, (1.0 + n_larger) / (1.0 + len(largest)))


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """Windows of weeks around boundaries, which are before the week of their number: (b,), (h, b), (h, b)."""

    boundary: Ints
    start: Ints
    end: Ints


def _windows(n_weeks: int, edges: list[int]) -> _Windows:
    """Windows of 1, 2, 4, ... weeks around all boundaries, which stay inside of the parts between edges."""
    boundary = np.setdiff1d(np.arange(n_weeks), edges)
    part = np.searchsorted(edges, boundary)
    lengths = 2 ** np.arange(max(n_weeks - 1, 1).bit_length())[:, None]
    start = np.maximum(np.asarray(edges)[part - 1], boundary - lengths)
    return _Windows(boundary, start, np.minimum(np.asarray(edges)[part], boundary + lengths))


def _residuals(units: Units, edges: list[int]) -> tuple[Ints, Floats]:
    """The person's part of the weeks that each unit is in, and its successes less what is usual there."""
    part = np.searchsorted(edges, units.week, side="right")
    group = np.unique(units.person * (len(edges) + 1) + part, return_inverse=True)[1]
    share = np.bincount(group, units.successes) / np.bincount(group, units.trials)
    return group, units.successes - units.trials * share[group]


def _deal(week: Ints, group: Ints, rng: np.random.Generator, *, step: int) -> Iterator[Ints]:
    """Deal the units of each group out to its weeks anew: (R, n) at a time, R at most ``step``."""
    members = [np.flatnonzero(group == g) for g in range(int(group.max()) + 1)]
    n_rounds = int(np.clip(_MOST_SHUFFLED // len(week), _FEWEST_ROUNDS, _MOST_ROUNDS))
    for start in range(0, n_rounds, step):
        weeks = np.tile(week, (min(step, n_rounds - start), 1))
        for of_group in members:
            weeks[:, of_group] = rng.permuted(weeks[:, of_group], axis=1)
        yield weeks


def _rounds_at_once(units: Units, windows: _Windows) -> int:
    each = max(len(units.week), (int(units.person.max()) + 1) * windows.start.size)
    return max(1, _AT_ONCE // each)


def _by_week(units: Units, off: Floats, weeks: Ints, n_weeks: int) -> Floats:
    """Residuals, trials, squared residuals and units, by person and week: (4, R, people, weeks + 1).

    Cumulative over the weeks, from 0 on.
    """
    n_people, rounds = int(units.person.max()) + 1, len(weeks)
    at = (np.arange(rounds)[:, None] * n_people + units.person) * n_weeks + weeks
    sums = np.zeros((4, rounds, n_people, n_weeks + 1))
    for i, column in enumerate((off, units.trials, off**2, np.ones(len(off)))):
        flat = np.bincount(at.ravel(), np.tile(column, rounds), rounds * n_people * n_weeks)
        sums[i, :, :, 1:] = flat.reshape(rounds, n_people, n_weeks)
    cumulative: Floats = sums.cumsum(axis=3)
    return cumulative


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """Differences between the windows around each boundary, and their standard errors: (R, h, b)."""

    difference: Floats
    """NaN where nobody saw both sides"""
    error: Floats
    n_units: Floats
    """of the smaller side, by people who saw both"""

    def sizes(self) -> Floats:
        """In standard errors; 0 where nothing varies or a side has fewer than ten images."""
        is_open = (self.n_units >= MIN_UNITS) & (self.error > _SAME)
        sizes: Floats = np.zeros(self.error.shape)
        np.divide(np.abs(self.difference), self.error, out=sizes, where=is_open)
        return sizes

    def largest(self) -> Floats:
        """(R,)"""
        sizes = self.sizes()
        largest: Floats = sizes.reshape(len(sizes), -1).max(axis=1)
        return largest

    def change(self, windows: _Windows, at: int, limit: float, *, is_certain: bool) -> Change | None:
        """Of the windows with the largest difference there; None where nobody saw both sides."""
        sizes = self.sizes()[0, :, at]
        h = int(np.argmax(sizes))
        value = float(self.difference[0, h, at])
        if np.isnan(value):
            return None
        boundary, half = int(windows.boundary[at]), limit * float(self.error[0, h, at])
        known = sizes[h] > 0.0
        return Change(
            value=value,
            low=max(value - half, -1.0) if known else None,
            high=min(value + half, 1.0) if known else None,
            n_before=boundary - int(windows.start[h, at]),
            n_after=int(windows.end[h, at]) - boundary,
            is_certain=is_certain,
        )


def _compare(sums: Floats, windows: _Windows) -> _Compared:
    """Compare the windows, each person with themselves; errors are those around the person's usual share."""
    at_boundary = sums[..., windows.boundary][..., None, :]
    before = at_boundary - sums[..., windows.start]  # (4, R, people, h, b)
    after = sums[..., windows.end] - at_boundary
    both = (before[3] > 0.5) & (after[3] > 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(both, before[1] * after[1] / (before[1] + after[1]), 0.0)
        own = np.where(both, after[0] / after[1] - before[0] / before[1], 0.0)
        variance = np.where(both, after[2] / after[1] ** 2 + before[2] / before[1] ** 2, 0.0)
        total = weight.sum(axis=1)
        difference = (weight * own).sum(axis=1) / total
        error = np.sqrt((weight**2 * variance).sum(axis=1)) / total
    n_units = np.minimum((before[3] * both).sum(axis=1), (after[3] * both).sum(axis=1))
    return _Compared(difference, np.nan_to_num(error), n_units)
