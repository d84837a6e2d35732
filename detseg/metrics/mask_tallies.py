"""Masks of the cases of QA: semantic and panoptic segmentation, each image painted once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detseg.metrics.intervals import Estimate
from detseg.metrics.panoptic import PanopticScore
from detseg.metrics.semantic import ClassPixels, PixelMeans
from detseg.types import ImageId


@dataclass(frozen=True, slots=True)
class PixelConfusion:
    """Whose pixels were taken for whose.

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
    """images without a truth"""
    left_out: Mapping[ImageId, str]
    """images that cannot be measured, such as those with a mask of another size, and why"""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Semantic segmentation against the reviews; intervals are from resampling the images.

    A pixel has one owner, see ``PanopticTally``; it counts for the label of its owner. The headline figures
    are defined as those of ``SemanticScore``.
    """

    pixel_accuracy: Estimate
    mean_accuracy: Estimate
    miou: Estimate
    dice: Estimate
    boundary_iou: Estimate
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
