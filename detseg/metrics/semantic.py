"""Semantic segmentation: which class every pixel was given, whatever object it belongs to."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detseg.formats.label_maps import N_VALUES, read_label_map_pairs, read_value_names
from detseg.geometry.label_maps import LabelMap, interior, renumber, same_map, shared_pixels
from detseg.metrics.image_sums import ImageSums
from detseg.types import Size

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.int64]

BOUNDARY_SHARE = 0.02
"""The distance to which a contour's boundary reaches, as a share of the image's diagonal."""

IGNORE = 255
"""The value of label maps that marks pixels of the truth that do not count, as in Cityscapes and others."""

_NOTHING = ""
"""The name of pixels of the results that were given no class."""

TRUTH, PREDICTED, SHARED, TRUTH_EDGE, PREDICTED_EDGE, SHARED_EDGE = range(6)
"""Columns of ``PixelCounts.sums``: the pixels of a class, and those of its boundary."""


@dataclass(frozen=True, slots=True)
class ClassPixels:
    """The quality with which the pixels of one class were found, summed over all images.

    Ratios are in [0, 1]; None where nothing is there to be divided by.
    """

    accuracy: float | None
    """n_shared_px / n_truth_px: the share of the class's true pixels that were predicted as the class"""
    iou: float | None
    """n_shared_px / (n_truth_px + n_predicted_px - n_shared_px)"""
    dice: float | None
    """2 * n_shared_px / (n_truth_px + n_predicted_px) = 2 * iou / (1 + iou)"""
    boundary_iou: float | None
    """iou of the class's pixels that lie within 2 % of the image's diagonal of its contour on their side"""
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


class PixelCounts:
    """The pixels of each class, and whose were taken for whose, summed over images."""

    def __init__(self) -> None:
        self.sums = ImageSums(6)
        self.confused: dict[tuple[str, str], int] = {}
        """pixels by true and predicted class"""

    def add(self, counts: Pixels, names: Sequence[str]) -> None:
        """One more image: what ``count_pixels`` says of it, and the names of its numbers."""
        pixels, edges = counts.sum(axis=(2, 3)), counts[:, :, 0, 0]
        columns = np.stack(
            (
                *(pixels.sum(axis=1), pixels.sum(axis=0), pixels.diagonal()),
                *(counts[:, :, 0].sum(axis=(1, 2)), counts[:, :, :, 0].sum(axis=(0, 2)), edges.diagonal()),
            ),
            axis=1,
        )
        there = np.flatnonzero(columns[:, TRUTH] + columns[:, PREDICTED])
        self.sums.add({names[n]: columns[n].tolist() for n in there})
        for i, j in zip(*np.nonzero(pixels), strict=True):
            key = names[i], names[j]
            self.confused[key] = self.confused.get(key, 0) + int(pixels[i, j])

    def score(self, *, without: Collection[str] = ()) -> SemanticScore:
        """The figures of all images so far; classes ``without`` count for ``pixel_accuracy`` only."""
        totals = self.sums.totals()
        per_class = {name: _class_pixels(sums) for name, sums in totals.items() if name not in without}
        means = mean_of_classes(list(per_class.values()))
        n_pixels = sum(self.confused.values())
        n_right = sum(n for (true, predicted), n in self.confused.items() if true == predicted)
        return SemanticScore(
            pixel_accuracy=n_right / n_pixels if n_pixels else None,
            mean_accuracy=means.accuracy,
            miou=means.iou,
            dice=means.dice,
            boundary_iou=means.boundary_iou,
            per_class=per_class,
            n_images=self.sums.n_images,
        )


def score_label_maps(
    truth: Path, results: Path, *, names_path: Path | None = None, ignore: int | None = IGNORE
) -> SemanticScore:
    """Accuracy, IoU, Dice and boundary IoU of the label maps in ``results`` against those in ``truth``.

    Maps belong together by their paths below the folders. Where the truth has the value ``ignore``, pixels
    do not count; where the results have it, nothing was predicted. ``names_path`` is JSON that names the
    values; without it a class is called by its value. Raises FormatError as ``read_label_map_pairs``.
    """
    names = None if names_path is None else read_value_names(names_path)
    counts, seen = PixelCounts(), set(names or ())
    for true, found, values in read_label_map_pairs(truth, results, names=names, ignore=ignore):
        seen.update(values)
        called = [*(_name(value, names) for value in values), _NOTHING]
        true = renumber(true, _places(values, other=len(called)))
        found = renumber(found, _places(values, other=len(values)))
        counts.add(count_pixels(true, found, len(called)), called)
    score, unseen = counts.score(without=(_NOTHING,)), ClassPixels(None, None, None, None, 0, 0, 0)
    classes = [_name(value, names) for value in sorted(seen)]
    return replace(score, per_class={name: score.per_class.get(name, unseen) for name in classes})


def _places(values: Sequence[int], *, other: int) -> npt.NDArray[np.int32]:
    """Make the table that ``renumber`` needs: the place of each of those values, and ``other`` for all
    others."""
    places = np.full(N_VALUES, other, dtype=np.int32)
    places[list(values)] = np.arange(len(values))
    return places


def _name(value: int, names: Mapping[int, str] | None) -> str:
    return str(value) if names is None else names[value]


def count_pixels(truth: LabelMap, predicted: LabelMap, n: int) -> Pixels:
    """Count the pixels that have number i by the truth and j by the prediction, at [i, j, :, :]; i and j
    below n.

    The last two axes say whether the pixel is inside the truth's class i, and inside the predicted class j:
    farther from its contour than ``boundary_distance``, with the image's border as a part of the contour.
    Numbers of the truth from n on are ignored. Both maps are of one size.
    """
    distance = boundary_distance(truth.size)
    inside = interior(truth, distance)
    inside_predicted = inside if same_map(truth, predicted) else interior(predicted, distance)
    n_truth = max(n, int(truth.numbers.max()) + 1)
    return shared_pixels(truth, predicted, inside, inside_predicted, shape=(n_truth, n, 2, 2))[:n]


def boundary_distance(size: Size) -> int:
    """Return the width of a contour's boundary in pixels, at least 1 (Cheng et al. 2021).

    >>> boundary_distance(Size(640, 480))
    16
    """
    return max(1, round(BOUNDARY_SHARE * math.hypot(size.width, size.height)))


def mean_of_classes(scores: Sequence[ClassPixels]) -> PixelMeans:
    """The mean of each figure over the classes that have it."""
    return PixelMeans(
        accuracy=_mean([score.accuracy for score in scores]),
        iou=_mean([score.iou for score in scores]),
        dice=_mean([score.dice for score in scores]),
        boundary_iou=_mean([score.boundary_iou for score in scores]),
    )


def _class_pixels(sums: Floats) -> ClassPixels:
    truth, predicted, shared, truth_edge, predicted_edge, shared_edge = (int(n) for n in sums)
    return ClassPixels(
        accuracy=_ratio(shared, truth),
        iou=_ratio(shared, truth + predicted - shared),
        dice=_ratio(2 * shared, truth + predicted),
        boundary_iou=_ratio(shared_edge, truth_edge + predicted_edge - shared_edge),
        n_truth_px=truth,
        n_predicted_px=predicted,
        n_shared_px=shared,
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
