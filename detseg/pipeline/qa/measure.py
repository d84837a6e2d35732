"""One pass over a project's cases: every measure sees each of them once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from detseg.metrics.agreement import AgreementTally
from detseg.metrics.edits import find_edits
from detseg.metrics.experiments import DecoyTally, GoldTally
from detseg.metrics.model_quality import ModelTally
from detseg.metrics.qa_result import Basis, QaResult
from detseg.metrics.suspects.tally import SuspectTally
from detseg.metrics.work import WorkTally
from detseg.report.examples import Example, ExampleTally

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from detseg.metrics.cases import Case
    from detseg.metrics.costs import CostModel
    from detseg.metrics.thresholds import Thresholds
    from detseg.metrics.waiting import WaitingImage
    from detseg.taxonomy import Taxonomy
    from detseg.types import Edit


class Measures:
    """All measures side by side. What they keep of a case is small: no case stays in memory."""

    def __init__(self, taxonomy: Taxonomy, costs: CostModel) -> None:
        self._model = ModelTally()
        self._work = WorkTally(costs)
        self._agreement = AgreementTally()
        self._decoys = DecoyTally()
        self._gold = GoldTally()
        self._suspects = SuspectTally(taxonomy)
        self._examples = ExampleTally()
        self._versions: Counter[str] = Counter()
        self._simulated = False

    def add(self, case: Case) -> None:
        """Shows the case to every measure."""
        for measure in (self._model, self._work, self._agreement, self._decoys, self._gold, self._suspects):
            measure.add(case)
        self._examples.add(case, _edits(case))
        self._versions[case.model_version] += 1
        self._simulated |= case.simulated

    @property
    def versions(self) -> frozenset[str]:
        """The model versions that answered the cases so far."""
        return frozenset(self._versions)

    def thresholds(self, *, versions: Collection[str] | None, in_use: Mapping[str, float]) -> Thresholds:
        """The thresholds of ``result``, alone."""
        return self._work.thresholds(versions=versions, in_use=in_use)

    def result(
        self,
        basis: Basis,
        waiting: Iterable[WaitingImage] = (),
        *,
        versions: Collection[str] | None = None,
        in_use: Mapping[str, float] | None = None,
    ) -> QaResult:
        """Compute the figures of all cases so far, also of images that wait for review.

        ``versions`` are the model versions whose thresholds are chosen; without them, all.
        ``in_use`` are the thresholds of now by class: what they leave out already is no saving.
        """
        return QaResult(
            basis=basis,
            simulated=self._simulated,
            n_cases=self._versions.total(),
            model_versions=dict(sorted(self._versions.items())),
            model=self._model.result(),
            work=self._work.result(versions=versions, in_use=in_use),
            agreement=self._agreement.result(),
            decoys=self._decoys.result(),
            gold=self._gold.result(),
            suspects=self._suspects.result(),
            waiting=self._work.rank(waiting),
        )

    def examples(self, *, limit: int = 60) -> tuple[Example, ...]:
        """The images that are worth showing."""
        return self._examples.result(limit=limit)


def _edits(case: Case) -> tuple[Edit, ...]:
    truth = case.truth
    if truth is None or case.arm not in ("assisted", "gold"):
        return ()
    return find_edits(case.prediction, truth)
