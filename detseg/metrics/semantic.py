"""Semantic segmentation: which class every pixel was given, whatever object it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClassPixels:
    """How well the pixels of one class were found, summed over all images.

    Ratios are in [0, 1]; None where nothing is there to be divided by.
    """

    accuracy: float | None
    """n_shared_px / n_truth_px: the share of the class's true pixels that were predicted as the class"""
    iou: float | None
    """n_shared_px / (n_truth_px + n_predicted_px - n_shared_px)"""
    dice: float | None
    """2 * n_shared_px / (n_truth_px + n_predicted_px) = 2 * iou / (1 + iou)"""
    boundary_iou: float | None
    """iou of the pixels that lie within 2 % of the image's diagonal of the class's contour, each side its own"""
    n_truth_px: int
    n_predicted_px: int
    n_shared_px: int


@dataclass(frozen=True, slots=True)
class PixelMeans:
    """Means over the classes of a group that have the figure, in [0, 1]; None where no class has it."""

    accuracy: float | None
    iou: float | None
    dice: float | None
    boundary_iou: float | None


@dataclass(frozen=True, slots=True)
class SemanticScore:
    """Semantic segmentation of a set of images, in [0, 1]; None where there is nothing to measure.

    Means weigh every class alike, however large; a class without the figure does not count.
    """

    pixel_accuracy: float | None
    """the share of all pixels, background included, that were given their true class"""
    mean_accuracy: float | None
    """mean of the classes' ``accuracy``"""
    miou: float | None
    """mean of the classes' ``iou``"""
    dice: float | None
    """mean of the classes' ``dice``"""
    boundary_iou: float | None
    """mean of the classes' ``boundary_iou`` (Cheng et al., "Boundary IoU", CVPR 2021)"""
    per_class: Mapping[str, ClassPixels]
    n_images: int
