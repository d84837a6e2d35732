"""cleanlab's label quality (ObjectLab) of the images of a project: overlooked, badly located, swapped boxes.

The scores are cleanlab's own. It would work out overlaps pair by pair in Python, so it gets them as arrays,
and only the boxes that can change a score. It is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from detseg.geometry.boxes import box_iou_matrix
from detseg.metrics.suspects.counterparts import Matrix
from detseg.metrics.suspects.findings import ImageQuality, LabelQuality
from detseg.metrics.suspects.scene import Layer, Scene
from detseg.types import Box, ImageId

Numbers = npt.NDArray[np.int64]

NO_PIXEL_SCORES = (
    "cleanlab's segmentation label quality was not computed: it needs the probability of every class at "
    "every pixel, and the catalog keeps masks with one score each"
)


@dataclass(frozen=True, slots=True)
class _Image:
    """The things of one image: what was labeled (N) and what the model says (M)."""

    image: ImageId
    task_id: int
    task_url: str
    author: str
    boxes: Matrix  # (N, 4)
    labels: Numbers  # (N,)
    predicted_boxes: Matrix  # (M, 4)
    predicted_labels: Numbers  # (M,)
    probabilities: Matrix  # (M,)


@dataclass(slots=True)
class QualityTally:
    """Collects boxes; cleanlab compares them when all are known, for its scale is the whole project's."""

    _images: list[_Image] = field(default_factory=list, init=False)
    _numbers: dict[str, int] = field(default_factory=dict, init=False)

    def add(self, scene: Scene) -> None:
        boxes, labels, _ = self._things(scene.layer, np.ones(len(scene.layer.shapes)))
        predicted_boxes, predicted_labels, probabilities = self._things(scene.model.layer, scene.model.trust)
        self._images.append(
            _Image(
                image=scene.case.image,
                task_id=scene.case.task_id,
                task_url=scene.case.task_url,
                author=scene.truth.author,
                boxes=boxes,
                labels=labels,
                predicted_boxes=predicted_boxes,
                predicted_labels=predicted_labels,
                probabilities=probabilities,
            )
        )

    def _things(self, layer: Layer, trust: Matrix) -> tuple[Matrix, Numbers, Matrix]:
        things = [i for i, shape in enumerate(layer.shapes) if shape.region.instance.kind == "thing"]
        names = (layer.shapes[i].region.instance.label for i in things)
        numbers = [self._numbers.setdefault(name, len(self._numbers)) for name in names]
        return layer.boxes[things], np.array(numbers, dtype=np.int64), trust[things]

    def scores(self) -> tuple[ImageQuality, ...]:
        """Every image's quality, in the order of adding."""
        from cleanlab.internal.constants import ALPHA, EUC_FACTOR

        similarities = [_similarity(one, alpha=ALPHA, decay=EUC_FACTOR) for one in self._images]
        least = min((float(s[s > 0].min()) for s in similarities if (s > 0).any()), default=1.0)
        return tuple(
            _score(one, similarity, least) for one, similarity in zip(self._images, similarities, strict=True)
        )


def summarize_quality(scores: Sequence[ImageQuality], *, keep: int) -> LabelQuality:
    """The figures over all images, with the worst ones."""
    worst = sorted(scores, key=lambda one: (one.quality, one.image))[:keep]
    mean = fmean(one.quality for one in scores) if scores else None
    return LabelQuality(len(scores), mean, tuple(worst), (NO_PIXEL_SCORES,))


def _similarity(image: _Image, *, alpha: float, decay: float) -> Matrix:
    """cleanlab's similarity of what was labeled and what was predicted, (N, M), in [0, 1]."""
    labeled, predicted = ((boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (image.boxes, image.predicted_boxes))
    distance_px = np.hypot(*(labeled[:, None] - predicted[None, :]).transpose(2, 0, 1))
    iou = box_iou_matrix(image.boxes, image.predicted_boxes)
    similarity: Matrix = alpha * iou + (1 - alpha) * np.exp(-decay * distance_px)
    return similarity


def _score(image: _Image, similarity: Matrix, least: float) -> ImageQuality:
    """cleanlab's three scores of one image and their geometric mean, with the box of the lowest."""
    from cleanlab.internal.constants import HIGH_PROBABILITY_THRESHOLD, LABEL_OVERLAP_THRESHOLD, TINY_VALUE
    from cleanlab.object_detection import rank

    iou = box_iou_matrix(image.boxes, image.predicted_boxes)
    sure = image.probabilities >= HIGH_PROBABILITY_THRESHOLD
    far = np.flatnonzero(sure & ~(iou > 0).any(axis=0))  # no other box is overlooked
    inputs = partial(_inputs, image, similarity, iou, least=least)
    overlap = box_iou_matrix(image.boxes, image.boxes) >= LABEL_OVERLAP_THRESHOLD
    per_box = (
        rank.compute_overlooked_box_scores(auxiliary_inputs=inputs(far))[0],
        rank.compute_badloc_box_scores(auxiliary_inputs=inputs(np.arange(sure.size)))[0],
        rank.compute_swap_box_scores(
            auxiliary_inputs=inputs(np.flatnonzero(sure)),
            overlapping_label_check=bool((overlap & (image.labels[:, None] != image.labels)).any()),
        )[0],
    )
    overlooked, badloc, swap = (float(pooled) for pooled in rank.pool_box_scores_per_image(list(per_box)))
    boxes = (image.predicted_boxes[far], image.boxes, image.boxes)
    lowest = min(
        (
            (score, box)
            for scores, of in zip(per_box, boxes, strict=True)
            for score, box in zip(scores, of, strict=True)
        ),
        key=lambda one: one[0],
        default=None,
    )
    return ImageQuality(
        image=image.image,
        task_id=image.task_id,
        task_url=image.task_url,
        author=image.author,
        quality=float(np.exp(np.log(np.array((overlooked, badloc, swap)) + TINY_VALUE).mean())),
        overlooked=overlooked,
        badloc=badloc,
        swap=swap,
        box=Box(*map(float, lowest[1])) if lowest else None,
    )


def _inputs(
    image: _Image, similarity: Matrix, iou: Matrix, which: Numbers, *, least: float
) -> list[dict[str, Any]]:
    """One image as cleanlab takes it once overlaps are known, with those of its predicted boxes."""
    return [
        {
            "pred_labels": image.predicted_labels[which],
            "pred_label_probs": image.probabilities[which],
            "pred_bboxes": image.predicted_boxes[which],
            "lab_labels": image.labels,
            "lab_bboxes": image.boxes,
            "similarity_matrix": similarity[:, which],
            "iou_matrix": iou[:, which],
            "min_possible_similarity": least,
        }
    ]
