"""ObjectLab's label quality of the images of a project: overlooked, badly located, swapped boxes.

Source: Tkachenko, Thyagarajan, Mueller, "ObjectLab: Automated Diagnosis of Mislabeled Images in Object
Detection Data", 2023, as cleanlab 2.9 computes it pair by pair in Python, with its constants: the tests
compare with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import numpy.typing as npt

from detseg.geometry.boxes import box_iou_matrix
from detseg.metrics.suspects.counterparts import Choice, Matrix
from detseg.metrics.suspects.findings import ImageQuality, LabelQuality
from detseg.metrics.suspects.scene import Layer, Scene
from detseg.types import Box, ImageId

Numbers = npt.NDArray[np.int64]

_IOU_WEIGHT = 0.9
"""Of the similarity of two boxes; the rest is how near their centres are."""
_DECAY_PER_PX = 0.1
_LOW_PROBABILITY, _HIGH_PROBABILITY = 0.5, 0.95
_ONE_OBJECT_IOU = 0.95
_TEMPERATURE = 0.1
_TINY = 1e-100

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
    """Collects boxes; they are compared when all are known, for the scale is the whole project's."""

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
        compared = [_compare(one) for one in self._images]
        least = min((float(s[s > 0].min()) for _, s in compared if (s > 0).any()), default=1.0)
        return tuple(
            _score(image, iou, similarity, least)
            for image, (iou, similarity) in zip(self._images, compared, strict=True)
        )


def summarize_quality(scores: Sequence[ImageQuality], *, keep: int) -> LabelQuality:
    """The figures over all images, with the worst ones."""
    worst = sorted(scores, key=lambda one: (one.quality, one.image))[:keep]
    mean = fmean(one.quality for one in scores) if scores else None
    return LabelQuality(len(scores), mean, tuple(worst), (NO_PIXEL_SCORES,))


def _compare(image: _Image) -> tuple[Matrix, Matrix]:
    """The IoU and the similarity of what was labeled and what was predicted: (N, M) both, in [0, 1]."""
    labeled, predicted = ((boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (image.boxes, image.predicted_boxes))
    distance_px = np.hypot(*(labeled[:, None] - predicted[None, :]).transpose(2, 0, 1))
    iou = box_iou_matrix(image.boxes, image.predicted_boxes)
    similarity: Matrix = _IOU_WEIGHT * iou + (1 - _IOU_WEIGHT) * np.exp(-_DECAY_PER_PX * distance_px)
    return iou, similarity


def _score(image: _Image, iou: Matrix, similarity: Matrix, least: float) -> ImageQuality:
    """The three scores of one image and their geometric mean, with the box of the lowest.

    ``least`` is the smallest similarity of two boxes in the project.
    """
    same = image.labels[:, None] == image.predicted_labels
    far = np.flatnonzero((image.probabilities >= _HIGH_PROBABILITY) & ~(iou > 0).any(axis=0))
    per_box = (
        _overlooked(similarity[:, far], same[:, far], least * (1 - image.probabilities[far])),
        _badly_located(similarity, same & (iou > 0) & (image.probabilities > _LOW_PROBABILITY)),
        _swapped(image, similarity, ~same & (image.probabilities > _HIGH_PROBABILITY), least),
    )
    overlooked, badloc, swap = (_softmin(scores) for scores in per_box)
    every = np.concatenate(per_box)
    boxes = np.concatenate((image.predicted_boxes[far], image.boxes, image.boxes))
    return ImageQuality(
        image=image.image,
        task_id=image.task_id,
        task_url=image.task_url,
        author=image.author,
        quality=float(np.exp(np.log(np.array((overlooked, badloc, swap)) + _TINY).mean())),
        overlooked=overlooked,
        badloc=badloc,
        swap=swap,
        box=Box(*boxes[int(np.argmin(every))].tolist()) if len(every) else None,
    )


def _overlooked(similarity: Matrix, same: Choice, alone: Matrix) -> Matrix:
    """Of predictions that nothing overlaps (M,): the similarity of the nearest label of their class, else
    ``alone`` (M,)."""
    nearest = np.where(same, similarity, 0.0).max(axis=0, initial=0.0)
    scores: Matrix = np.where(same.any(axis=0), nearest, alone)
    return scores


def _badly_located(similarity: Matrix, met: Choice) -> Matrix:
    """Of labels (N,): the similarity of the best prediction that each ``met``, else 1."""
    best = np.where(met, similarity, 0.0).max(axis=1, initial=0.0)
    scores: Matrix = np.where(met.any(axis=1), best, 1.0)
    return scores


def _swapped(image: _Image, similarity: Matrix, other: Choice, least: float) -> Matrix:
    """Of labels (N,): 1 - the similarity of the nearest sure prediction of another class (``other``).

    ``least`` at least, and where one object has two labels.
    """
    scores: Matrix = np.maximum(least, 1.0 - np.where(other, similarity, 0.0).max(axis=1, initial=0.0))
    scores[~other.any(axis=1)] = 1.0
    one_object = box_iou_matrix(image.boxes, image.boxes) >= _ONE_OBJECT_IOU
    scores[(one_object & (image.labels[:, None] != image.labels)).any(axis=1)] = least
    return scores


def _softmin(scores: Matrix) -> float:
    """The mean of scores, the lower of which weigh far more; 1 of none."""
    if not len(scores):
        return 1.0
    weights = np.exp((scores.min() - scores) / _TEMPERATURE)
    return float((weights * scores).sum() / weights.sum())
