"""How long people took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, median

from detseg.types import Annotation


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
