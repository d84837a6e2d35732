"""AP, PQ and mIoU of halves of the images: what two models, or two truths, differ by on the same ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError
from detseg.metrics.coco_data import DetectionColumns
from detseg.metrics.coco_eval import match
from detseg.metrics.detection_intervals import N_HALVES, draw_halves, halve, hits_of_found, hits_of_truth
from detseg.metrics.mask_tallies import BACKGROUND, add_scene
from detseg.metrics.panoptic import SegmentCounts
from detseg.metrics.scenes import Scene, paint_scene
from detseg.metrics.semantic import PixelCounts
from detseg.types import Annotation

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Classes = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Halved:
    """A figure of K classes, of all images and of R halves of them; NaN where it is undefined.

    Halves by one seed of as many images are those of the same images: ``draw_halves``.
    """

    classes: Classes
    """K names, sorted; one empty name where the figure is of all classes together"""
    whole: Floats
    """(K,)"""
    halves: Floats
    """(R, K)"""
    images: Ints
    """(K,) images that have to do with each class"""

    def mean(self) -> float | None:
        """The mean over the classes that have the figure; None without any."""
        defined = np.isfinite(self.whole)
        return float(self.whole[defined].mean()) if defined.any() else None

    def of_class(self, name: str) -> float | None:
        """The figure of one class; None where it has none."""
        value = float(self.whole[self.classes.index(name)]) if name in self.classes else math.nan
        return value if math.isfinite(value) else None


def halve_ratios(classes: Classes, parts: Floats, wholes: Floats, *, seed: int) -> Halved:
    """The sum of parts / the sum of wholes of each class: (n_images, K) both."""
    counts = draw_halves(len(parts), np.random.default_rng(seed), N_HALVES)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Halved(
            classes=classes,
            whole=parts.sum(axis=0) / wholes.sum(axis=0),
            halves=(counts @ parts) / (counts @ wholes),
            images=np.count_nonzero(wholes, axis=0),
        )


class FigureColumns:
    """Counts of answers against a truth, image by image, of which any images have their figures."""

    def __init__(self) -> None:
        self._boxes, self._masks = DetectionColumns("bbox"), DetectionColumns("segm")
        self._segments, self._pixels = SegmentCounts(), PixelCounts()

    def add(self, truth: Annotation, answer: Annotation, *, with_masks: bool) -> None:
        """The things of one image; without masks, its truth says nothing about those of the answer."""
        self._boxes.add(truth, answer)
        if with_masks:
            self._masks.add(truth, answer)

    def add_scene(self, scene: Scene) -> None:
        """The pixels of one image."""
        self._segments.add(scene)
        add_scene(self._pixels, scene)

    def halve_hits(self, *, seed: int) -> dict[str, Halved]:
        """``precision`` and ``recall`` of all boxes, at IoU 0.5."""
        data = self._boxes.data()
        matches = match(data)[0]
        counts = {"precision": hits_of_found(data, matches), "recall": hits_of_truth(data, matches)}
        return {
            name: halve_ratios(("",), *(column[:, None].astype(np.float64) for column in columns), seed=seed)
            for name, columns in counts.items()
        }

    def halve(self, *, seed: int, with_masks: bool) -> dict[str, Halved]:
        """``ap`` and ``ap50``, with masks also ``mask_ap``, ``mask_ap50``, ``pq`` and ``miou``."""
        found = _halve_aps(self._boxes, "", seed=seed)
        if with_masks:
            found |= _halve_aps(self._masks, "mask_", seed=seed)
            classes = self._segments.sums.classes
            iou, tp, fp, fn = self._segments.sums.columns(classes, 4)
            found["pq"] = halve_ratios(classes, iou, tp + 0.5 * fp + 0.5 * fn, seed=seed)
            classes = tuple(name for name in self._pixels.sums.classes if name != BACKGROUND)
            true, seen, shared = self._pixels.sums.columns(classes, 3)
            found["miou"] = halve_ratios(classes, shared, true + seen - shared, seed=seed)
        return found


def add_scenes(sides: Sequence[FigureColumns], pairs: Sequence[tuple[Annotation, Annotation]]) -> None:
    """The pixels of an image to each side, unless a mask is of another size than it: then to none."""
    try:
        scenes = [paint_scene(truth, answer) for truth, answer in pairs]
    except FormatError:
        return
    for side, scene in zip(sides, scenes, strict=True):
        side.add_scene(scene)


def _halve_aps(columns: DetectionColumns, prefix: str, *, seed: int) -> dict[str, Halved]:
    data = columns.data()
    aps = halve(data, np.stack([one.right for one in match(data)]), seed=seed)
    seen = np.flatnonzero(aps.images)
    classes = tuple(data.labels[k] for k in seen)

    def at(ious: slice) -> Halved:
        whole, halves = aps.whole[ious][:, seen].mean(axis=0), aps.halves[ious][:, :, seen].mean(axis=0)
        return Halved(classes, whole, halves, aps.images[seen])

    return {f"{prefix}ap": at(slice(None)), f"{prefix}ap50": at(slice(1))}
