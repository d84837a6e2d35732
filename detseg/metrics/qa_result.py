"""Everything that QA says of a project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from detseg.metrics.agreement import Agreement
from detseg.metrics.experiments import Decoys, Golds
from detseg.metrics.model_quality import ModelQuality
from detseg.metrics.suspects.findings import Suspects
from detseg.metrics.waiting import Waiting
from detseg.metrics.work import Work
from detseg.types import Arm, State


@dataclass(frozen=True, slots=True)
class Basis:
    """The basis of the figures: one project of the catalog, at one moment."""

    project: str
    created_at: datetime
    n_incomplete: int
    """reviews left out, because something in them could not be read"""
    n_deleted_tasks: int
    """tasks that were deleted on the server: what people did with them is not counted"""
    states: Mapping[State, int]
    """tasks by the state of their latest review; unlabeled ones were predicted and never reviewed"""
    arms: Mapping[Arm, int]
    """tasks by how they were put before people"""
    n_late_truth: int = 0
    """tasks of other arms than gold whose truth came later: it measures nobody there"""
    n_begun_without: int = 0
    """tasks that showed no prediction when people began, though they were to have one: left out"""
    promoted: str | None = None
    """the promoted model, whose reviews alone choose thresholds; without one, all reviews do"""


@dataclass(frozen=True, slots=True)
class QaResult:
    """All rooms' results.

    How good the model is: ``model``. How good the labels are: ``agreement``, ``decoys``, ``gold``,
    ``suspects``. What people did, what that saved, and what to change: ``work``, ``waiting``.
    """

    basis: Basis
    simulated: bool
    """whether a program made some of the reviews"""
    n_cases: int
    """images with a review that could be read"""
    model_versions: Mapping[str, int]
    """cases by the model version that answered them"""
    model: ModelQuality
    work: Work
    agreement: Agreement
    decoys: Decoys
    gold: Golds
    suspects: Suspects
    waiting: Waiting
