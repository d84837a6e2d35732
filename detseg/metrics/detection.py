"""COCO's detection scores of files and of annotations.

The evaluation itself is hotcoco's (Rust, MIT), a port of pycocotools whose numbers the tests hold against
pycocotools' own. Where COCO writes -1 for "nothing to measure", we say None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hotcoco
import numpy as np
import numpy.typing as npt

from detseg.metrics.calibration import Calibration
from detseg.metrics.coco_files import IouType, read_coco_results, read_coco_truth
from detseg.metrics.coco_records import annotations_to_coco
from detseg.metrics.error_kinds import ErrorCosts
from detseg.metrics.operating import OperatingCurves
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
    96x96 on. Crowds are neither found nor missed.
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
    """What truth was taken for what, at IoU 0.5 and a score threshold.

    ``counts[i][j]`` is how often truth ``labels[i]`` was predicted as ``labels[j]``. The last row and
    column are background: false alarms and misses.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    min_score: float


@dataclass(frozen=True, slots=True)
class DetectionQuality:
    """How well a model finds things, by box or by mask, on the images that people judged.

    ``n_unreviewed`` images were predicted and nobody judged them: they do not count. ``n_left_out`` things
    of truth and prediction have no mask where masks are compared; ``n_misfit_masks`` have one of another
    size than their image, which overlaps nothing.
    """

    iou_type: IouType
    n_images: int
    n_unreviewed: int
    n_truth: int
    n_predicted: int
    n_left_out: int
    n_misfit_masks: int
    score: DetectionScore
    curves: Mapping[str, PrecisionRecall]
    operating: OperatingCurves
    confusion: Confusion
    errors: ErrorCosts
    calibration: Calibration


def score_coco_files(truth_path: Path, results_path: Path, iou_type: IouType) -> DetectionScore:
    """The scores of a COCO results file against a COCO truth file.

    Raises FormatError for a file that is not what it should be, with the entry and the reason.
    """
    truth = read_coco_truth(truth_path, iou_type)
    results = read_coco_results(results_path, iou_type, truth)
    return _score(_evaluate(truth, results, iou_type), truth)


def score_annotations(
    truth: Iterable[Annotation], predictions: Iterable[Annotation], iou_type: IouType
) -> DetectionScore:
    """The scores of predictions against reviews, for things on images that were reviewed and predicted.

    A thing without a box counts with the tight box of its mask (bbox), one without a mask not at all
    (segm). As in COCO, the size of an object is the area of its mask where it has one.
    """
    dataset, results = annotations_to_coco(truth, predictions, iou_type)
    return _score(_evaluate(dataset, results, iou_type), dataset)


def precision_recall(
    truth: Iterable[Annotation], predictions: Iterable[Annotation], iou_type: IouType
) -> dict[str, PrecisionRecall]:
    """The precision-recall curve at IoU 0.5 of every class that has truth, by name."""
    dataset, results = annotations_to_coco(truth, predictions, iou_type)
    evaluated = _evaluate(dataset, results, iou_type)
    recalls = tuple(evaluated.params.rec_thrs)
    arrays = _arrays(evaluated)
    curves: dict[str, PrecisionRecall] = {}
    for k, category in enumerate(dataset["categories"]):
        precision, score = (arrays[name][0, :, k, 0, -1] for name in ("precision", "scores"))  # (101,)
        if precision[0] > -1:
            curves[category["name"]] = PrecisionRecall(
                recalls, tuple(precision.tolist()), tuple(np.maximum(score, 0.0).tolist())
            )
    return curves


def confusion(
    truth: Iterable[Annotation],
    predictions: Iterable[Annotation],
    iou_type: IouType,
    *,
    min_score: float,
) -> Confusion:
    """Which class was taken for which; objects are matched across classes, best score first."""
    dataset, results = annotations_to_coco(truth, predictions, iou_type)
    labels = tuple(category["name"] for category in dataset["categories"])
    if not labels:
        return Confusion((), ((0,),), min_score)
    matrix = _evaluate(dataset, results, iou_type).confusion_matrix(iou_thr=0.5, min_score=min_score)
    counts = tuple(tuple(int(n) for n in row) for row in matrix["matrix"])
    return Confusion(labels, counts, min_score)


def _evaluate(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], iou_type: IouType
) -> hotcoco.COCOeval:
    truth_index = hotcoco.COCO(dict(truth))
    found = truth_index.load_res([dict(entry) for entry in results])
    evaluated = hotcoco.COCOeval(truth_index, found, iou_type)
    evaluated.evaluate()
    evaluated.accumulate()
    return evaluated


def _arrays(evaluated: hotcoco.COCOeval) -> dict[str, npt.NDArray[np.float64]]:
    """precision and scores (T, R, K, A, M) and recall (T, K, A, M): IoU, recall, class, area, detections."""
    arrays = evaluated.eval
    assert arrays is not None  # accumulate() was called
    return {name: np.asarray(arrays[name]) for name in ("precision", "recall", "scores")}


def _score(evaluated: hotcoco.COCOeval, truth: Mapping[str, Any]) -> DetectionScore:
    arrays = _arrays(evaluated)
    precision, recall = arrays["precision"], arrays["recall"]
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
        per_class=_per_class(precision, truth),
        n_images=len(truth["images"]),
    )


def _per_class(precision: npt.NDArray[np.float64], truth: Mapping[str, Any]) -> dict[str, ClassScore]:
    n_truth = dict.fromkeys((category["id"] for category in truth["categories"]), 0)
    for annotation in truth["annotations"]:
        n_truth[annotation["category_id"]] += not annotation["iscrowd"]
    scores: dict[str, ClassScore] = {}
    for k, category in enumerate(sorted(truth["categories"], key=lambda category: int(category["id"]))):
        ours = precision[:, :, k, 0, 2]  # (T, R)
        scores[category["name"]] = ClassScore(
            ap=_mean(ours), ap50=_mean(ours[0]), ap75=_mean(ours[5]), n_truth=n_truth[category["id"]]
        )
    return scores


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else None
