"""How long people took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median

from detseg.metrics.intervals import Estimate
from detseg.types import Annotation


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
    """judged reviews without a lead time, or with none above 0 s"""
    n_outliers: int
    """reviews that took far longer than the others: a page was left open"""


@dataclass(frozen=True, slots=True)
class WorkTimes:
    """How long people took who were shown the model's regions (arms helped and gold), and who were not.

    Label Studio adds up the time of all saves of an annotation, drafts included, and of each person the
    latest annotation of an image counts: no second counts twice.
    """

    helped: ReviewTimes
    blind: ReviewTimes
    per_model_version: Mapping[str, ReviewTimes]
    """of helped reviews, as all below"""
    per_annotator: Mapping[str, ReviewTimes]
    per_week: Mapping[str, ReviewTimes]


@dataclass(frozen=True, slots=True)
class TimeSummary:
    """Seconds per image over the images whose lead time is known, from 0; None without any.

    The median is the figure to quote: somebody who went for lunch with a task open moves the mean.
    """

    median_s: float | None
    mean_s: float | None
    total_s: float
    n_images: int


def summarize_times(reviews: Iterable[Annotation]) -> TimeSummary:
    """The lead times of labeled and empty images; skipped ones were not worked on."""
    times = [
        review.lead_time_s
        for review in reviews
        if review.lead_time_s is not None and review.state in ("labeled", "empty")
    ]
    if not times:
        return TimeSummary(None, None, 0.0, 0)
    return TimeSummary(median(times), fmean(times), sum(times), len(times))
