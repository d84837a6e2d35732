"""Panoptic quality (Kirillov et al., "Panoptic Segmentation", CVPR 2019) of annotations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError
from detseg.geometry.masks import mask_to_bitmap
from detseg.metrics.pairs import Pair, pair_annotations
from detseg.types import Annotation, Kind, Mask, Region

SegmentMap = npt.NDArray[np.int32]
"""Shape (H, W): the number of the segment that owns each pixel, 0 where there is none."""


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


@dataclass(slots=True)
class _Tally:
    iou_sum: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0

    def score(self) -> PanopticScore:
        weight = self.tp + 0.5 * (self.fp + self.fn)
        if weight == 0:
            return PanopticScore(None, None, None)
        sq = self.iou_sum / self.tp if self.tp else 0.0
        return PanopticScore(self.iou_sum / weight, sq, self.tp / weight, self.tp, self.fp, self.fn)


@dataclass(frozen=True, slots=True)
class _Classes:
    kinds: dict[str, Kind] = field(default_factory=dict)
    tallies: defaultdict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))


def panoptic_quality(truth: Iterable[Annotation], predictions: Iterable[Annotation]) -> PanopticQuality:
    """PQ, SQ and RQ of the images that are reviewed (labeled or empty) and predicted.

    Only regions with a mask take part. A pixel has one owner, so where masks overlap the higher score
    wins, then things before stuff, then the smaller mask, then the earlier region; a person's region
    counts as certain. A region that loses all its pixels is no segment. Pixels without a truth region are
    background, not void: a predicted segment that a person deleted counts as false.
    """
    classes = _Classes()
    for pair in pair_annotations(truth, predictions):
        _count_pair(pair, classes)
    per_class = {label: classes.tallies[label].score() for label in sorted(classes.tallies)}
    return summarize_classes(per_class, classes.kinds)


def summarize_classes(per_class: Mapping[str, PanopticScore], kinds: Mapping[str, Kind]) -> PanopticQuality:
    """The means over all classes, things and stuff. Classes without truth and prediction do not count."""
    return PanopticQuality(
        all=_mean(list(per_class.values())),
        things=_mean([score for label, score in per_class.items() if kinds[label] == "thing"]),
        stuff=_mean([score for label, score in per_class.items() if kinds[label] == "stuff"]),
        per_class=dict(per_class),
    )


def paint_segments(annotation: Annotation) -> tuple[SegmentMap, tuple[Region, ...]]:
    """Who owns each pixel: segment number i + 1 belongs to the region at position i of the answer.

    The rules for overlaps are those of ``panoptic_quality``. Regions without a mask, or without a pixel
    left, are not in the answer. FormatError for a mask of another size than its image.
    """
    masks: list[tuple[Region, Mask]] = []
    for region in annotation.regions:
        if region.instance.mask is None:
            continue
        if region.instance.mask.size != annotation.size:
            raise FormatError(
                f"image {annotation.image} is {annotation.size}, the mask of its region {region.id} is "
                f"{region.instance.mask.size}: review it again"
            )
        masks.append((region, region.instance.mask))
    masks.sort(key=lambda entry: _priority(*entry))
    owners = np.zeros((annotation.size.height, annotation.size.width), dtype=np.int32)
    for i in range(len(masks), 0, -1):  # the first one in order is painted last, over the others
        owners[mask_to_bitmap(masks[i - 1][1])] = i
    left = np.flatnonzero(np.bincount(owners.ravel(), minlength=len(masks) + 1)[1:])
    numbers = np.zeros(len(masks) + 1, dtype=np.int32)
    numbers[left + 1] = np.arange(1, len(left) + 1)
    return numbers[owners], tuple(masks[i][0] for i in left)


def _priority(region: Region, mask: Mask) -> tuple[float, bool, int]:
    score = region.instance.score
    return (-1.0 if score is None else -score, region.instance.kind == "stuff", mask.area)


def _count_pair(pair: Pair, classes: _Classes) -> None:
    truth_map, truth = paint_segments(pair.truth)
    predicted_map, predicted = paint_segments(pair.prediction)
    for region in (*predicted, *truth):  # the person's word on the kind counts, should they differ
        classes.kinds[region.instance.label] = region.instance.kind
    iou = _segment_iou(truth_map, predicted_map, shape=(len(truth), len(predicted)))
    matched_truth: set[int] = set()
    matched_predicted: set[int] = set()
    for i, j in zip(*np.nonzero(iou > 0.5), strict=True):
        if truth[i].instance.label == predicted[j].instance.label:
            tally = classes.tallies[truth[i].instance.label]
            tally.tp += 1
            tally.iou_sum += float(iou[i, j])
            matched_truth.add(i)
            matched_predicted.add(j)
    for i, region in enumerate(truth):
        classes.tallies[region.instance.label].fn += i not in matched_truth
    for j, region in enumerate(predicted):
        classes.tallies[region.instance.label].fp += j not in matched_predicted


def _segment_iou(
    truth: SegmentMap, predicted: SegmentMap, *, shape: tuple[int, int]
) -> npt.NDArray[np.float64]:
    n_truth, n_predicted = shape
    codes = truth.astype(np.int64) * (n_predicted + 1) + predicted
    shared = np.bincount(codes.ravel(), minlength=(n_truth + 1) * (n_predicted + 1))
    shared = shared.reshape(n_truth + 1, n_predicted + 1)  # (truth, predicted), number 0 is background
    union = shared.sum(axis=1)[1:, None] + shared.sum(axis=0)[None, 1:] - shared[1:, 1:]
    iou: npt.NDArray[np.float64] = shared[1:, 1:] / union  # no segment is empty, so no union is 0
    return iou


def _mean(scores: Sequence[PanopticScore]) -> PanopticScore:
    """The mean over classes; the counts are sums."""
    defined = [(s.pq, s.sq, s.rq) for s in scores if s.tp + s.fp + s.fn > 0]
    if not defined:
        return PanopticScore(None, None, None)
    pq, sq, rq = (float(value) for value in np.mean(np.array(defined, dtype=np.float64), axis=0))
    counts = (sum(s.tp for s in scores), sum(s.fp for s in scores), sum(s.fn for s in scores))
    return PanopticScore(pq, sq, rq, *counts)
