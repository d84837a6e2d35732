"""The evidence that a judgement rests on: two models' answers about labeled images, taken in one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError
from detseg.metrics.calibration import N_BINS
from detseg.metrics.coco_data import DetectionColumns
from detseg.metrics.coco_eval import match
from detseg.metrics.costs import CostModel
from detseg.metrics.detection_intervals import N_HALVES, draw_halves, halve
from detseg.metrics.image_sums import ImageSums
from detseg.metrics.mask_tallies import add_scene
from detseg.metrics.needed_edits import LEFT_IOU, needed_edits
from detseg.metrics.paired import Halved, halve_ap, halve_ratios
from detseg.metrics.panoptic import SegmentCounts
from detseg.metrics.scenes import paint_scene
from detseg.metrics.score_bins import SCORE_BINS, score_bin_of
from detseg.metrics.semantic import PixelCounts
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
    figure_classes: Mapping[str, tuple[str, ...]]

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
        self._present, self._candidate = _Side(with_masks), _Side(with_masks)
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
            side.add(truth, answer, needed_edits(answer, truth, left_iou=self._left_iou), self._costs)
        if self._with_masks:
            self._add_scenes(truth, present, candidate)

    def _add_scenes(self, truth: Annotation, present: Annotation, candidate: Annotation) -> None:
        """The pixels of an image, unless a mask is of another size than it: then for neither model."""
        try:
            scenes = [paint_scene(truth, answer) for answer in (present, candidate)]
        except FormatError:
            return
        for side, scene in zip((self._present, self._candidate), scenes, strict=True):
            side.segments.add(scene)
            add_scene(side.pixels, scene)

    def evidence(self) -> Evidence:
        """All images so far."""
        sides = (self._present, self._candidate)
        classes = _names(one.work for one in sides)
        figures = [one.figures(sides, seed=self._seed) for one in sides]
        return Evidence(
            classes=classes,
            n_truth=tuple(self._n_truth.get(label, 0) for label in classes),
            present=_needed(self._present.work, classes),
            candidate=_needed(self._candidate.work, classes),
            nothing=_needed(self._nothing, classes),
            present_figures={name: halved for name, (_, halved) in figures[0].items()},
            candidate_figures={name: halved for name, (_, halved) in figures[1].items()},
            figure_classes={name: names for name, (names, _) in figures[0].items()},
        )


@dataclass(slots=True)
class _Side:
    """All that is kept of one model's answers."""

    with_masks: bool
    work: ImageSums = field(default_factory=lambda: ImageSums(len(_WORK)))
    scores: ImageSums = field(default_factory=lambda: ImageSums(len(_BIN)))
    boxes: DetectionColumns = field(default_factory=lambda: DetectionColumns("bbox"))
    masks: DetectionColumns = field(default_factory=lambda: DetectionColumns("segm"))
    segments: SegmentCounts = field(default_factory=SegmentCounts)
    pixels: PixelCounts = field(default_factory=PixelCounts)

    def add(self, truth: Annotation, answer: Annotation, edits: Sequence[Edit], costs: CostModel) -> None:
        self.work.add(_work_of(edits, costs))
        self.scores.add(_scores_of(edits))
        self.boxes.add(truth, answer)
        if self.with_masks:
            self.masks.add(truth, answer)

    def figures(self, sides: Sequence[_Side], *, seed: int) -> dict[str, tuple[_Classes, Halved]]:
        """Every figure with its classes, which are those of both sides."""
        found = _halve_boxes(self.boxes, "", seed=seed)
        if self.with_masks:
            found |= _halve_boxes(self.masks, "mask_", seed=seed)
            names = _names(one.segments.sums for one in sides)
            iou, tp, fp, fn = _columns(self.segments.sums, names, 4)
            parts, wholes = iou, tp + 0.5 * fp + 0.5 * fn
            found["pq"] = names, halve_ratios(parts, wholes, seed=seed)
            names = tuple(name for name in _names(one.pixels.sums for one in sides) if name)
            true, seen, shared = _columns(self.pixels.sums, names, 3)
            found["miou"] = names, halve_ratios(shared, true + seen - shared, seed=seed)
        bins = _columns(self.scores, SCORE_BINS[:N_BINS], len(_BIN))
        found[CALIBRATION] = (), halve_calibration(*bins, seed=seed)
        return found


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
    seconds, edits = _columns(sums, classes, len(_WORK))
    return NeededWork(seconds, edits)


def _halve_boxes(columns: DetectionColumns, prefix: str, *, seed: int) -> dict[str, tuple[_Classes, Halved]]:
    data = columns.data()
    right = np.stack([one.right for one in match(data)])
    aps = halve(data, right, seed=seed)
    names = tuple(name for name, n in zip(data.labels, aps.images, strict=True) if n)
    return {
        f"{prefix}ap": (names, halve_ap(aps)),
        f"{prefix}ap50": (names, halve_ap(aps, ious=slice(1))),
    }


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
    return Halved(error(np.ones((1, len(n))))[0], error(counts), np.array([n_shown]))


def _names(tables: Iterable[ImageSums]) -> _Classes:
    return tuple(sorted({name for sums in tables for name in sums.totals()}))


def _columns(sums: ImageSums, classes: Sequence[str], n: int) -> list[Floats]:
    """The first ``n`` columns of those classes, (n_images, n_classes) each."""
    table = sums.table(classes, range(n)).reshape(sums.n_images, len(classes), n)
    return [table[:, :, j] for j in range(n)]
