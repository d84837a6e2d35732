"""The time that people took, without the reviews that were left open (``pauses``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.metrics.bootstrap import mean_of_skewed
from detseg.metrics.intervals import Estimate, median_of
from detseg.metrics.pauses import JudgedTimes, judge_times
from detseg.metrics.work_log import WorkTables

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReviewTimes:
    """Seconds per review of an image, of reviews whose lead time is known and no pause."""

    mean_s: Estimate
    """by image; what may be a pause counts as far as it may be none"""
    median_s: Estimate
    total_h: float
    """hours of the reviews that count"""
    n_reviews: int
    """that count"""
    n_unknown: int
    """judged reviews whose lead time is missing, 0, or no time that a person can take"""
    n_outliers: int
    """reviews set aside: far longer than is usual for the regions and the person, a page was left open"""


@dataclass(frozen=True, slots=True)
class WorkTimes:
    """The times of people who were shown the model's regions (arms assisted and gold), and of those who were
    not.

    Label Studio adds up the time of all saves of an annotation, drafts included, and of each person the
    latest annotation of an image counts: no second counts twice.
    """

    assisted: ReviewTimes
    control: ReviewTimes
    per_model_version: Mapping[str, ReviewTimes]
    """of assisted reviews, as all below"""
    per_annotator: Mapping[str, ReviewTimes]
    per_week: Mapping[str, ReviewTimes]


def review_times(tables: WorkTables, *, seed: int) -> WorkTimes:
    """The times of a log, by arm and in every slice of the assisted reviews."""
    reviews, judged = tables.reviews, judge_times(tables.reviews)
    assisted = ~reviews["control"]

    def times(chosen: Bools) -> ReviewTimes:
        return _times(reviews["image"], judged, chosen, seed=seed)

    def by(names: tuple[str, ...], column: str) -> dict[str, ReviewTimes]:
        present = sorted((names[code], code) for code in np.unique(reviews[column][assisted]))
        return {name: times(assisted & (reviews[column] == code)) for name, code in present}

    return WorkTimes(
        assisted=times(assisted),
        control=times(~assisted),
        per_model_version=by(tables.versions, "version"),
        per_annotator=by(tables.authors, "author"),
        per_week=by(tables.weeks, "week"),
    )


def _times(image: npt.NDArray[np.int32], judged: JudgedTimes, chosen: Bools, *, seed: int) -> ReviewTimes:
    usable, counted = chosen & judged.is_usable, chosen & (judged.weight > 0.0)
    seconds, weight = judged.seconds[counted], judged.weight[counted]
    images, row = np.unique(image[counted], return_inverse=True)
    sums = np.bincount(row, weights=weight * seconds, minlength=len(images))
    return ReviewTimes(
        mean_s=mean_of_skewed(sums, np.bincount(row, weights=weight, minlength=len(images)), seed=seed),
        median_s=median_of(judged.seconds[usable]),
        total_h=float(judged.seconds[usable].sum()) / 3600.0,
        n_reviews=int(np.count_nonzero(usable)),
        n_unknown=int(np.count_nonzero(chosen & ~judged.is_known)),
        n_outliers=int(np.count_nonzero(chosen & judged.is_known & ~judged.is_usable)),
    )
