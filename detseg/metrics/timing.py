"""The time that people took.

Lead times hold lunches: a page was left open, or a draft was counted twice, as some releases of Label Studio
do. So times far outside are left out: more than three interquartile ranges above the upper quartile, of the
logarithms, because times are skewed ("far out" in Tukey, "Exploratory Data Analysis", 1977). Where times are
lognormal that is one in 850,000, so honest ones stay. Short times stay as well: they were taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.metrics.bootstrap import bootstrap_ratios
from detseg.metrics.intervals import MIN_UNITS, UNKNOWN, Estimate, median_of
from detseg.metrics.work_log import WorkTables

Floats = npt.NDArray[np.float64]

FAR_OUT = 3.0
"""Interquartile ranges above the upper quartile from which a time is an outlier."""

MIN_RANGE = 0.5
"""The least interquartile range of the logarithms that is believed, a factor of 1.6: an outlier is 4.5 times
the upper quartile or more, even where nearly all images take the same time."""


@dataclass(frozen=True, slots=True)
class ReviewTimes:
    """Seconds per review of an image, of reviews whose lead time is known and not an outlier."""

    mean_s: Estimate
    """by image"""
    median_s: Estimate
    total_h: float
    """hours of the reviews that count"""
    n_reviews: int
    """that count"""
    n_unknown: int
    """judged reviews whose lead time is missing, 0, or no time that a person can take"""
    n_outliers: int
    """reviews that took far longer than the others: a page was left open"""


@dataclass(frozen=True, slots=True)
class WorkTimes:
    """The times of people who were shown the model's regions (arms helped and gold), and of those who were
    not.

    Label Studio adds up the time of all saves of an annotation, drafts included, and of each person the
    latest annotation of an image counts: no second counts twice.
    """

    helped: ReviewTimes
    blind: ReviewTimes
    per_model_version: Mapping[str, ReviewTimes]
    """of helped reviews, as all below"""
    per_annotator: Mapping[str, ReviewTimes]
    per_week: Mapping[str, ReviewTimes]


def review_times(tables: WorkTables, *, seed: int) -> WorkTimes:
    """The times of a log, by arm and in every slice of the helped reviews."""
    reviews, seconds = tables.reviews, usable_seconds(tables)
    helped = ~reviews["blind"]

    def times(chosen: npt.NDArray[np.bool_]) -> ReviewTimes:
        return _times(reviews["image"][chosen], reviews["lead_s"][chosen], seconds[chosen], seed=seed)

    def by(names: tuple[str, ...], column: str) -> dict[str, ReviewTimes]:
        present = sorted((names[code], code) for code in np.unique(reviews[column][helped]))
        return {name: times(helped & (reviews[column] == code)) for name, code in present}

    return WorkTimes(
        helped=times(helped),
        blind=times(~helped),
        per_model_version=by(tables.versions, "version"),
        per_annotator=by(tables.authors, "author"),
        per_week=by(tables.weeks, "week"),
    )


def usable_seconds(tables: WorkTables) -> Floats:
    """The lead time of every review, NaN where it is unknown or an outlier among those of its arm."""
    lead_s = tables.reviews["lead_s"]
    seconds = np.where(_is_known(lead_s), lead_s, np.nan)
    for arm in (tables.reviews["blind"], ~tables.reviews["blind"]):
        seconds[arm & (seconds > outlier_limit(seconds[arm]))] = np.nan
    return seconds


def _is_known(lead_s: Floats) -> npt.NDArray[np.bool_]:
    """Tell which are times at all: from a millisecond to some years."""
    known: npt.NDArray[np.bool_] = (lead_s >= 1e-3) & (lead_s < 1e8)
    return known


def outlier_limit(seconds: Floats) -> float:
    """Times above this are outliers; NaN are none. Infinite for fewer than 10 times: they have no quartiles.

    >>> round(outlier_limit(np.array([20, 25, 30, 30, 35, 40, 40, 45, 60, 86400.0])))
    196
    """
    known = np.log(seconds[seconds > 0.0])
    if len(known) < MIN_UNITS:
        return float("inf")
    lower, upper = np.quantile(known, [0.25, 0.75])
    return float(np.exp(upper + FAR_OUT * max(upper - lower, MIN_RANGE)))


def _times(image: npt.NDArray[np.int32], lead_s: Floats, usable_s: Floats, *, seed: int) -> ReviewTimes:
    known, usable = _is_known(lead_s), ~np.isnan(usable_s)
    seconds, (images, row) = usable_s[usable], np.unique(image[usable], return_inverse=True)
    sums = np.bincount(row, weights=seconds, minlength=len(images))
    counts = np.bincount(row, minlength=len(images))
    (mean,) = bootstrap_ratios(sums[:, None], counts[:, None], seed=seed) if len(images) else (UNKNOWN,)
    return ReviewTimes(
        mean_s=mean,
        median_s=median_of(seconds),
        total_h=float(seconds.sum()) / 3600.0,
        n_reviews=len(seconds),
        n_unknown=int(np.count_nonzero(~known)),
        n_outliers=int(np.count_nonzero(known & ~usable)),
    )
