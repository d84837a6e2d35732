"""How much of what the model says people accept, and how far they change the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detseg.metrics.edits import EditCounts
from detseg.metrics.intervals import Estimate


@dataclass(frozen=True, slots=True)
class Quantiles:
    """How values are spread; all None without any."""

    n: int
    p10: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p90: float | None


@dataclass(frozen=True, slots=True)
class HowFar:
    """How much was changed where something was, over the changed regions."""

    iou: Quantiles
    """of a moved or relabeled box, or of a reshaped mask, before against after, in [0, 1]"""
    moved_px: Quantiles
    """of moved regions: how far the box's four sides went, as a mean, in pixels of the image"""
    repainted: Quantiles
    """of reshaped masks: pixels painted and erased / pixels of the model's mask, from 0; not where one of the
    two masks is missing or empty"""


@dataclass(frozen=True, slots=True)
class EditRates:
    """What became of regions: of all, or of one class, model version, annotator, week or score."""

    n_images: int
    """images with a judged review in this slice (class and score: of all reviews)"""
    counts: EditCounts
    acceptance_rate: Estimate
    """kept / n_predicted, in [0, 1]; by image"""
    deletion_rate: Estimate
    """deleted / n_predicted, in [0, 1]; by image"""
    addition_rate: Estimate
    """added / (regions of the reviews), in [0, 1]: what the model missed; by image"""
    edits_per_image: Estimate
    """n_changes / reviews, from 0; by image"""


@dataclass(frozen=True, slots=True)
class Edits:
    """The edits of people who were shown the model's regions (arms helped and gold).

    Every judged (labeled or empty) review counts, also where several people saw one image. Regions count
    under the model's label, added ones under the person's. Keys of weeks are ISO weeks in UTC ("2026-W07"),
    of scores tenths ("0.8-0.9"), where added regions are in none; "unknown" stands for what is not known.
    """

    n_images: int
    """with a judged review"""
    n_reviews: int
    """judged ones"""
    n_declined: int
    """reviews that say skipped or unlabeled: nobody judged the regions"""
    all: EditRates
    per_class: Mapping[str, EditRates]
    per_model_version: Mapping[str, EditRates]
    per_annotator: Mapping[str, EditRates]
    per_week: Mapping[str, EditRates]
    per_score: Mapping[str, EditRates]
    how_far: HowFar
    how_far_per_class: Mapping[str, HowFar]
