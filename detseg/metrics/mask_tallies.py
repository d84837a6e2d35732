"""Masks of the cases of QA, as semantic and as panoptic segmentation.

Only regions with a mask take part, and a pixel has one owner: ``detseg.metrics.scenes`` says which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from detseg.errors import FormatError
from detseg.geometry.label_maps import renumber
from detseg.metrics import panoptic, semantic
from detseg.metrics.bootstrap import bootstrap
from detseg.metrics.cases import Case
from detseg.metrics.image_sums import Floats, ImageSums
from detseg.metrics.intervals import Estimate
from detseg.metrics.panoptic import PanopticScore, SegmentCounts
from detseg.metrics.scenes import Kinds, Scene, label_numbers, paint_scene
from detseg.metrics.semantic import ClassPixels, PixelCounts, PixelMeans, count_pixels, mean_of_classes
from detseg.types import ImageId

_BACKGROUND = ""
"""The name of pixels without a mask; no class has an empty one."""

_KINDS = ("thing", "stuff")


@dataclass(frozen=True, slots=True)
class PixelConfusion:
    """The confusion matrix of pixels.

    ``counts[i][j]`` are the pixels of truth ``labels[i]`` that were predicted as ``labels[j]``. The last row
    and column are background: pixels without a mask.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class MaskImages:
    """The images that the figures on masks rest on, and why others are not among them."""

    n_images: int
    """images with a mask in the truth or in the prediction: those that count"""
    n_without_masks: int
    """reviewed images without a mask on either side: they would make every pixel right"""
    n_unreviewed: int
    """images that were opened and that nobody judged"""
    left_out: Mapping[ImageId, str]
    """images that cannot be measured, such as those with a mask of another size, and why"""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Semantic segmentation against the reviews; intervals are from resampling the images.

    A pixel counts for the label of its owner. The figures are defined as those of ``SemanticScore``;
    background is no class of the means.
    """

    pixel_accuracy: Estimate
    mean_accuracy: Estimate
    miou: Estimate
    dice: Estimate
    boundary_iou: Estimate
    all: PixelMeans
    """the means over all classes, also where the images are too few for an interval"""
    things: PixelMeans
    stuff: PixelMeans
    per_class: Mapping[str, ClassPixels]
    confusion: PixelConfusion
    images: MaskImages


@dataclass(frozen=True, slots=True)
class Panoptic:
    """Panoptic quality against the reviews; intervals are from resampling the images."""

    pq: Estimate
    """PQ, the mean over all classes"""
    pq_things: Estimate
    pq_stuff: Estimate
    all: PanopticScore
    """the means over classes; counts are sums"""
    things: PanopticScore
    stuff: PanopticScore
    per_class: Mapping[str, PanopticScore]
    images: MaskImages


class ScenePainter:
    """Paints cases for several tallies: a case that is asked for again at once is not painted again."""

    def __init__(self) -> None:
        self._case: Case | None = None
        self._scene: Scene | None = None

    def paint(self, case: Case) -> Scene | None:
        """Both sides of a case; None without a truth. FormatError for one that cannot be painted."""
        if case is not self._case:
            truth = case.truth
            self._case = None
            self._scene = None if truth is None else paint_scene(truth, case.prediction)
            self._case = case
        return self._scene


class SegmentationTally:
    """Semantic segmentation, image by image. ``seed`` is that of resampling."""

    def __init__(self, painter: ScenePainter | None = None, *, seed: int = 0) -> None:
        self._images = _Images(painter)
        self._kinds = Kinds()
        self._counts = PixelCounts()
        self._seed = seed

    def add(self, case: Case) -> None:
        """One more image."""
        scene = self._images.scene(case)
        if scene is None:
            return
        self._kinds.add(scene)
        sides = (scene.truth, scene.prediction)
        labels = sorted({segment.label for side in sides for segment in side.segments})
        truth, predicted = (renumber(side.owners, label_numbers(side.segments, labels)) for side in sides)
        self._counts.add(count_pixels(truth, predicted, len(labels) + 1), (_BACKGROUND, *labels))

    def result(self) -> Segmentation:
        """The figures of all images so far."""
        per_class = self._counts.score(without=(_BACKGROUND,)).per_class
        kinds = self._kinds.by_label()
        things, stuff = ([p for label, p in per_class.items() if kinds[label] == k] for k in _KINDS)
        estimate = partial(_estimate, self._counts.sums, seed=self._seed)
        classes = list(per_class)
        areas = (semantic.TRUTH, semantic.PREDICTED, semantic.SHARED)
        edges = (semantic.TRUTH_EDGE, semantic.PREDICTED_EDGE, semantic.SHARED_EDGE)
        return Segmentation(
            pixel_accuracy=estimate([*classes, _BACKGROUND], areas, _share_found),
            mean_accuracy=estimate(classes, areas, partial(_class_mean, _accuracy)),
            miou=estimate(classes, areas, partial(_class_mean, _iou)),
            dice=estimate(classes, areas, partial(_class_mean, _dice)),
            boundary_iou=estimate(classes, edges, partial(_class_mean, _iou)),
            all=mean_of_classes(list(per_class.values())),
            things=mean_of_classes(things),
            stuff=mean_of_classes(stuff),
            per_class=per_class,
            confusion=_confusion(classes, self._counts),
            images=self._images.result(),
        )


class PanopticTally:
    """Panoptic quality, image by image. ``seed`` is that of resampling."""

    def __init__(self, painter: ScenePainter | None = None, *, seed: int = 0) -> None:
        self._images = _Images(painter)
        self._counts = SegmentCounts()
        self._seed = seed

    def add(self, case: Case) -> None:
        """One more image."""
        scene = self._images.scene(case)
        if scene is not None:
            self._counts.add(scene)

    def result(self) -> Panoptic:
        """The figures of all images so far."""
        quality = self._counts.quality()
        kinds = self._counts.kinds.by_label()
        columns = (panoptic.IOU, panoptic.TP, panoptic.FP, panoptic.FN)
        pq, pq_things, pq_stuff = (
            _estimate(
                self._counts.sums,
                [label for label in quality.per_class if kinds[label] in of],
                columns,
                partial(_class_mean, _pq),
                seed=self._seed,
            )
            for of in (_KINDS, _KINDS[:1], _KINDS[1:])
        )
        return Panoptic(
            pq=pq,
            pq_things=pq_things,
            pq_stuff=pq_stuff,
            all=quality.all,
            things=quality.things,
            stuff=quality.stuff,
            per_class=quality.per_class,
            images=self._images.result(),
        )


class _Images:
    """The number of images that count, and of those that do not, by reason."""

    def __init__(self, painter: ScenePainter | None) -> None:
        self._painter = painter or ScenePainter()
        self._n_images = self._n_without_masks = self._n_unreviewed = 0
        self._left_out: dict[ImageId, str] = {}

    def scene(self, case: Case) -> Scene | None:
        """The case's scene, if it counts."""
        try:
            scene = self._painter.paint(case)
        except FormatError as error:
            self._left_out[case.image] = str(error)
            return None
        if scene is None:
            self._n_unreviewed += 1
        elif not scene.truth.segments and not scene.prediction.segments:
            self._n_without_masks += 1
        else:
            self._n_images += 1
            return scene
        return None

    def result(self) -> MaskImages:
        left_out = dict(sorted(self._left_out.items()))
        return MaskImages(self._n_images, self._n_without_masks, self._n_unreviewed, left_out)


def _estimate(
    sums: ImageSums,
    classes: Sequence[str],
    columns: Sequence[int],
    statistic: Callable[[Floats], Floats],
    *,
    seed: int,
) -> Estimate:
    """A share that a statistic makes of sums, (R, n_classes, n_columns) to (R,); the images are resampled."""

    def of_sums(flat: Floats) -> Floats:
        return statistic(flat.reshape(len(flat), len(classes), len(columns)))

    return bootstrap(of_sums, sums.table(classes, columns), seed=seed, scale="share")


def _share_found(sums: Floats) -> Floats:
    share: Floats = sums[:, :, 2].sum(axis=1) / sums[:, :, 0].sum(axis=1)
    return share


def _class_mean(ratio: Callable[[Floats], Floats], sums: Floats) -> Floats:
    """The mean over the classes whose ratio is defined; NaN without any."""
    ratios = ratio(sums)  # (R, n_classes)
    defined = np.isfinite(ratios)
    mean: Floats = np.where(defined, ratios, 0.0).sum(axis=1) / defined.sum(axis=1)
    return mean


def _accuracy(sums: Floats) -> Floats:
    return sums[:, :, 2] / sums[:, :, 0]


def _iou(sums: Floats) -> Floats:
    return sums[:, :, 2] / (sums[:, :, 0] + sums[:, :, 1] - sums[:, :, 2])


def _dice(sums: Floats) -> Floats:
    return 2.0 * sums[:, :, 2] / (sums[:, :, 0] + sums[:, :, 1])


def _pq(sums: Floats) -> Floats:
    return sums[:, :, 0] / (sums[:, :, 1] + 0.5 * (sums[:, :, 2] + sums[:, :, 3]))


def _confusion(labels: Sequence[str], counts: PixelCounts) -> PixelConfusion:
    names = (*labels, _BACKGROUND)
    return PixelConfusion(
        tuple(labels), tuple(tuple(counts.confused.get((true, name), 0) for name in names) for true in names)
    )
