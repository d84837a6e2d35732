"""The time that pre-annotations saved: against images that people labeled without them, or against a cost
model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from detseg.metrics.bootstrap import bootstrap, bootstrap_t
from detseg.metrics.intervals import Estimate, mapped, told
from detseg.metrics.timing import usable_seconds
from detseg.metrics.work_log import WorkTables

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_HOPELESS = 20.0  # the log of a ratio that no data tells

Method = Literal["blind", "costs"]
"""``blind``: measured against the blind arm; ``costs``: against what a cost model says by hand would take."""


@dataclass(frozen=True, slots=True)
class Saving:
    """The saving on the images that were reviewed with the model's regions.

    Negative where people were slower with them. Hours and money follow from the share, so they are told
    whenever it is, and their intervals are those of the share.
    """

    share: Estimate
    """1 - seconds with help / seconds by hand for the same images, at most 1; by image of both arms"""
    hours: Estimate
    """hours by hand - hours with help"""
    money: Estimate
    """share * the price of drawing all regions of those reviews by hand, in the settings' currency"""
    hours_spent: float
    """with help, over all reviews; where no lead time is of use the mean (blind) or the model's (costs)"""
    n_images: int
    """reviewed with help"""
    n_blind: int
    """images of the blind arm, reviewed by these annotators; 0 for the cost model"""
    n_timed: int
    """reviews with help whose lead time is known and no outlier"""
    n_strata: int
    """annotators who were compared with themselves; 0 for the cost model"""


@dataclass(frozen=True, slots=True)
class Effort:
    """The saving and which way it was found: by the blind arm from 10 images on, else by the cost model."""

    method: Method | None
    """None where neither tells a figure"""
    blind: Saving
    costs: Saving
    """the interval is about which images were drawn; whether the settings' seconds are right it cannot say"""

    @property
    def saving(self) -> Saving:
        """The one to quote."""
        return self.blind if self.method == "blind" else self.costs


def effort_saved(tables: WorkTables, *, seed: int) -> Effort:
    """Estimate what the model's regions saved the people who were shown them."""
    blind, costs = _against_blind(tables, seed=seed), _against_costs(tables, seed=seed)
    method: Method | None = "costs" if costs.share.value is not None else None
    return Effort("blind" if blind.share.value is not None else method, blind, costs)


def compare_arms(helped: npt.ArrayLike, blind: npt.ArrayLike, *, seed: int) -> Estimate:
    """1 - seconds with help / seconds without, at most 1, from the images of both arms.

    Both have shape (n_images, 3 k) for k annotators: how many reviews of an image each made, their seconds,
    and the squares of these. Annotators differ, and fast ones may have had more of one arm, so all are
    compared with themselves: the ratio is that of two weighted means over annotators of their mean seconds,
    with the weights of Mantel and Haenszel, n_helped n_blind / (n_helped + n_blind), which leave out whoever
    was in one arm only (Rothman, Greenland and Lash, "Modern Epidemiology", 2008, chapter 15).

    The interval is that of ``bootstrap_t`` for the log of the ratio: times are skewed and the blind arm is
    small, so that other bootstraps would hold the truth too rarely. It is told from 10 images of each arm on,
    however wide: what is left otherwise is a cost model, which cannot be checked.
    """
    value, low, high = bootstrap_t(_log_ratio, helped, blind, seed=seed, n_resamples=2000)
    n = min(len(np.asarray(helped)), len(np.asarray(blind)))
    return told(_saved(value), _saved(high), _saved(low), n=n, scale="share", max_width=math.inf)


def _saved(log_ratio: float) -> float:
    return 1.0 - math.exp(log_ratio) if log_ratio < _HOPELESS else -math.inf


def _log_ratio(helped: Floats, blind: Floats) -> tuple[Floats, Floats]:
    """Of sums of the arms (R, 3 k): the log of the ratio of ``compare_arms`` and its standard error, (R,)."""
    n_helped, n_blind = (arm[:, : arm.shape[1] // 3] for arm in (helped, blind))
    weight = _divide(n_helped * n_blind, n_helped + n_blind)  # (R, k)
    logs, variances = [], []
    for arm, n in ((helped, n_helped), (blind, n_blind)):
        _, seconds, squares = np.split(arm, 3, axis=1)
        mean = _divide(seconds, n)
        spread = _divide(squares - n * mean**2, n * np.maximum(n - 1.0, 1.0))  # variance of the mean
        total = (weight * mean).sum(axis=1)
        logs.append(np.log(total))
        variances.append((weight**2 * np.maximum(spread, 0.0)).sum(axis=1) / total**2)
    return logs[0] - logs[1], np.sqrt(variances[0] + variances[1])


def _divide(a: Floats, b: Floats) -> Floats:
    """0 where there is nothing to divide by."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0.0)


def _against_blind(tables: WorkTables, *, seed: int) -> Saving:
    reviews, seconds = tables.reviews, usable_seconds(tables)
    is_helped, timed = ~reviews["blind"], ~np.isnan(seconds)
    both = np.intersect1d(reviews["author"][is_helped & timed], reviews["author"][~is_helped & timed])
    compared = timed & np.isin(reviews["author"], both)
    author = np.searchsorted(both, reviews["author"])
    arms = [
        _by_image(reviews["image"][chosen], author[chosen], seconds[chosen], n_authors=len(both))
        for chosen in (compared & is_helped, compared & ~is_helped)
    ]
    share = compare_arms(*arms, seed=seed)
    n_timed = int(np.count_nonzero(timed & is_helped))
    spent = float(seconds[timed & is_helped].mean()) * int(is_helped.sum()) / 3600.0 if n_timed else 0.0
    return _saving(tables, share, spent, n_blind=len(arms[1]), n_timed=n_timed, n_strata=len(both))


def _by_image(image: Ints, author: Ints, seconds: Floats, *, n_authors: int) -> Floats:
    """Sum what each image adds to each annotator's reviews, seconds and squared seconds: (n_images, 3 k)."""
    images, row = np.unique(image, return_inverse=True)
    sums = np.zeros((len(images), 3, n_authors))
    for column, values in enumerate((np.ones_like(seconds), seconds, seconds**2)):
        np.add.at(sums[:, column], (row, author), values)
    return sums.reshape(len(images), 3 * n_authors)


def _against_costs(tables: WorkTables, *, seed: int) -> Saving:
    is_helped = ~tables.reviews["blind"]
    reviews, seconds = tables.reviews[is_helped], usable_seconds(tables)[is_helped]
    timed = ~np.isnan(seconds)
    with_help = np.where(timed, seconds, reviews["edits_s"])
    images, row = np.unique(reviews["image"], return_inverse=True)
    sums = np.stack(
        [np.bincount(row, weights=v, minlength=len(images)) for v in (with_help, reviews["by_hand_s"])],
        axis=1,
    )
    share = bootstrap(lambda total: 1.0 - total[:, 0] / total[:, 1], sums, seed=seed, scale="share")
    spent = float(with_help.sum()) / 3600.0
    return _saving(tables, share, spent, n_blind=0, n_timed=int(timed.sum()), n_strata=0)


def _saving(
    tables: WorkTables, share: Estimate, spent_h: float, *, n_blind: int, n_timed: int, n_strata: int
) -> Saving:
    helped = tables.reviews[~tables.reviews["blind"]]
    price = float(helped["by_hand_price"].sum())
    return Saving(
        share=share,
        hours=mapped(share, lambda saved: spent_h * saved / (1.0 - saved)),
        money=mapped(share, lambda saved: saved * price),
        hours_spent=spent_h,
        n_images=len(np.unique(helped["image"])),
        n_blind=n_blind,
        n_timed=n_timed,
        n_strata=n_strata,
    )
