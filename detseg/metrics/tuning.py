"""Scores that say how likely people leave a region, and thresholds that cost them least, by held-out labels.

Both are taken only if they help images that had no say in them: each fold of the images is judged by what the
other four choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from detseg.metrics.costs import CostModel
from detseg.metrics.intervals import MIN_UNITS
from detseg.metrics.needed_edits import LEFT_IOU, needed_edits
from detseg.metrics.paired import NOTHING, Difference, mean_change
from detseg.metrics.thresholds import N_FOLDS, best_threshold
from detseg.models.score_maps import EDGE, IDENTITY, ScoreMap
from detseg.types import Annotation

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_PRIOR_PRECISION = 1.0
"""The precision of the prior of a map's parameters, around those of the map of all classes."""
_LEAST_SLOPE = 0.05
"""The least slope of a map, so that it rises."""
_MIN_REGIONS = 50
"""A class with fewer regions to choose by shares its threshold with the others that have so few."""


@dataclass(frozen=True, slots=True, eq=False)
class ShownRegions:
    """Regions of a model by the truth, (m,) each: class, image, score, whether people would leave it, and the
    seconds that they save if it is not shown, below 0 where it helps."""

    labels: tuple[str, ...]
    n_images: int
    label: Ints
    image: Ints
    score: Floats
    left: Bools
    gain_s: Floats

    def of(self, rows: Bools) -> ShownRegions:
        """Return those of some rows."""
        return ShownRegions(
            self.labels,
            self.n_images,
            self.label[rows],
            self.image[rows],
            self.score[rows],
            self.left[rows],
            self.gain_s[rows],
        )


@dataclass(slots=True)
class RegionTally:
    """Takes labeled images with a model's answers from a low threshold on."""

    costs: CostModel
    left_iou: float = LEFT_IOU
    _rows: list[tuple[str, int, float, bool, float]] = field(default_factory=list)
    _n_images: int = 0

    def add(self, truth: Annotation, prediction: Annotation) -> None:
        """Take one more image."""
        for edit in needed_edits(prediction, truth, left_iou=self.left_iou):
            if edit.before is None or edit.before.instance.score is None:
                continue
            drawn_s = self.costs.drawing_s(edit.after.instance) if edit.after else 0.0
            one = edit.before.instance
            gain_s = self.costs.edit_s(edit) - drawn_s
            self._rows.append((one.label, self._n_images, one.score or 0.0, edit.kind == "kept", gain_s))
        self._n_images += 1

    def regions(self) -> ShownRegions:
        """Return the regions of all images so far."""
        labels = tuple(sorted({row[0] for row in self._rows}))
        return ShownRegions(
            labels,
            self._n_images,
            np.array([labels.index(row[0]) for row in self._rows], dtype=np.int64),
            np.array([row[1] for row in self._rows], dtype=np.int64),
            np.array([row[2] for row in self._rows], dtype=np.float64),
            np.array([row[3] for row in self._rows], dtype=np.bool_),
            np.array([row[4] for row in self._rows], dtype=np.float64),
        )


@dataclass(frozen=True, slots=True)
class Tuning:
    """What held-out images say of a model's scores. Empty where nothing is certain to help.

    ``thresholds`` are in the scale of the maps, if there are any.
    """

    maps: Mapping[str, ScoreMap]
    thresholds: Mapping[str, float]
    score_error: Difference
    """what the maps change of the squared error of scores (Brier), per image, on images of other folds"""
    seconds: Difference
    """what the thresholds and the maps change of people's seconds per image, on images of other folds"""
    n_images: int


def tune(regions: ShownRegions, in_use: Mapping[str, float]) -> Tuning:
    """Choose maps and thresholds, and check both on images that had no say. ``in_use`` are the thresholds by
    class now."""
    if regions.n_images < MIN_UNITS or not len(regions.score):
        return Tuning({}, {}, NOTHING, NOTHING, regions.n_images)
    now = np.array([in_use[label] for label in regions.labels])[regions.label]
    folds = regions.image % N_FOLDS
    probability, shown = regions.score.copy(), regions.score >= now
    for fold in range(N_FOLDS):
        inside = folds == fold
        maps = fit_maps(regions.of(~inside))
        probability[inside] = _mapped(regions.of(inside), maps)
    error = _per_image(regions, (probability - regions.left) ** 2 - (regions.score - regions.left) ** 2)
    score_error = mean_change(error)
    maps = fit_maps(regions) if score_error.has_fallen else {}
    scores = probability if maps else regions.score
    for fold in range(N_FOLDS):
        inside = folds == fold
        others = regions.of(~inside)
        chosen = choose_thresholds(others, scores[~inside], len(regions.labels))
        shown[inside] = scores[inside] >= chosen[regions.label[inside]]
    spent = np.where(shown, regions.gain_s, 0.0) - np.where(regions.score >= now, regions.gain_s, 0.0)
    seconds = mean_change(_per_image(regions, spent))
    thresholds: dict[str, float] = {}
    if seconds.has_fallen:
        final = _mapped(regions, maps) if maps else regions.score
        thresholds = dict(
            zip(regions.labels, choose_thresholds(regions, final, len(regions.labels)).tolist(), strict=True)
        )
    elif maps:  # the same regions are shown as now
        thresholds = {label: round(maps[label].probability(in_use[label]), 6) for label in regions.labels}
    return Tuning(maps, thresholds, score_error, seconds, regions.n_images)


def fit_maps(regions: ShownRegions) -> dict[str, ScoreMap]:
    """The map of every class: its own as far as its regions say something, else that of all classes."""
    everywhere = _fit(regions.score, regions.left, IDENTITY)
    maps = {}
    for k, label in enumerate(regions.labels):
        own = regions.label == k
        maps[label] = _fit(regions.score[own], regions.left[own], everywhere)
    return maps


def _fit(score: Floats, left: Bools, around: ScoreMap) -> ScoreMap:
    """The likeliest map, with parameters that lie around others (a normal prior)."""
    s = np.clip(score, EDGE, 1.0 - EDGE)
    columns = np.stack([np.log(s), -np.log1p(-s), np.ones(len(s))], axis=1)
    centre = np.array([around.a, around.b, around.c])

    def loss(parameters: Floats) -> tuple[float, Floats]:
        logit = columns @ parameters
        off = parameters - centre
        value = np.logaddexp(0.0, logit).sum() - logit[left].sum() + 0.5 * _PRIOR_PRECISION * (off**2).sum()
        slope = columns.T @ (1.0 / (1.0 + np.exp(-logit)) - left) + _PRIOR_PRECISION * off
        return float(value), slope

    bounds = [(_LEAST_SLOPE, None), (_LEAST_SLOPE, None), (None, None)]
    found = minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=bounds)
    a, b, c = (round(float(value), 6) for value in found.x)
    return ScoreMap(a, b, c)


def _mapped(regions: ShownRegions, maps: Mapping[str, ScoreMap]) -> Floats:
    of_class = [maps.get(label, IDENTITY) for label in regions.labels]
    pairs = zip(regions.score.tolist(), regions.label.tolist(), strict=True)
    return np.array([of_class[k].probability(score) for score, k in pairs], dtype=np.float64)


def choose_thresholds(regions: ShownRegions, scores: Floats, n_labels: int) -> Floats:
    """The threshold of each class that costs least: (n_labels,)."""
    counts = np.bincount(regions.label, minlength=n_labels)
    is_rare = counts < _MIN_REGIONS
    thresholds = np.ones(n_labels)
    groups: list[Sequence[int]] = [[int(k)] for k in np.flatnonzero(~is_rare)]
    rare = np.flatnonzero(is_rare).tolist()
    together = counts[rare].sum() >= _MIN_REGIONS if rare else False
    groups += [rare] if together else []
    for group in groups:
        rows = np.isin(regions.label, group)
        thresholds[list(group)] = best_threshold(scores[rows], regions.gain_s[rows])
    if rare and not together:
        thresholds[rare] = best_threshold(scores, regions.gain_s)
    return thresholds


def _per_image(regions: ShownRegions, values: Floats) -> Floats:
    sums: Floats = np.bincount(regions.image, values, regions.n_images).astype(np.float64)
    return sums
