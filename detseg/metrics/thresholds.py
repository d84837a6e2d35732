"""Which score threshold makes people's work least, class by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detseg.metrics.intervals import Estimate


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """The threshold of one class at which checks, deletions and drawings take the fewest seconds.

    Regions below ``lowest_known`` were never shown, so nothing is known of them: where the best threshold is
    the lowest known one (``at_lowest``), a lower one may be better still, and only trying it would tell.
    """

    threshold: float
    """the best of those known, in [0, 1]: regions with a lower score would be left out"""
    lowest_known: float
    """the lowest score of this class that was shown"""
    at_lowest: bool
    n_true: int
    """shown regions that people kept or corrected"""
    n_false: int
    """shown regions that people deleted"""
    saved_s_per_1000_images: Estimate
    """what the change saves on images that had no say in it (five folds), in seconds; by image"""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Per class of the model, of what people were shown (arms helped and gold)."""

    n_images: int
    per_class: Mapping[str, ThresholdChoice]
