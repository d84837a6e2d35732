"""The detection metrics of hotcoco (Rust, MIT), the only module of ours that calls its evaluation.

It is a port of pycocotools whose arrays the tests hold against pycocotools' own. What we learned about
version 1.3.0, beside what its documentation says:

- ``eval_imgs`` makes Python objects of everything that was matched: 10 s and 2 GB for 500,000 boxes.
  ``image_diagnostics`` gives the matches at one IoU in a twentieth of that.
- Everything but the confusion matrix looks at the 100 best detections of an image and class, as COCO's AP
  does. Other figures than AP are of all detections here: ``max_dets`` is set to what there is.
- Of arrays, ``load_res`` takes the area from the box; masks need ``update_anns``.
- In a tie of scores, its confusion matrix takes the class with the lower id first.
- ``StreamingEval`` answers matrices and errors of zero instead of refusing what it does not know.
- ``tide_errors`` charges nothing for missing a class altogether, against Bolya's own implementation, and
  does not tell classes or images: ``error_kinds`` does it here, with the same rules.
- ``compare`` takes percentiles of resamples, whose AP is higher than that of the images themselves, so that
  its interval may lie beside the figure: ``detection_intervals`` does it here.
- Ids that are text and unused fields of another type than COCO's are refused: they do not get there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import hotcoco
import numpy as np

from detseg.formats.coco_entries import IouType
from detseg.metrics.coco_data import Bools, DetectionData, Floats, Ints, Objects

COCO_IOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""As COCO makes them, rounding included."""

COCO_RECALLS = np.linspace(0.0, 1.0, 101)

MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True)
class CocoArrays:
    """COCO's accumulated evaluation; -1 where there is nothing to measure.

    Of T = 10 IoUs .50:.05:.95, R = 101 recalls 0:.01:1, K classes sorted by id, A = 4 areas (all, small,
    medium, large) and M = 3 limits of detections per image and class (1, 10, 100).
    """

    recalls: Floats
    """(R,)"""
    precision: Floats
    """(T, R, K, A, M), the best at that recall or any higher"""
    recall: Floats
    """(T, K, A, M)"""
    scores: Floats
    """(T, R, K, A, M), the score that reaches the recall"""


@dataclass(frozen=True, slots=True)
class Matches:
    """The match of every detection at one IoU, without a limit of detections per image."""

    truth: Ints
    """(N,), the row of the true object that a detection hit; -1 for none"""

    @property
    def right(self) -> Bools:
        """(N,), whether a detection hit an object"""
        return self.truth >= 0


def evaluate_records(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], iou_type: IouType
) -> CocoArrays:
    """COCO's arrays of a dataset and a list of results as COCO's files have them."""
    shape = "bbox" if iou_type == "bbox" else "segmentation"
    dataset = hotcoco.COCO(
        {
            "images": _only(truth["images"], "id", "width", "height"),
            "categories": _only(truth["categories"], "id", "name"),
            "annotations": _only(
                truth["annotations"], "id", "image_id", "category_id", shape, "area", "iscrowd"
            ),
        }
    )
    found = dataset.load_res(_only(results, "image_id", "category_id", "bbox", shape, "score"))
    return _arrays(hotcoco.COCOeval(dataset, found, iou_type))


def evaluate(data: DetectionData) -> CocoArrays:
    """COCO's arrays of those columns; classes in the order of their labels."""
    return _arrays(_evaluator(data))


def match(data: DetectionData, ious: Sequence[float] = COCO_IOUS) -> tuple[Matches, ...]:
    """Match each detection with the true object of its class that it hits, best score first, as COCO does, at
    each IoU."""
    evaluator = _evaluator(data)
    evaluator.params.area_rng, evaluator.params.area_rng_lbl = [[0.0, 1e10]], ["all"]
    evaluator.params.iou_thrs = list(ious)
    evaluator.params.max_dets = [max(1, len(data.found))]
    evaluator.evaluate()
    return tuple(_matches(evaluator, iou, len(data.found)) for iou in ious)


def _matches(evaluator: hotcoco.COCOeval, iou: float, n_found: int) -> Matches:
    hits: Mapping[int, int] = evaluator.image_diagnostics(iou_thr=iou)["dt_match"]
    truth = np.full(n_found, -1, dtype=np.int64)
    rows = np.fromiter(hits.keys(), dtype=np.int64, count=len(hits)) - 1  # ids count from 1
    truth[rows] = np.fromiter(hits.values(), dtype=np.int64, count=len(hits)) - 1
    return Matches(truth)


def confuse(data: DetectionData, *, min_score: float) -> Ints:
    """Count how often each label (row) was taken for each label (column): (K + 1, K + 1), the last is
    background.

    Objects and detections of all classes meet at IoU 0.5, the best score first.
    """
    if not data.labels:
        return np.zeros((1, 1), dtype=np.int64)
    matrix = _evaluator(data).confusion_matrix(
        iou_thr=MATCH_IOU, min_score=min_score, max_det=max(1, len(data.found))
    )["matrix"]
    return np.asarray(matrix, dtype=np.int64)


def overlaps(data: DetectionData) -> Iterator[tuple[slice, slice, Floats]]:
    """Of every image with both: the rows of its detections and of its truth, and their IoU (n, m)."""
    n_images = len(data.images)
    found = np.searchsorted(data.found.image, np.arange(n_images + 1))
    truth = np.searchsorted(data.truth.image, np.arange(n_images + 1))
    for i in np.flatnonzero((found[1:] > found[:-1]) & (truth[1:] > truth[:-1])):
        rows, columns = slice(found[i], found[i + 1]), slice(truth[i], truth[i + 1])
        yield rows, columns, _iou(data, rows, columns)


def average_precision(scores: Floats, right: Bools, n_truth: int) -> float:
    """COCO's AP of one class at one IoU: detections sorted by score, equal scores as they come."""
    return float(hotcoco.metrics.average_precision(scores, right, n_truth))


def calibration_bins(scores: Floats, right: Bools, n_bins: int) -> list[dict[str, Any]]:
    """Bins of equal width: ``bin_lower, bin_upper, avg_confidence, avg_accuracy, count``."""
    return list(hotcoco.metrics.calibration_curve(scores, right, n_bins))


def _only(entries: Iterable[Mapping[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """hotcoco refuses what it does not need, where it has another type than COCO says."""
    return [{key: entry[key] for key in keys if entry.get(key) is not None} for entry in entries]


def _iou(data: DetectionData, rows: slice, columns: slice) -> Floats:
    no_crowd = np.zeros(columns.stop - columns.start, dtype=np.bool_)
    if data.found.masks is None or data.truth.masks is None:
        return hotcoco.mask.bbox_iou(data.found.xywh[rows], data.truth.xywh[columns], no_crowd)
    iou = hotcoco.mask.iou(data.found.masks[rows], data.truth.masks[columns], no_crowd)
    return np.maximum(iou, 0.0)  # -1 for masks of different sizes


def _evaluator(data: DetectionData) -> hotcoco.COCOeval:
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(data.labels)]
    truth, found = data.truth, data.found
    dataset = hotcoco.COCO.from_arrays(
        [{"id": i + 1} for i in range(len(data.images))],
        categories,
        truth.image + 1,
        truth.label + 1,
        truth.xywh,
        area=truth.area,
        segmentation=None if truth.masks is None else list(truth.masks),
    )
    return hotcoco.COCOeval(dataset, _load_found(dataset, found), data.iou_type)


def _load_found(dataset: hotcoco.COCO, found: Objects) -> hotcoco.COCO:
    rows = np.column_stack([found.image + 1, found.xywh, found.score, found.label + 1])  # (N, 7)
    if found.masks is None:
        return dataset.load_res(rows)
    results = dataset.load_res(rows, segmentation=list(found.masks))
    results.update_anns(ids=np.arange(1, len(found) + 1), area=found.area)
    return results


def _arrays(evaluator: hotcoco.COCOeval) -> CocoArrays:
    evaluator.evaluate()
    evaluator.accumulate()
    arrays = evaluator.eval
    assert arrays is not None  # accumulate() was called
    precision, recall, scores = (np.asarray(arrays[name]) for name in ("precision", "recall", "scores"))
    return CocoArrays(np.array(evaluator.params.rec_thrs), precision, recall, scores)
