"""How well predicted masks fit the reviewed ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from detseg.geometry.matching import match_by_label
from detseg.metrics.overlaps import mask_iou_matrix
from detseg.metrics.pairs import Pair, pair_annotations
from detseg.types import Annotation, Mask

MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True)
class MaskFit:
    """Means over matched pairs of masks, in [0, 1]; None without a pair. They say nothing about misses."""

    iou: float | None
    """mean of intersection / union"""
    dice: float | None
    """mean of 2 * intersection / (area of one + area of the other) = 2 * iou / (1 + iou)"""
    n_pairs: int


@dataclass(frozen=True, slots=True)
class MaskScore:
    """The fit over all pairs, and of each class that has a pair."""

    all: MaskFit
    per_class: Mapping[str, MaskFit]


def score_masks(truth: Iterable[Annotation], predictions: Iterable[Annotation]) -> MaskScore:
    """Mask IoU and Dice over the images that are reviewed (labeled or empty) and predicted.

    Masks of one label are paired one to one so that the sum of their IoUs is largest; pairs below IoU 0.5
    are not pairs, their prediction is a false alarm and their truth a miss (panoptic quality counts those).
    """
    ious: defaultdict[str, list[float]] = defaultdict(list)
    for pair in pair_annotations(truth, predictions):
        for label, iou in _matched_ious(pair):
            ious[label].append(iou)
    return MaskScore(
        all=_fit([iou for label in sorted(ious) for iou in ious[label]]),
        per_class={label: _fit(ious[label]) for label in sorted(ious)},
    )


def _matched_ious(pair: Pair) -> list[tuple[str, float]]:
    true_labels, true_masks = _masks(pair.truth)
    labels, masks = _masks(pair.prediction)
    iou = mask_iou_matrix(true_masks, masks)
    matched = match_by_label(true_labels, labels, iou, min_iou=MATCH_IOU)
    return [(true_labels[i], float(iou[i, j])) for i, j in matched]


def _masks(annotation: Annotation) -> tuple[list[str], list[Mask]]:
    instances = [region.instance for region in annotation.regions]
    return (
        [instance.label for instance in instances if instance.mask is not None],
        [instance.mask for instance in instances if instance.mask is not None],
    )


def _fit(ious: list[float]) -> MaskFit:
    if not ious:
        return MaskFit(None, None, 0)
    dices = [2.0 * iou / (1.0 + iou) for iou in ious]
    return MaskFit(sum(ious) / len(ious), sum(dices) / len(dices), len(ious))
