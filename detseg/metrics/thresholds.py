"""The score threshold that makes people's work least, class by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.metrics.bootstrap import bootstrap_ratios
from detseg.metrics.costs import CostModel
from detseg.metrics.intervals import Estimate
from detseg.metrics.work_log import Table, WorkTables
from detseg.types import EDIT_KINDS

Floats = npt.NDArray[np.float64]

N_FOLDS = 5
_HUNDREDTHS = np.arange(1, 101) / 100.0
_AT_ONCE = 64  # classes


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """The threshold of one class at which checks, deletions and drawings take the fewest seconds.

    Regions below ``lowest_known`` were never shown, so nothing is known of them: where the best threshold is
    the lowest known one (``at_lowest``), a lower one may be better still, and only trying it would tell.
    """

    threshold: float
    """the best of those known, in hundredths (or ``lowest_known``): lower scores would be left out"""
    lowest_known: float
    """the lowest score of this class that was shown"""
    at_lowest: bool
    n_true: int
    """shown regions that people kept or corrected"""
    n_false: int
    """shown regions that people deleted"""
    saved_s_per_1000_images: Estimate
    """what the change saves on images that had no say in it (five folds), in seconds; by image"""
    pays: bool
    """whether that interval is above 0: else there is no reason to change anything"""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Per class of the model, of what people were shown (arms helped and gold)."""

    n_images: int
    per_class: Mapping[str, ThresholdChoice]


def choose_thresholds(tables: WorkTables, costs: CostModel, *, seed: int) -> Thresholds:
    """The threshold of every class whose shown regions have scores.

    A wrong region that is shown costs a check (deleting it), a right one that is not shown costs its drawing
    instead of a check. What is right or wrong is what people made of it.
    """
    images = np.unique(tables.reviews["image"][~tables.reviews["blind"]])
    edits = tables.edits[~np.isnan(tables.edits["score"])]
    image = np.searchsorted(images, tables.reviews["image"][edits["review"]])
    labels = sorted((tables.labels[code], int(code)) for code in np.unique(edits["label"]))
    per_class: dict[str, ThresholdChoice] = {}
    for start in range(0, len(labels), _AT_ONCE):
        some = labels[start : start + _AT_ONCE]
        saved = np.zeros((len(images), len(some)))  # seconds, by images that had no say
        for column, (_, code) in enumerate(some):
            of_class = edits["label"] == code
            gains = gains_s(edits[of_class], costs)
            saved[:, column] = _cross_fitted(edits["score"][of_class], gains, image[of_class], len(images))
        estimates = bootstrap_ratios(1000.0 * saved, np.ones_like(saved), seed=seed)
        for (label, code), estimate in zip(some, estimates, strict=True):
            per_class[label] = _choice(edits[edits["label"] == code], costs, estimate)
    return Thresholds(len(images), per_class)


def gains_s(edits: Table, costs: CostModel) -> Floats:
    """The seconds that not showing each region would save: below 0 where it is right."""
    wrong = edits["kind"] == EDIT_KINDS.index("deleted")
    gains: Floats = np.where(wrong, costs.check_s, costs.check_s - edits["drawing_s"])
    return gains


def best_threshold(scores: Floats, gains: Floats) -> float:
    """The threshold, in hundredths, that saves most if regions with lower scores are left out.

    The lowest score where leaving none out is best; the lowest of several that save the same; at most 1.

    >>> best_threshold(np.array([0.31, 0.42, 0.55, 0.9]), np.array([7.0, 7.0, -28.0, -28.0]))
    0.43
    """
    order = np.argsort(scores, kind="stable")
    ordered, saved = scores[order], np.concatenate([[0.0], np.cumsum(gains[order])])
    candidates = np.concatenate([ordered[:1], _HUNDREDTHS[ordered[0] < _HUNDREDTHS]])
    return float(candidates[np.argmax(saved[np.searchsorted(ordered, candidates)])])


def _cross_fitted(scores: Floats, gains: Floats, image: npt.NDArray[np.intp], n_images: int) -> Floats:
    """Compute what each image saves by the threshold that the images of the other folds choose:
    (n_images,)."""
    saved = np.zeros(n_images)
    for fold in range(N_FOLDS):
        inside = image % N_FOLDS == fold
        if inside.all() or not inside.any():
            continue
        threshold = best_threshold(scores[~inside], gains[~inside])
        out = inside & (scores < threshold)
        if threshold > scores[~inside].min():  # else nothing changes
            np.add.at(saved, image[out], gains[out])
    return saved


def _choice(edits: Table, costs: CostModel, saved: Estimate) -> ThresholdChoice:
    lowest = float(edits["score"].min())
    threshold = best_threshold(edits["score"], gains_s(edits, costs))
    n_false = int(np.count_nonzero(edits["kind"] == EDIT_KINDS.index("deleted")))
    return ThresholdChoice(
        threshold=threshold,
        lowest_known=lowest,
        at_lowest=threshold <= lowest,
        n_true=len(edits) - n_false,
        n_false=n_false,
        saved_s_per_1000_images=saved,
        pays=saved.low is not None and saved.low > 0.0,
    )
