"""What every measure is shown of a case, and what not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from detseg.metrics.costs import CostModel
from detseg.metrics.qa_result import Basis, QaResult
from detseg.pipeline.qa.measure import Measures
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Arm, Decoy
from tests.metrics.made import annotation, boxed, case

TAXONOMY = Taxonomy((LabelClass("bolt"),))
BOLT = boxed("r1", "bolt", (2, 2, 12, 12), 0.9)
PLANTED = boxed("d", "bolt", (20, 5, 30, 15), 0.8)


def measure(arm: Arm) -> QaResult:
    """QA of one image whose reviewer left all that was shown as it was."""
    reviewed = annotation([BOLT, PLANTED] if arm == "decoy" else [BOLT])
    one = case(annotation([BOLT]), reviewed, arm=arm)
    measures = Measures(TAXONOMY, CostModel())
    gold = annotation([BOLT]) if arm == "gold" else None
    measures.add(replace(one, gold=gold, decoys=(Decoy("nothing", PLANTED),) if arm == "decoy" else ()))
    return measures.result(
        Basis("made", datetime(2026, 1, 1, tzinfo=UTC), n_incomplete=0, n_deleted_tasks=0, states={}, arms={})
    )


@pytest.mark.parametrize(
    ("arm", "counts"),
    [("assisted", (0, 0, 1)), ("control", (1, 0, 0)), ("gold", (0, 1, 1)), ("decoy", (0, 0, 0))],
)
def test_a_case_counts_for_the_model_by_what_its_reviewer_saw(arm: Arm, counts: tuple[int, int, int]) -> None:
    result = measure(arm)
    model = result.model
    assert result.n_cases == 1
    assert (model.control.n_images, model.gold.n_images, model.assisted.n_images) == counts
    assert all(one.boxes.score.ap == pytest.approx(1.0) for one in model.by_source.values() if one.n_images)
    assert result.work.edits.n_images == (0 if arm in ("control", "decoy") else 1)


def test_what_was_planted_counts_for_people_alone() -> None:
    result = measure("decoy")
    assert (result.n_cases, result.work.edits.n_images) == (1, 0)
    assert (result.decoys.all.n_shown, result.decoys.all.n_missed) == (1, 1)
