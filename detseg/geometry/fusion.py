"""Weighted box fusion: boxes of several models become their mean, with a score that says how many agree.

Source: Solovyev, Wang and Gabruseva, "Weighted boxes fusion: ensembling boxes from different object detection
models", 2021; the results are those of the authors' package ensemble-boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from detseg.errors import ConfigError
from detseg.geometry.boxes import Floats, box_iou_matrix

Positions = npt.NDArray[np.int64]
ScoreRule = Literal["avg", "max", "box_and_model_avg", "absent_model_aware_avg"]


@dataclass(frozen=True, slots=True)
class FusionOptions:
    """Boxes of one label are one object where their IoU with the mean so far is above ``iou_threshold``.

    Boxes below ``skip_score`` are left out. ``score_rule`` makes a fused score of the weighted scores of its
    boxes (ensemble-boxes calls it ``conf_type``): ``avg`` is their mean, lowered by the share of models that
    did not see the object; ``max`` the largest; ``box_and_model_avg`` and ``absent_model_aware_avg`` weigh
    boxes and absent models by the models' weights. What has less than ``min_score`` after that is left out.
    """

    iou_threshold: float = 0.55
    skip_score: float = 0.0
    score_rule: ScoreRule = "avg"
    min_score: float = 0.0

    def __post_init__(self) -> None:
        for name in ("iou_threshold", "skip_score", "min_score"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is in [0, 1], not {getattr(self, name)}: set a value in between")


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """M fused boxes (M, 4), their scores (M,) and the positions of the boxes that each is made of.

    Sorted by score, best first, then as the best box of each stands in the input. Scores are not negative;
    ``avg`` may exceed 1 where one heavy model saw an object several times.
    """

    boxes: Floats
    scores: Floats
    members: tuple[tuple[int, ...], ...]


def fuse_boxes(
    boxes: Floats,
    scores: Floats,
    labels: npt.NDArray[Any],
    models: Positions,
    *,
    weights: Sequence[float],
    options: FusionOptions = FusionOptions(),
) -> Fused:
    """Boxes (N, 4), ``x0 y0 x1 y1``, with scores (N,), labels (N,) and the model (N,) that each is from.

    ``models`` are positions in ``weights``, which are positive. Boxes without area are left out.
    """
    weight = np.array(weights, dtype=np.float64)
    has_area = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    order = np.argsort(-scores * weight[models], kind="stable")
    taken = order[(has_area & (scores >= options.skip_score))[order]]
    clusters = [
        cluster
        for label in dict.fromkeys(labels[taken].tolist())
        for cluster in _clusters(boxes, scores * weight[models], taken[labels[taken] == label], options)
    ]
    fused = np.array([_mean(boxes[c], (scores * weight[models])[c]) for c in clusters]).reshape(-1, 4)
    agreed = np.array([fused_score(scores[c], models[c], weight, options.score_rule) for c in clusters])
    best = np.array([cluster[0] for cluster in clusters], dtype=np.int64)
    ranks = np.lexsort((best, -agreed))
    ranks = ranks[agreed[ranks] >= options.min_score]
    return Fused(fused[ranks], agreed[ranks], tuple(tuple(clusters[i]) for i in ranks))


def _clusters(boxes: Floats, weighted: Floats, taken: Positions, options: FusionOptions) -> list[list[int]]:
    """Each of the positions, best first, joins the mean box that it overlaps most, or starts a new one."""
    clusters: list[list[int]] = []
    means = np.zeros((taken.size, 4))
    for i in taken.tolist():
        iou = box_iou_matrix(means[: len(clusters)], boxes[i : i + 1])[:, 0]
        nearest = int(np.argmax(iou)) if iou.size else -1
        if nearest < 0 or iou[nearest] <= options.iou_threshold:
            nearest = len(clusters)
            clusters.append([])
        clusters[nearest].append(i)
        means[nearest] = _mean(boxes[clusters[nearest]], weighted[clusters[nearest]])
    return clusters


def _mean(boxes: Floats, weights: Floats) -> Floats:
    """The weighted mean of boxes (N, 4), itself for one box; the plain mean where all weights are 0."""
    mean: Floats = boxes[0]
    if len(boxes) == 1:
        return mean  # to the bit
    weights = weights if weights.any() else np.ones_like(weights)
    mean = (weights[:, None] * boxes).sum(axis=0) / weights.sum()
    return mean


def fused_score(scores: Floats, models: Positions, weights: Floats, rule: ScoreRule) -> float:
    """The score of one fused box, from the scores (N,) and models (N,) of its boxes, N at least 1."""
    weighted, seen = scores * weights[models], np.unique(models)
    if rule == "max":
        return float(weighted.max() / weights.max())
    if rule == "avg":
        return float(weighted.mean() * min(weights.size, scores.size) / weights.sum())
    of_boxes = weights[models].sum()
    if rule == "box_and_model_avg":
        return float(weighted.sum() / of_boxes * weights[seen].sum() / weights.sum())
    absent = weights.sum() - weights[seen].sum()
    return float(weighted.sum() / (of_boxes + absent))
