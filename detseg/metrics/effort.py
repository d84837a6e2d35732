"""The time that pre-annotations saved, measured against images that people labeled without them; and what a
model of costs expects of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from detseg.metrics.arms import Timed, compare_arms
from detseg.metrics.bootstrap import resampled_sums
from detseg.metrics.intervals import LEVEL, UNKNOWN, Estimate, mapped, told
from detseg.metrics.pauses import LEAST_S, JudgedTimes, judge_times
from detseg.metrics.work_log import WorkTables

Floats = npt.NDArray[np.float64]

FACTOR = 3.0
"""Published seconds of the same work differ so much: a box takes 7 s by extreme clicks (Papadopoulos et al.,
ICCV 2017), 25 s when drawn and 42 s when checked as well (Su, Deng and Fei-Fei, "Crowdsourcing annotations
for visual object detection", HCOMP 2012). The seconds of the settings are within this factor of the true ones
in 95 of 100 projects, those of drawing and those of looking each for themselves."""

_SURELY_COUNTED = 1e-3  # a weight below this is a pause without doubt
_N_RESAMPLES = 1000

Method = Literal["control"]
"""``control``: measured against control images."""


@dataclass(frozen=True, slots=True)
class Saving:
    """The saving on the images that were reviewed with the model's regions.

    Negative where people were slower with them. Hours and money follow from the share, so they are told
    whenever it is, and their intervals are those of the share.
    """

    share: Estimate
    """1 - assisted seconds / seconds by hand for the same images, at most 1; by image of both arms"""
    hours: Estimate
    """hours by hand - assisted hours"""
    money: Estimate
    """share * the price of drawing all regions of those reviews by hand, in the settings' currency"""
    hours_spent: float
    """of all assisted reviews; where no lead time is of use the mean (measured) or the model's
    (expected)"""
    n_images: int
    """assisted images that were reviewed"""
    n_control: int
    """images of the control arm, reviewed by these annotators; 0 where it is expected"""
    n_timed: int
    """assisted reviews whose lead time is known and no pause"""
    n_set_aside: int
    """assisted reviews that took so long that a page was left open"""
    n_strata: int
    """annotators who were compared with themselves; 0 where it is expected"""


@dataclass(frozen=True, slots=True)
class Effort:
    """The saving as it was measured, from 10 images of the control arm on, and what a model of costs expects.

    Only the measured one is a figure of this project: the other has its seconds from publications, or from
    the settings.
    """

    method: Method | None
    """None where nothing was measured"""
    measured: Saving
    expected: Saving
    """against the seconds of the settings; the interval holds that they may be off by a factor of 3"""

    @property
    def saving(self) -> Saving:
        """The one to quote."""
        return self.measured


def effort_saved(tables: WorkTables, *, seed: int) -> Effort:
    """Estimate what the model's regions saved the people who were shown them."""
    times = judge_times(tables.reviews)
    measured = measure_saving(tables, times)
    return Effort(
        "control" if measured.share.value is not None else None, measured, _expected(tables, times, seed=seed)
    )


def measure_saving(tables: WorkTables, times: JudgedTimes) -> Saving:
    """The saving against the control arm, each person compared with themselves."""
    reviews, counted = tables.reviews, times.weight > _SURELY_COUNTED
    control, author = reviews["control"], reviews["author"]
    both = np.intersect1d(author[~control & counted], author[control & counted])
    compared = counted & np.isin(author, both)
    share = UNKNOWN
    if len(both):
        chosen = reviews[compared]
        share = compare_arms(
            Timed(
                image=chosen["image"],
                author=chosen["author"],
                is_control=chosen["control"],
                log_s=np.log(times.seconds[compared]),
                size=np.log(chosen["by_hand_s"] + LEAST_S),
                weight=times.weight[compared],
            )
        )
    return _saving(
        tables,
        share,
        times.mean_s(~control) * int(np.count_nonzero(~control)) / 3600.0,
        times,
        n_control=len(np.unique(reviews["image"][compared & control])),
        n_strata=len(both),
    )


def _expected(tables: WorkTables, times: JudgedTimes, *, seed: int) -> Saving:
    is_assisted = ~tables.reviews["control"]
    reviews, timed = tables.reviews[is_assisted], times.is_usable[is_assisted]
    images, row = np.unique(reviews["image"], return_inverse=True)
    with_help = [
        np.where(timed, times.seconds[is_assisted], 0.0),
        np.where(timed, 0.0, reviews["edits_s"] - reviews["redrawn_s"]),
        np.where(timed, 0.0, reviews["redrawn_s"]),
    ]
    columns = (*with_help, reviews["by_hand_s"])
    sums = np.stack([np.bincount(row, of_each, len(images)) for of_each in columns], axis=1).astype(
        np.float64
    )
    return _saving(
        tables,
        _expected_share(sums, seed=seed),
        float(sum(part.sum() for part in with_help)) / 3600.0,
        times,
        n_control=0,
        n_strata=0,
    )


def _expected_share(sums: Floats, *, seed: int) -> Estimate:
    """1 - (measured + looks + assisted drawings) / drawings by hand: sums by image, (n_images, 4).

    Images are drawn anew, and with each draw the seconds of a look and of a drawing.
    """
    n, total = len(sums), sums.sum(axis=0)
    if n < 2 or not total[3]:
        return Estimate(None, None, None, n, None)
    rng = np.random.default_rng(seed)
    drawn = resampled_sums(sums, rng, _N_RESAMPLES)
    spread = math.log(FACTOR) / float(ndtri((1.0 + LEVEL) / 2.0))
    look, drawing = np.exp(spread * rng.standard_normal((2, _N_RESAMPLES)))
    with np.errstate(divide="ignore", invalid="ignore"):
        taken = drawn[:, 0] + look * drawn[:, 1] + drawing * drawn[:, 2]
        shares = 1.0 - taken / (drawing * drawn[:, 3])
    shares = shares[np.isfinite(shares)]  # draws of images without a drawing have none
    if len(shares) < 0.95 * _N_RESAMPLES:
        return Estimate(None, None, None, n, None)
    outside = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(shares, [outside, 1.0 - outside])
    value = float(1.0 - total[:3].sum() / total[3])
    ends = min(float(low), value), max(float(high), value)
    return told(value, *ends, n=n, scale="share", max_width=math.inf)


def _saving(
    tables: WorkTables,
    share: Estimate,
    spent_h: float,
    times: JudgedTimes,
    *,
    n_control: int,
    n_strata: int,
) -> Saving:
    is_assisted = ~tables.reviews["control"]
    assisted = tables.reviews[is_assisted]
    price = float(assisted["by_hand_price"].sum())
    return Saving(
        share=share,
        hours=mapped(share, lambda saved: _saved_h(saved, spent_h)),
        money=mapped(share, lambda saved: saved * price),
        hours_spent=spent_h,
        n_images=len(np.unique(assisted["image"])),
        n_control=n_control,
        n_timed=int(np.count_nonzero(times.is_usable & is_assisted)),
        n_set_aside=int(np.count_nonzero(times.is_known & ~times.is_usable & is_assisted)),
        n_strata=n_strata,
    )


def _saved_h(share: float, spent_h: float) -> float:
    """Hours by hand - assisted hours; where these took no time at all, they do not follow from the share."""
    return spent_h * share / (1.0 - share) if share < 1.0 else math.inf
