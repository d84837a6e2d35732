"""Masks of the cases of QA, as semantic and as panoptic segmentation.

Only regions with a mask take part, and a pixel has one owner: ``detseg.metrics.scenes`` says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detseg.errors import FormatError
from detseg.geometry.label_maps import renumber
from detseg.metrics import panoptic, semantic
from detseg.metrics.cases import Case
from detseg.metrics.class_means import class_mean
from detseg.metrics.image_sums import Floats, ImageSums
from detseg.metrics.intervals import Estimate, mean_by_image
from detseg.metrics.panoptic import PanopticScore, SegmentCounts
from detseg.metrics.scenes import Kinds, Scene, label_numbers, paint_scene
from detseg.metrics.semantic import ClassPixels, PixelCounts, PixelMeans, count_pixels, mean_of_classes
from detseg.types import Annotation, ImageId

BACKGROUND = ""
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
    """Semantic segmentation against the reviews, with intervals by image (``class_mean``).

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
    """Panoptic quality against the reviews, with intervals by image (``class_mean``)."""

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
    """Semantic segmentation, image by image."""

    def __init__(self, painter: ScenePainter | None = None) -> None:
        self._images = _Images(painter)
        self._kinds = Kinds()
        self._counts = PixelCounts()

    def add(self, case: Case) -> None:
        """One more image."""
        scene = self._images.scene(case)
        if scene is None:
            return
        self._count(scene)

    def add_pair(self, truth: Annotation, prediction: Annotation) -> None:
        """A model's answer about an image and what is known to be true. FormatError for a mask that does not
        fit."""
        scene = self._images.count(paint_scene(truth, prediction))
        if scene is not None:
            self._count(scene)

    def _count(self, scene: Scene) -> None:
        self._kinds.add(scene)
        add_scene(self._counts, scene)

    def result(self) -> Segmentation:
        """The figures of all images so far."""
        per_class = self._counts.score(without=(BACKGROUND,)).per_class
        kinds = self._kinds.by_label()
        things, stuff = ([p for label, p in per_class.items() if kinds[label] == k] for k in _KINDS)
        sums, classes = self._counts.sums, list(per_class)
        true, found, shared = _columns(sums, classes, (semantic.TRUTH, semantic.PREDICTED, semantic.SHARED))
        edges = (semantic.TRUTH_EDGE, semantic.PREDICTED_EDGE, semantic.SHARED_EDGE)
        true_edge, found_edge, shared_edge = _columns(sums, classes, edges)
        everything = [*classes, BACKGROUND]
        all_true, all_shared = _columns(sums, everything, (semantic.TRUTH, semantic.SHARED))
        return Segmentation(
            pixel_accuracy=mean_by_image(all_shared.sum(axis=1), all_true.sum(axis=1)),
            mean_accuracy=class_mean(shared, true),
            miou=class_mean(shared, true + found - shared),
            dice=class_mean(2.0 * shared, true + found),
            boundary_iou=class_mean(shared_edge, true_edge + found_edge - shared_edge),
            all=mean_of_classes(list(per_class.values())),
            things=mean_of_classes(things),
            stuff=mean_of_classes(stuff),
            per_class=per_class,
            confusion=_confusion(classes, self._counts),
            images=self._images.result(),
        )


def add_scene(counts: PixelCounts, scene: Scene) -> None:
    """Count the pixels of one more image by class."""
    sides = (scene.truth, scene.prediction)
    labels = sorted({segment.label for side in sides for segment in side.segments})
    truth, predicted = (renumber(side.owners, label_numbers(side.segments, labels)) for side in sides)
    counts.add(count_pixels(truth, predicted, len(labels) + 1), (BACKGROUND, *labels))


class PanopticTally:
    """Panoptic quality, image by image."""

    def __init__(self, painter: ScenePainter | None = None) -> None:
        self._images = _Images(painter)
        self._counts = SegmentCounts()

    def add(self, case: Case) -> None:
        """One more image."""
        scene = self._images.scene(case)
        if scene is not None:
            self._counts.add(scene)

    def add_pair(self, truth: Annotation, prediction: Annotation) -> None:
        """A model's answer about an image and what is known to be true. FormatError for a mask that does not
        fit."""
        scene = self._images.count(paint_scene(truth, prediction))
        if scene is not None:
            self._counts.add(scene)

    def result(self) -> Panoptic:
        """The figures of all images so far."""
        quality = self._counts.quality()
        kinds = self._counts.kinds.by_label()
        pq, pq_things, pq_stuff = (
            _panoptic_quality(self._counts.sums, [label for label in quality.per_class if kinds[label] in of])
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
            return None
        return self.count(scene)

    def count(self, scene: Scene) -> Scene | None:
        """The scene, if there is a mask on either side of it."""
        if not scene.truth.segments and not scene.prediction.segments:
            self._n_without_masks += 1
            return None
        self._n_images += 1
        return scene

    def result(self) -> MaskImages:
        left_out = dict(sorted(self._left_out.items()))
        return MaskImages(self._n_images, self._n_without_masks, self._n_unreviewed, left_out)


def _columns(sums: ImageSums, classes: Sequence[str], columns: Sequence[int]) -> list[Floats]:
    """Those columns of those classes, (n_images, n_classes) each."""
    table = sums.table(classes, columns).reshape(sums.n_images, len(classes), len(columns))
    return [table[:, :, j] for j in range(len(columns))]


def _panoptic_quality(sums: ImageSums, classes: Sequence[str]) -> Estimate:
    iou, tp, fp, fn = _columns(sums, classes, (panoptic.IOU, panoptic.TP, panoptic.FP, panoptic.FN))
    return class_mean(iou, tp + 0.5 * (fp + fn))


def _confusion(labels: Sequence[str], counts: PixelCounts) -> PixelConfusion:
    names = (*labels, BACKGROUND)
    return PixelConfusion(
        tuple(labels), tuple(tuple(counts.confused.get((true, name), 0) for name in names) for true in names)
    )
