"""The score threshold that makes people's work least, class by class."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from detseg.metrics.costs import CostModel
from detseg.metrics.intervals import LEVEL, MIN_UNITS, Estimate, Rough, bounds_by_image, told
from detseg.metrics.work_log import Table, WorkTables
from detseg.types import EDIT_KINDS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

N_FOLDS = 5
MIN_IMAGES = 100
"""Reviewed images from which a saving is told."""

_HUNDREDTHS = np.arange(1, 101) / 100.0
_N_CHOICES = 2


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
    """what the change saves on images that had no say in it (five folds), in seconds; by image. Told from 100
    reviewed images on, if ten of them have regions that it leaves out"""
    pays: bool
    """whether that interval is above 0: else there is no reason to change anything"""
    in_use: float = 0.0
    """the lowest score that is shown from now on, by the settings or the promoted model; the saving is that
    over this one, and there is none where it leaves as much out already; 0 where it is not known"""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Per class of the model, of what people were shown (arms assisted and gold)."""

    n_images: int
    per_class: Mapping[str, ThresholdChoice]
    n_reviews: int = 0
    """reviews that the thresholds follow from"""
    n_set_aside: int = 0
    """reviews of regions of other models, whose scores mean something else"""


def choose_thresholds(
    tables: WorkTables,
    costs: CostModel,
    versions: Collection[str] | None = None,
    *,
    in_use: Mapping[str, float] | None = None,
) -> Thresholds:
    """The threshold of every class whose shown regions have scores.

    A wrong region that is shown costs a check (deleting it), a right one that is not shown costs its drawing
    instead of a check. What is right or wrong is what people made of it. Only reviews of regions of
    ``versions`` count; without them, all. ``in_use`` are the thresholds of now by class: regions below them
    are left out as it is, so nothing more is saved by it.
    """
    shown = ~tables.reviews["control"]
    codes = [code for code, one in enumerate(tables.versions) if versions is None or one in versions]
    used = shown & np.isin(tables.reviews["version"], codes)
    images = np.unique(tables.reviews["image"][used])
    edits = tables.edits[used[tables.edits["review"]] & ~np.isnan(tables.edits["score"])]
    image = np.searchsorted(images, tables.reviews["image"][edits["review"]])
    labels = sorted((tables.labels[code], int(code)) for code in np.unique(edits["label"]))
    per_class: dict[str, ThresholdChoice] = {}
    for label, code in labels:
        of_class = edits["label"] == code
        present = (in_use or {}).get(label, 0.0)
        per_class[label] = _choice(
            edits[of_class], image[of_class], costs, n_images=len(images), in_use=present
        )
    n_used, n_shown = int(np.count_nonzero(used)), int(np.count_nonzero(shown))
    return Thresholds(len(images), per_class, n_used, n_shown - n_used)


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


def _cross_fitted(
    scores: Floats, gains: Floats, image: npt.NDArray[np.intp], *, n_images: int, in_use: float
) -> Floats:
    """Compute what each image saves by the threshold that the images of the other folds choose:
    (n_images,)."""
    saved = np.zeros(n_images)
    for fold in range(N_FOLDS):
        inside = image % N_FOLDS == fold
        if inside.all() or not inside.any():
            continue
        threshold = best_threshold(scores[~inside], gains[~inside])
        out = inside & (scores < threshold) & (scores >= in_use)
        if threshold > scores[~inside].min():  # else nothing changes
            np.add.at(saved, image[out], gains[out])
    return saved


def _choice(edits: Table, image: Ints, costs: CostModel, *, n_images: int, in_use: float) -> ThresholdChoice:
    scores, gains = edits["score"], gains_s(edits, costs)
    lowest, threshold = float(scores.min()), best_threshold(scores, gains)
    out = (scores < threshold) & (scores >= in_use)
    saved = _saved(
        gains[out],
        image[out],
        unbiased=float(_cross_fitted(scores, gains, image, n_images=n_images, in_use=in_use).mean()),
        span=(costs.check_s - float(edits["drawing_s"].max()), costs.check_s),
        n_images=n_images,
    )
    n_false = int(np.count_nonzero(edits["kind"] == EDIT_KINDS.index("deleted")))
    return ThresholdChoice(
        threshold=threshold,
        lowest_known=lowest,
        at_lowest=threshold <= lowest,
        n_true=len(edits) - n_false,
        n_false=n_false,
        saved_s_per_1000_images=saved,
        pays=saved.low is not None and saved.low > 0.0,
        in_use=in_use,
    )


def _saved(
    gains: Floats, image: Ints, *, unbiased: float, span: tuple[float, float], n_images: int
) -> Estimate:
    """What leaving those regions out saves in 1,000 images.

    The best threshold of any data promises more than it keeps, so the value is what images save that had no
    say (``unbiased``). The interval is that of a product, the regions left out per image times the gain of
    one, which lies in ``span``; their errors are put together as ``bounds_by_image`` does (MOVER), whose
    interval of the gain allows for right regions that were not seen yet. It is as wide as if the better of
    two thresholds had been chosen (Bonferroni): those beside each other leave out nearly the same. Nothing is
    told where nothing is left out, where that concerns fewer than ten images, and of fewer than
    ``MIN_IMAGES``: what the best threshold of few images saves is their luck. ``n`` counts reviewed images.
    """
    counts = np.bincount(image, minlength=n_images).astype(np.float64)
    shown = counts > 0.0
    if n_images < 2 or not shown.any():  # nothing changes
        return Estimate(None, None, None, n_images, None)
    (least, most), level = span, 1.0 - (1.0 - LEVEL) / _N_CHOICES
    parts = np.bincount(image, (gains - least) / max(most - least, 1e-9), n_images).astype(np.float64)
    ends = bounds_by_image(np.clip(parts, 0.0, counts)[shown], counts[shown], level=level, binary=False)
    gain, per_image = float(gains.mean()), float(counts.mean())
    low, high = (gain - (least + (most - least) * end) for end in ends)
    error = float(counts.std(ddof=1) / math.sqrt(n_images) * stdtrit(n_images - 1, (1.0 + level) / 2.0))
    value = 1000.0 * gain * per_image
    low = value - 1000.0 * math.hypot(per_image * low, gain * error)
    high = value + 1000.0 * math.hypot(per_image * high, gain * error)
    value = min(max(1000.0 * unbiased, low), high)
    n_shown = int(np.count_nonzero(shown))
    least_images = max(MIN_IMAGES, math.ceil(MIN_UNITS * n_images / n_shown))
    if n_images < least_images:
        too_few = Rough(value, low, high, least_images - n_images)
        return Estimate(None, None, None, n_images, least_images, too_few)
    return told(value, low, high, n=n_images, scale="relative")
