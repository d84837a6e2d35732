"""The evidence that a judgement rests on: two models' answers about labeled images, taken in one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from detseg.metrics.calibration import N_BINS
from detseg.metrics.costs import CostModel
from detseg.metrics.detection_intervals import N_HALVES, draw_halves
from detseg.metrics.halved import FigureColumns, Halved, add_scenes
from detseg.metrics.image_sums import ImageSums
from detseg.metrics.needed_edits import LEFT_IOU, needed_edits
from detseg.metrics.score_bins import SCORE_BINS, score_bin_of
from detseg.types import Annotation, Edit

Floats = npt.NDArray[np.float64]

_WORK = ("seconds", "edits")
_BIN = ("n", "score", "left")
_Classes = tuple[str, ...]


CALIBRATION = "calibration_error"
"""The name of the only figure beside the seconds that decides."""


@dataclass(frozen=True, slots=True, eq=False)
class NeededWork:
    """The work that the answers of one model need: (n_images, n_classes) all."""

    seconds: Floats
    edits: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Two models on the same images.

    ``nothing`` is the work of a model that finds nothing; ``present_figures`` and ``candidate_figures`` are
    those that images have together (AP, PQ), by name, of the same halves. ``n_truth`` (n_classes,) are the
    labeled objects of each class.
    """

    classes: tuple[str, ...]
    n_truth: tuple[int, ...]
    present: NeededWork
    candidate: NeededWork
    nothing: NeededWork
    present_figures: Mapping[str, Halved]
    candidate_figures: Mapping[str, Halved]

    @property
    def n_images(self) -> int:
        return len(self.nothing.seconds)


class EvidenceTally:
    """Takes labeled images with the answers of both models, in the shapes that people are shown.

    ``costs`` turns edits into seconds; from ``left_iou`` on people leave a region. ``with_masks`` says that
    the truth has masks, and figures of masks mean something. ``seed`` draws the halves.
    """

    def __init__(
        self, costs: CostModel, *, left_iou: float = LEFT_IOU, with_masks: bool = False, seed: int = 0
    ) -> None:
        self._costs, self._left_iou, self._seed = costs, left_iou, seed
        self._present, self._candidate = _Side(), _Side()
        self._nothing = ImageSums(len(_WORK))
        self._n_truth: dict[str, int] = {}
        self._with_masks = with_masks

    def add(self, truth: Annotation, present: Annotation, candidate: Annotation) -> None:
        """One more image."""
        for region in truth.regions:
            label = region.instance.label
            self._n_truth[label] = self._n_truth.get(label, 0) + 1
        drawn = [Edit("added", None, region) for region in truth.regions]
        self._nothing.add(_work_of(drawn, self._costs))
        sides = ((self._present, present), (self._candidate, candidate))
        for side, answer in sides:
            side.add(needed_edits(answer, truth, left_iou=self._left_iou), self._costs)
            side.columns.add(truth, answer, with_masks=self._with_masks)
        if self._with_masks:
            both = [side.columns for side, _ in sides]
            add_scenes(both, [(truth, answer) for _, answer in sides])

    def evidence(self) -> Evidence:
        """All images so far."""
        sides = (self._present, self._candidate)
        classes = tuple(sorted({name for one in sides for name in one.work.classes}))
        return Evidence(
            classes=classes,
            n_truth=tuple(self._n_truth.get(label, 0) for label in classes),
            present=_needed(self._present.work, classes),
            candidate=_needed(self._candidate.work, classes),
            nothing=_needed(self._nothing, classes),
            present_figures=self._figures(self._present),
            candidate_figures=self._figures(self._candidate),
        )

    def _figures(self, side: _Side) -> dict[str, Halved]:
        bins = side.scores.columns(SCORE_BINS[:N_BINS], len(_BIN))
        figures = side.columns.halve(seed=self._seed, with_masks=self._with_masks)
        return figures | {CALIBRATION: halve_calibration(*bins, seed=self._seed)}


@dataclass(slots=True)
class _Side:
    """All that is kept of one model's answers."""

    work: ImageSums = field(default_factory=lambda: ImageSums(len(_WORK)))
    scores: ImageSums = field(default_factory=lambda: ImageSums(len(_BIN)))
    columns: FigureColumns = field(default_factory=FigureColumns)

    def add(self, edits: Sequence[Edit], costs: CostModel) -> None:
        self.work.add(_work_of(edits, costs))
        self.scores.add(_scores_of(edits))


def _work_of(edits: Iterable[Edit], costs: CostModel) -> dict[str, tuple[float, float]]:
    """The seconds and the number of changes of each class: the true one, the model's of what is no object."""
    work: dict[str, tuple[float, float]] = {}
    for edit in edits:
        region = edit.after or edit.before
        assert region is not None  # an edit has a side
        seconds, n = work.get(region.instance.label, (0.0, 0.0))
        work[region.instance.label] = (seconds + costs.edit_s(edit), n + (edit.kind != "kept"))
    return work


def _scores_of(edits: Iterable[Edit]) -> dict[str, tuple[float, float, float]]:
    """By tenth of the score: how many regions, the sum of their scores, and how many people would leave."""
    bins: dict[str, tuple[float, float, float]] = {}
    for edit in edits:
        score = edit.before.instance.score if edit.before else None
        if score is not None:
            name = SCORE_BINS[score_bin_of(score)]
            n, total, left = bins.get(name, (0.0, 0.0, 0.0))
            bins[name] = (n + 1.0, total + score, left + (edit.kind == "kept"))
    return bins


def _needed(sums: ImageSums, classes: _Classes) -> NeededWork:
    seconds, edits = sums.columns(classes, len(_WORK))
    return NeededWork(seconds, edits)


def halve_calibration(n: Floats, total: Floats, left: Floats, *, seed: int) -> Halved:
    """The expected calibration error of shown regions, as ``calibration.Reliability`` has it.

    Of each image by tenth of the score, (n_images, 10) all: regions, the sum of their scores, and how many of
    them people would leave.
    """

    def error(counts: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            gaps: Floats = np.abs(counts @ left - counts @ total).sum(axis=1) / (counts @ n).sum(axis=1)
        return gaps[:, None]

    counts = draw_halves(len(n), np.random.default_rng(seed), N_HALVES)
    n_shown = int(np.count_nonzero(n.sum(axis=1)))
    return Halved(("",), error(np.ones((1, len(n))))[0], error(counts), np.array([n_shown]))
