"""The findings: suspects, how many there are of each rule, and how good the labels of an image are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detseg.metrics.weeks import WeekShare
from detseg.types import Box, ImageId, RegionId


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label to look at again.

    ``region`` is the id of the region in Label Studio, or of the model's region that nobody drew; None where
    the image as a whole is meant. ``label`` is that region's, ``author`` the person whose review it is.
    """

    image: ImageId
    task_id: int
    task_url: str
    region: RegionId | None
    label: str | None
    author: str
    rule: str
    """The name of one of ``RULES``."""
    score: float
    """the rule's confidence, times what such a label costs if it stays; in [0, 1], 1 to be looked at first"""
    reason: str
    """A short sentence with the figures that made the rule trigger."""
    box: Box | None
    """the place to look at, in pixels of the image; None for the whole image"""


@dataclass(frozen=True, slots=True)
class RuleCount:
    """The number of findings of a rule, also beyond what the ranked list keeps."""

    n_suspects: int
    n_images: int


@dataclass(frozen=True, slots=True)
class ImageQuality:
    """cleanlab's label quality of one image, each in [0, 1]: 1 for labels that the model agrees with.

    ``quality`` is the geometric mean of the three others, each of which is the softmin (temperature 0.1)
    over the boxes of the image. Source: Tkachenko, Thyagarajan, Mueller, "ObjectLab: Automated Diagnosis of
    Mislabeled Images in Object Detection Data", 2023.
    """

    image: ImageId
    task_id: int
    task_url: str
    author: str
    quality: float
    overlooked: float
    """Low where the model is sure of an object far from all labels."""
    badloc: float
    """Low where a label lies badly on what the model sees."""
    swap: float
    """Low where the model is sure of another class in the same place."""
    box: Box | None
    """The box with the lowest of all scores, labeled or predicted; None without boxes."""


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """cleanlab's scores over all images, worst first; ``missing`` says what was not computed, and why."""

    n_images: int
    mean_quality: float | None
    """Mean of ``quality`` over the images, in [0, 1]; None without images."""
    worst: tuple[ImageQuality, ...]
    missing: tuple[str, ...]
    """A sentence for each score that was not computed: what it needs, how to get it."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """The labels to look at again, by descending score; ties by image, rule and region."""

    n_images: int
    """Images with a review that counts: labeled or empty. Those whose truth is known (gold) are left out."""
    n_suspects: int
    """All that the rules found; ``ranked`` holds the worst of them only."""
    n_suspect_images: int
    ranked: tuple[Suspect, ...]
    per_rule: Mapping[str, RuleCount]
    """Complete counts of every rule, in the order of ``RULES``."""
    quality: LabelQuality
    weeks: tuple[WeekShare, ...]
    """By week of the review: regions that a rule names / regions of the reviews and those that they lack."""
