"""What experiments say of people: wrong regions that they waved through, and their work on known truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detseg.metrics.intervals import Estimate


@dataclass(frozen=True, slots=True)
class DecoyScore:
    """A decoy that a person judged is one trial."""

    n_shown: int
    """decoys on images that were judged"""
    n_waved_through: int
    """of these, left as they were planted: same label, same shape"""
    waved_through: Estimate
    """n_waved_through / n_shown, in [0, 1]; Wilson's interval, by image"""


@dataclass(frozen=True, slots=True)
class Decoys:
    """How often wrong regions that were planted on purpose passed. ``per_kind``: label, shift, nothing."""

    all: DecoyScore
    per_kind: Mapping[str, DecoyScore]
    per_annotator: Mapping[str, DecoyScore]


@dataclass(frozen=True, slots=True)
class GoldScore:
    """People's regions against the known truth, met one to one within a label from ``min_iou`` on."""

    n_images: int
    """judged images (one person's judgement of one image counts as one)"""
    tp: int
    """regions that are in the truth"""
    fp: int
    """regions that are not"""
    fn: int
    """the truth's regions that the person lacks"""
    precision: Estimate
    """tp / (tp + fp), in [0, 1]"""
    recall: Estimate
    """tp / (tp + fn), in [0, 1]"""
    f1: Estimate
    """2 tp / (2 tp + fp + fn), in [0, 1]"""
    box_iou: Estimate
    """mean IoU of the boxes of true positives with the truth's, in [0, 1]"""
    mask_iou: Estimate
    """mean IoU of their masks, where both have one, in [0, 1]"""


@dataclass(frozen=True, slots=True)
class Golds:
    """How good people's labels are, on images whose truth is known."""

    min_iou: float
    all: GoldScore
    per_annotator: Mapping[str, GoldScore]
    per_class: Mapping[str, GoldScore]
