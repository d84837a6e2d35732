"""COCO's detection scores of files and of annotations.

The evaluation itself is hotcoco's (Rust, MIT), a port of pycocotools whose numbers the tests hold against
pycocotools' own. Where COCO writes -1 for "nothing to measure", we say None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from detseg.formats.coco_entries import IouType
from detseg.formats.coco_results import read_coco_files
from detseg.metrics.calibration import Calibration, calibrate
from detseg.metrics.cases import Case, pair_annotations
from detseg.metrics.coco_data import DetectionColumns, DetectionData, Floats
from detseg.metrics.coco_eval import CocoArrays, confuse, evaluate, evaluate_records, match
from detseg.metrics.detection_intervals import (
    estimate_ap,
    estimate_ap_per_class,
    estimate_precision,
    estimate_recall,
    halve,
)
from detseg.metrics.error_kinds import ErrorCosts, error_costs
from detseg.metrics.intervals import Estimate
from detseg.metrics.operating import OperatingCurves, operating_curves
from detseg.types import Annotation


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Average precision of one class, in [0, 1]; None where the class has no truth."""

    ap: float | None
    """mean over IoU .50:.05:.95 of the interpolated precision at 101 recalls"""
    ap50: float | None
    ap75: float | None
    n_truth: int
    """Objects in the truth, without crowds."""


@dataclass(frozen=True, slots=True)
class DetectionScore:
    """COCO's twelve figures (https://cocodataset.org/#detection-eval), each in [0, 1] or None.

    ``ap*`` are means over the classes that have truth; ``ar_n`` is the recall with the n best detections
    per image, as a mean over classes and IoU .50:.05:.95. Small is below 32x32 pixels of area, large from
    96x96 on. Crowds are neither found nor missed. ``notes`` are lines for people on what was done about
    anything unusual in files.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar_1: float | None
    ar_10: float | None
    ar_100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    per_class: Mapping[str, ClassScore]
    n_images: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """The curve of one class at IoU 0.5, at 101 recalls from 0 to 1.

    ``precision`` is interpolated as COCO does (the best at that recall or any higher), ``score`` the
    threshold that reaches the recall; both are 0 where it is out of reach.
    """

    recall: tuple[float, ...]
    precision: tuple[float, ...]
    score: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """The confusion matrix of labels, at IoU 0.5 and a score threshold.

    ``counts[i][j]`` is how often truth ``labels[i]`` was predicted as ``labels[j]``. The last row and
    column are background: false alarms and misses.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    min_score: float


@dataclass(frozen=True, slots=True)
class DetectionQuality:
    """The quality with which a model finds things, by box or by mask, on the images that people judged.

    ``n_unreviewed`` images were opened and nobody judged them: they do not count, as those that nobody opened
    (``Basis.states``). ``n_left_out`` things of truth and prediction have no mask where masks are compared;
    ``n_misfit_masks`` have one of another size than their image, which overlaps nothing. ``ap*`` are those
    of ``score`` with intervals; ``precision`` and ``recall`` are of all objects together, at IoU 0.5 and the
    confusion's ``min_score``.
    """

    iou_type: IouType
    n_images: int
    n_unreviewed: int
    n_truth: int
    n_predicted: int
    n_left_out: int
    n_misfit_masks: int
    ap: Estimate
    ap50: Estimate
    ap_per_class: Mapping[str, Estimate]
    precision: Estimate
    recall: Estimate
    score: DetectionScore
    curves: Mapping[str, PrecisionRecall]
    operating: OperatingCurves
    confusion: Confusion
    errors: ErrorCosts
    calibration: Calibration


@dataclass(slots=True)
class DetectionTally:
    """Takes cases one by one and keeps of them what the metrics need, boxes or masks in columns."""

    iou_type: IouType
    min_score: float = 0.0
    """Of the detections that confusion, precision and recall count."""
    seed: int = 0
    """Of the images that are drawn for the intervals."""
    n_unreviewed: int = 0
    _columns: DetectionColumns = field(init=False)

    def __post_init__(self) -> None:
        self._columns = DetectionColumns(self.iou_type)

    def add(self, case: Case) -> None:
        """Takes the model's answer and the review that counts; decoys are none of the model's."""
        truth = case.truth
        if truth is None:
            self.n_unreviewed += 1
        else:
            self.add_pair(truth, case.prediction)

    def add_pair(self, truth: Annotation, prediction: Annotation) -> None:
        """Takes a model's answer about an image and what is known to be true."""
        self._columns.add(truth, prediction)

    def score(self) -> DetectionScore:
        """The part of ``result`` that COCO has: the fastest."""
        data = self._columns.data()
        return _score_data(data, evaluate(data))

    def result(self) -> DetectionQuality:
        """Everything that is measured of the cases so far; the same in whatever order they came."""
        data = self._columns.data()
        score = _score_data(data, arrays := evaluate(data))
        by_iou = match(data)
        matches = by_iou[0]
        aps = halve(data, np.stack([one.right for one in by_iou]), seed=self.seed)
        n_images = len(data.images)
        return DetectionQuality(
            iou_type=self.iou_type,
            n_images=n_images,
            n_unreviewed=self.n_unreviewed,
            n_truth=len(data.truth),
            n_predicted=len(data.found),
            n_left_out=self._columns.n_left_out,
            n_misfit_masks=self._columns.n_misfit_masks,
            ap=estimate_ap(score.ap, aps),
            ap50=estimate_ap(score.ap50, aps, ious=slice(1)),
            ap_per_class=estimate_ap_per_class(
                data.labels, [score.per_class[name].ap for name in data.labels], aps
            ),
            precision=estimate_precision(data, matches, min_score=self.min_score),
            recall=estimate_recall(data, matches, min_score=self.min_score),
            score=score,
            curves=_curves(arrays, data.labels),
            operating=operating_curves(data, matches),
            confusion=_confusion(data, self.min_score),
            errors=error_costs(data, matches),
            calibration=calibrate(data, matches),
        )


def score_coco_files(truth_path: Path, results_path: Path, iou_type: IouType) -> DetectionScore:
    """Compute COCO's twelve figures of a results file against a truth file, as pycocotools does.

    ``iou_type`` is "bbox" or "segm". Figures are in [0, 1], and None where there is nothing to measure;
    ``notes`` say what was done about anything unusual. Raises FormatError for a file that is not what it
    should be, with the entry and the reason.
    """
    files = read_coco_files(truth_path, results_path, iou_type)
    categories = sorted(files.truth.categories, key=lambda category: int(category["id"]))
    n_truth = Counter(entry["category_id"] for entry in files.truth.annotations if not entry["iscrowd"])
    score = _score(
        evaluate_records(files.truth.as_json(), files.results, iou_type),
        [category["name"] for category in categories],
        [n_truth[category["id"]] for category in categories],
        n_images=len(files.truth.images),
    )
    return replace(score, notes=files.notes)


def score_annotations(
    truth: Iterable[Annotation], predictions: Iterable[Annotation], iou_type: IouType
) -> DetectionScore:
    """Compute COCO's figures of predictions against reviews, for things on images that have both.

    A thing without a box counts with the tight box of its mask (bbox), one without a mask not at all
    (segm). As in COCO, the size of an object is the area of its mask where it has one.
    """
    data = _data(truth, predictions, iou_type)
    return _score_data(data, evaluate(data))


def _data(truth: Iterable[Annotation], predictions: Iterable[Annotation], iou_type: IouType) -> DetectionData:
    columns = DetectionColumns(iou_type)
    for pair in pair_annotations(truth, predictions):
        columns.add(pair.truth, pair.prediction)
    return columns.data()


def _score_data(data: DetectionData, arrays: CocoArrays) -> DetectionScore:
    n_truth = [int(n) for n in np.bincount(data.truth.label, minlength=len(data.labels))]
    return _score(arrays, data.labels, n_truth, n_images=len(data.images))


def _confusion(data: DetectionData, min_score: float) -> Confusion:
    counts = confuse(data, min_score=min_score)
    return Confusion(data.labels, tuple(tuple(int(n) for n in row) for row in counts), min_score)


def _curves(arrays: CocoArrays, labels: Sequence[str]) -> dict[str, PrecisionRecall]:
    recalls = tuple(arrays.recalls.tolist())
    curves: dict[str, PrecisionRecall] = {}
    for k, name in enumerate(labels):
        precision, score = (array[0, :, k, 0, -1] for array in (arrays.precision, arrays.scores))  # (R,)
        if precision[0] > -1:
            curves[name] = PrecisionRecall(
                recalls, tuple(precision.tolist()), tuple(np.maximum(score, 0.0).tolist())
            )
    return curves


def _score(
    arrays: CocoArrays, labels: Sequence[str], n_truth: Sequence[int], *, n_images: int
) -> DetectionScore:
    precision, recall = arrays.precision, arrays.recall
    by_area = {"all": 0, "small": 1, "medium": 2, "large": 3}
    ap = {name: _mean(precision[:, :, :, a, 2]) for name, a in by_area.items()}
    ar = {name: _mean(recall[:, :, a, 2]) for name, a in by_area.items()}
    return DetectionScore(
        ap=ap["all"],
        ap50=_mean(precision[0, :, :, 0, 2]),
        ap75=_mean(precision[5, :, :, 0, 2]),
        ap_small=ap["small"],
        ap_medium=ap["medium"],
        ap_large=ap["large"],
        ar_1=_mean(recall[:, :, 0, 0]),
        ar_10=_mean(recall[:, :, 0, 1]),
        ar_100=ar["all"],
        ar_small=ar["small"],
        ar_medium=ar["medium"],
        ar_large=ar["large"],
        per_class={name: _class_score(precision[:, :, k, 0, 2], n_truth[k]) for k, name in enumerate(labels)},
        n_images=n_images,
    )


def _class_score(precision: Floats, n_truth: int) -> ClassScore:
    """Of the precision (T, R) of one class."""
    return ClassScore(
        ap=_mean(precision), ap50=_mean(precision[0]), ap75=_mean(precision[5]), n_truth=n_truth
    )


def _mean(values: Floats) -> float | None:
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else None
