"""People's work on the cases of QA: edits, times, effort saved, and what to change."""

from __future__ import annotations

from dataclasses import dataclass

from detseg.metrics.drift import Drift
from detseg.metrics.edit_rates import Edits
from detseg.metrics.effort import Effort
from detseg.metrics.thresholds import Thresholds
from detseg.metrics.timing import WorkTimes


@dataclass(frozen=True, slots=True)
class Work:
    """All that is measured of people's work."""

    edits: Edits
    times: WorkTimes
    effort: Effort
    thresholds: Thresholds
    drift: Drift
