"""People's work on the cases of QA: edits, times, effort saved, and what to change."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from detseg.metrics.cases import Case
from detseg.metrics.costs import CostModel
from detseg.metrics.drift import Drift, find_drift
from detseg.metrics.edit_rates import Edits, edit_rates
from detseg.metrics.effort import Effort, effort_saved
from detseg.metrics.thresholds import Thresholds, choose_thresholds
from detseg.metrics.timing import WorkTimes, review_times
from detseg.metrics.waiting import Waiting, WaitingImage, rank_waiting
from detseg.metrics.work_log import WorkLog


@dataclass(frozen=True, slots=True)
class Work:
    """All that is measured of people's work."""

    edits: Edits
    times: WorkTimes
    effort: Effort
    thresholds: Thresholds
    drift: Drift


class WorkTally:
    """Compares each case's prediction and reviews once, and measures everything of people's work from that.

    ``costs`` is what work costs by hand; ``seed`` draws the resamples.
    """

    def __init__(self, costs: CostModel | None = None, *, seed: int = 0) -> None:
        self._costs = costs or CostModel()
        self._seed = seed
        self._log = WorkLog(self._costs)

    def add(self, case: Case) -> None:
        self._log.add(case)

    def thresholds(
        self, *, versions: Collection[str] | None = None, in_use: Mapping[str, float] | None = None
    ) -> Thresholds:
        """Of the cases so far; of those of these model versions, if any are named, beside those in use."""
        return choose_thresholds(self._log.tables(), self._costs, versions, in_use=in_use)

    def result(
        self, *, versions: Collection[str] | None = None, in_use: Mapping[str, float] | None = None
    ) -> Work:
        """Of the cases so far; thresholds of those of these model versions, if any are named, beside those in
        use."""
        tables = self._log.tables()
        return Work(
            edits=edit_rates(tables),
            times=review_times(tables, seed=self._seed),
            effort=effort_saved(tables, seed=self._seed),
            thresholds=choose_thresholds(tables, self._costs, versions, in_use=in_use),
            drift=find_drift(tables, seed=self._seed),
        )

    def rank(self, waiting: Iterable[WaitingImage]) -> Waiting:
        """Images that nobody has reviewed, by what the cases so far let expect of them."""
        return rank_waiting(waiting, self._log.tables(), self._costs, seed=self._seed)
