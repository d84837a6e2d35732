"""Panoptic quality (Kirillov et al., "Panoptic Segmentation", CVPR 2019) of annotations and of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hotcoco.panoptic import PanopticEval

from detseg.errors import FormatError
from detseg.formats.coco_panoptic import PanopticFiles, read_coco_panoptic
from detseg.geometry.label_maps import shared_pixels
from detseg.metrics.cases import pair_annotations
from detseg.metrics.image_sums import ImageSums
from detseg.metrics.scenes import Kinds, Scene, paint_scene
from detseg.types import Annotation, Kind

MATCH_IOU = 0.5
"""Segments of one class with a larger IoU match; no segment can have two such partners."""

IOU, TP, FP, FN = range(4)
"""Columns of ``SegmentCounts.sums``."""


@dataclass(frozen=True, slots=True)
class PanopticScore:
    """Quality of one class, or the mean over the classes of a group.

    A truth and a predicted segment of one class match when their IoU is above 0.5, which can be true of
    one pair only. tp, fp and fn count matched pairs, predicted segments without a match, and truth
    segments without one. All three figures are in [0, 1]; they are None where the class (each class of
    the group) has neither truth nor prediction, and sq is 0 where nothing matched, as in panopticapi.
    """

    pq: float | None
    """sum of the matched IoUs / (tp + fp/2 + fn/2) = sq * rq"""
    sq: float | None
    """sum of the matched IoUs / tp: how well the matched segments fit"""
    rq: float | None
    """tp / (tp + fp/2 + fn/2): the F1 score of finding them"""
    tp: int = 0
    fp: int = 0
    fn: int = 0


@dataclass(frozen=True, slots=True)
class PanopticQuality:
    """The means over all classes, over things and over stuff, and each class by name."""

    all: PanopticScore
    things: PanopticScore
    stuff: PanopticScore
    per_class: Mapping[str, PanopticScore]


class SegmentCounts:
    """Matched, false and missed segments of each class, image by image."""

    def __init__(self) -> None:
        self.sums = ImageSums(4)
        """columns ``IOU`` (the sum of the matched IoUs), ``TP``, ``FP`` and ``FN``"""
        self.kinds = Kinds()

    def add(self, scene: Scene) -> None:
        """One more image."""
        self.sums.add(match_segments(scene))
        self.kinds.add(scene)

    def quality(self) -> PanopticQuality:
        """The figures of all images so far."""
        per_class = {label: _score(sums) for label, sums in self.sums.totals().items()}
        return summarize_classes(per_class, self.kinds.by_label())


def panoptic_quality(truth: Iterable[Annotation], predictions: Iterable[Annotation]) -> PanopticQuality:
    """PQ, SQ and RQ of the images that are reviewed (labeled or empty) and predicted.

    Only regions with a mask take part. A pixel has one owner, as ``paint_regions`` says, and a region that
    loses all its pixels is no segment. All regions of one stuff label in an image are one segment. Pixels
    without a truth region are background, not void: a predicted segment that a person deleted counts as
    false.
    """
    counts = SegmentCounts()
    for pair in pair_annotations(truth, predictions):
        counts.add(paint_scene(pair.truth, pair.prediction))
    return counts.quality()


def score_panoptic_files(
    truth_path: Path,
    results_path: Path,
    *,
    truth_masks: Path | None = None,
    results_masks: Path | None = None,
) -> PanopticQuality:
    """PQ, SQ and RQ of COCO panoptic results against their truth, as ``read_coco_panoptic`` reads them.

    hotcoco (Rust, MIT) reads the PNGs and counts; it follows panopticapi: void pixels of the truth and crowds
    neither match nor count against a prediction. Raises FormatError.
    """
    files = read_coco_panoptic(truth_path, results_path, truth_masks=truth_masks, results_masks=results_masks)
    counted = _count_files(files) if files.truth["annotations"] else {}
    categories = sorted(files.truth["categories"], key=lambda category: str(category["name"]))
    return summarize_classes(
        {category["name"]: _score_counted(counted.get(category["id"], {})) for category in categories},
        {category["name"]: "thing" if category["isthing"] else "stuff" for category in categories},
    )


def _count_files(files: PanopticFiles) -> Mapping[int, Mapping[str, Any]]:
    """hotcoco's figures of every category, by its id."""
    truth, results = map(str, files.folders)
    try:
        evaluated = PanopticEval(files.truth, files.results, gt_folder=truth, pred_folder=results)
        evaluated.evaluate()
    except (ValueError, OSError) as error:
        raise FormatError(f"{results} cannot be compared with {truth}: {error}") from error
    per_class: Mapping[int, Mapping[str, Any]] = evaluated.results()["per_class"]
    return per_class


def _score_counted(counted: Mapping[str, Any]) -> PanopticScore:
    tp, fp, fn = (int(counted.get(key, 0)) for key in ("tp", "fp", "fn"))
    if tp + fp + fn == 0:
        return PanopticScore(None, None, None)
    return PanopticScore(float(counted["pq"]), float(counted["sq"]), float(counted["rq"]), tp, fp, fn)


def summarize_classes(per_class: Mapping[str, PanopticScore], kinds: Mapping[str, Kind]) -> PanopticQuality:
    """The means over all classes, things and stuff. Classes without truth and prediction do not count."""
    return PanopticQuality(
        all=_mean(list(per_class.values())),
        things=_mean([score for label, score in per_class.items() if kinds[label] == "thing"]),
        stuff=_mean([score for label, score in per_class.items() if kinds[label] == "stuff"]),
        per_class=dict(per_class),
    )


def match_segments(scene: Scene) -> dict[str, list[float]]:
    """Match an image's segments, and return what they add to each class: the sum of the matched IoUs, tp, fp
    and fn."""
    truth, predicted = scene.truth.segments, scene.prediction.segments
    sums = {segment.label: [0.0, 0, 0, 0] for segment in (*truth, *predicted)}
    for segment in truth:
        sums[segment.label][FN] += 1
    for segment in predicted:
        sums[segment.label][FP] += 1
    iou = _segment_iou(scene)
    for i, j in zip(*np.nonzero(iou > MATCH_IOU), strict=True):
        if truth[i].label == predicted[j].label:
            row = sums[truth[i].label]
            row[IOU] += float(iou[i, j])
            row[TP] += 1
            row[FN] -= 1
            row[FP] -= 1
    return sums


def _segment_iou(scene: Scene) -> npt.NDArray[np.float64]:
    """Of every true segment with every predicted one: (n_truth, n_predicted)."""
    n_truth, n_predicted = len(scene.truth.segments), len(scene.prediction.segments)
    if not n_truth or not n_predicted:
        return np.zeros((n_truth, n_predicted))
    shared = shared_pixels(
        scene.truth.owners, scene.prediction.owners, shape=(n_truth + 1, n_predicted + 1)
    )  # number 0 is background
    union = shared.sum(axis=1)[1:, None] + shared.sum(axis=0)[None, 1:] - shared[1:, 1:]
    iou: npt.NDArray[np.float64] = shared[1:, 1:] / union  # no segment is empty, so no union is 0
    return iou


def _score(sums: npt.NDArray[np.float64]) -> PanopticScore:
    iou_sum, tp, fp, fn = float(sums[IOU]), int(sums[TP]), int(sums[FP]), int(sums[FN])
    weight = tp + 0.5 * (fp + fn)
    if weight == 0:
        return PanopticScore(None, None, None)
    return PanopticScore(iou_sum / weight, iou_sum / tp if tp else 0.0, tp / weight, tp, fp, fn)


def _mean(scores: Sequence[PanopticScore]) -> PanopticScore:
    """The mean over classes; the counts are sums."""
    defined = [(s.pq, s.sq, s.rq) for s in scores if s.tp + s.fp + s.fn > 0]
    if not defined:
        return PanopticScore(None, None, None)
    pq, sq, rq = (float(value) for value in np.mean(np.array(defined, dtype=np.float64), axis=0))
    counts = (sum(s.tp for s in scores), sum(s.fp for s in scores), sum(s.fn for s in scores))
    return PanopticScore(pq, sq, rq, *counts)
