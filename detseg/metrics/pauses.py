"""Reviews that were left open: times far above what a person takes for so much work.

Lead times hold lunches: a page was left open, or a draft was counted twice, as some releases of Label Studio
do. One pause of an hour weighs as much as forty reviews, so a mean that holds some of them tells nothing. But
images of many regions take long as well, and people differ. So the logarithm of a time is compared with what
is usual for the regions, the person and the arm, fitted with Tukey's biweight, which pauses do not pull
(Beaton and Tukey, "The fitting of power series", Technometrics 16, 1974).

What is above the usual is then a mixture: honest times, lognormal with the spread of their arm, and pauses,
as likely at any factor above three. Its parameters are fitted by expectation and maximization (McLachlan and
Peel, "Finite Mixture Models", 2000, chapter 2). Each review counts as far as it is likelier an honest one, so
that means are those of honest times: a limit would cut off the longest of them, which hold much of the
seconds. Where no pauses stand out, all reviews count whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.metrics.intervals import MIN_UNITS
from detseg.metrics.work_log import Table

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

MIN_FACTOR = 3.0
"""A pause takes more than this many times what is usual."""

LEAST_S = 7.0
"""An image without regions is looked at: the work that an image holds has these seconds more."""

_BIWEIGHT = 4.685  # 95 % as good as least squares where residuals are normal
_MAD = 1.4826  # of normal residuals, in standard deviations
_LEAST_SPREAD = 0.1
_FAR = 3.0  # standard deviations above what is usual: taken for a pause at first
_USUAL_SPREAD = 0.5  # of the logarithms of pauses
_LEAST_DENSITY = 1e-300
_N_ROUNDS = 30


@dataclass(frozen=True, slots=True, eq=False)
class JudgedTimes:
    """The times of all reviews, (r,) each."""

    seconds: Floats
    """NaN where unknown"""
    weight: Floats
    """how likely the time is an honest one, in [0, 1]; 0 where unknown"""

    @property
    def is_known(self) -> Bools:
        known: Bools = ~np.isnan(self.seconds)
        return known

    @property
    def is_usable(self) -> Bools:
        """Known, and likelier work than a pause."""
        usable: Bools = self.weight >= 0.5
        return usable

    def mean_s(self, chosen: Bools) -> float:
        """The mean of the chosen reviews, in seconds; 0 without a known time."""
        weight = self.weight[chosen].sum()
        return float((self.weight * np.nan_to_num(self.seconds))[chosen].sum() / weight) if weight else 0.0


def judge_times(reviews: Table) -> JudgedTimes:
    """Tell pauses from work among the lead times of ``reviews`` (``work_log.REVIEW``).

    Of fewer than ten times none is judged: they do not say what is usual.
    """
    lead_s = reviews["lead_s"]
    # times at all: from a millisecond to some years
    known: Bools = (lead_s >= 1e-3) & (lead_s < 1e8)
    weight = known.astype(np.float64)
    if np.count_nonzero(known) >= MIN_UNITS:
        weight[known] = _honest(np.log(lead_s[known]), above_usual(reviews[known]), reviews["control"][known])
    return JudgedTimes(np.where(known, lead_s, np.nan), weight)


def above_usual(reviews: Table) -> Floats:
    """The logarithm of each time over what is usual, (r,); all times are known.

    By arm, by the seconds of the cost model (to draw all regions; assisted, to correct them too) and by
    person, whose effect is drawn to 0 as if half a review more had said so.
    """
    assisted = ~reviews["control"]
    by_hand, edits = (np.log(LEAST_S + reviews[column]) for column in ("by_hand_s", "edits_s"))
    columns = [np.ones(len(reviews)), assisted, by_hand, assisted * edits]
    x = np.stack([column - column.mean() * (i > 0) for i, column in enumerate(columns)], axis=1)
    ridge = np.diag([1e-9, 1e-9, 1.0, 1.0])
    log_s = np.log(reviews["lead_s"])
    _, person = np.unique(reviews["author"], return_inverse=True)
    fitted: Floats = np.full(len(log_s), np.median(log_s))
    own: Floats = np.zeros(len(log_s))
    for number in range(_N_ROUNDS):
        above = log_s - fitted
        spread = max(_MAD * float(np.median(np.abs(above))), _LEAST_SPREAD)
        weight: Floats = _weights(above / spread, first=number < _N_ROUNDS // 3)
        general = x @ np.linalg.lstsq((x.T * weight) @ x + ridge, (x.T * weight) @ (log_s - own))[0]
        sums = np.bincount(person, weight * (log_s - general))
        own = (sums / (np.bincount(person, weight) + 0.5))[person]
        fitted = general + own
    residuals: Floats = log_s - fitted
    return residuals


def _weights(above: Floats, *, first: bool) -> Floats:
    """Tukey's biweight of residuals in standard deviations; ``first``, those of least absolute deviations."""
    if first:
        least: Floats = 1.0 / np.maximum(np.abs(above), 0.1)
        return least
    weights: Floats = np.maximum(1.0 - (above / _BIWEIGHT) ** 2, 0.0) ** 2
    return weights


def _honest(log_s: Floats, above: Floats, control: Bools) -> Floats:
    """How likely each time is an honest one, by the mixture: (r,)."""
    arms = [arm for arm in (control, ~control) if np.count_nonzero(arm) >= 2 * MIN_UNITS]
    if len(arms) < 2:
        arms = [np.ones(len(above), dtype=np.bool_)]
    may_be = above > math.log(MIN_FACTOR)
    everything = np.ones(len(above))
    is_far = may_be & (above > _FAR * _MAD * float(np.median(np.abs(above))))
    weight: Floats = np.where(is_far, 0.0, 1.0)
    n_far = float((1.0 - weight).sum())
    if not n_far:
        return everything
    for _ in range(_N_ROUNDS):
        work = _work_density(above, weight, arms)
        share = 1.0 - float(weight.mean())
        pause = share * _pause_density(log_s, 1.0 - weight)
        total = (1.0 - share) * work + np.where(may_be, pause, 0.0)
        weight = np.where(may_be, (1.0 - share) * work / np.maximum(total, _LEAST_DENSITY), 1.0)
    plain = _work_density(above, everything, arms)
    gain = float(np.log(np.maximum(total, _LEAST_DENSITY) / np.maximum(plain, _LEAST_DENSITY)).sum())
    return weight if 2.0 * gain > 3.0 * math.log(len(above)) else everything


def _work_density(above: Floats, weight: Floats, arms: list[Bools]) -> Floats:
    """The normal density of each arm's weighted times above what is usual: (r,)."""
    density = np.empty(len(above))
    for arm in arms:
        w, of_arm = weight[arm], above[arm]
        n = max(float(w.sum()), 1.0)
        centre = float((w * of_arm).sum() / n)
        variance = float((w * (of_arm - centre) ** 2).sum() / n)
        density[arm] = _normal(of_arm, centre, max(variance, _LEAST_SPREAD**2))
    return density


def _pause_density(log_s: Floats, weight: Floats) -> Floats:
    """The normal density of the logarithms of pauses; two pauses more say that they differ by a factor."""
    n = max(float(weight.sum()), 1e-9)
    centre = float((weight * log_s).sum()) / n
    variance = float((weight * (log_s - centre) ** 2).sum() + 2.0 * _USUAL_SPREAD**2) / (n + 2.0)
    return _normal(log_s, centre, variance)


def _normal(values: Floats, centre: float, variance: float) -> Floats:
    density: Floats = np.exp(-((values - centre) ** 2) / (2.0 * variance)) / math.sqrt(
        2.0 * math.pi * variance
    )
    return density
