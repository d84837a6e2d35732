"""What changes from week to week, which classes are taken for which, and which images cost most."""

from __future__ import annotations

from dataclasses import dataclass

from detseg.metrics.intervals import Estimate
from detseg.types import ImageId


@dataclass(frozen=True, slots=True)
class WeekOfEdits:
    """The acceptance of one ISO week (UTC), and how it differs from the reviewed week before it."""

    week: str
    acceptance_rate: Estimate
    model_versions: tuple[str, ...]
    """reviewed in that week: another model is the first explanation of a change"""
    change: float | None
    """acceptance - that of the week before, in [-1, 1]; None in the first week"""
    change_low: float | None
    change_high: float | None
    """its interval, wide enough that all weeks together are wrong in 5 % of projects"""
    changed: bool
    """whether that interval leaves 0 out"""


@dataclass(frozen=True, slots=True)
class Relabel:
    """What people renamed: the model says one class, they say another."""

    model_label: str
    person_label: str
    n: int
    share: Estimate
    """n / the model's regions of that class, in [0, 1]; by image"""


@dataclass(frozen=True, slots=True)
class CostlyImage:
    """An image and the seconds that its edits took by the cost model, as a mean over its reviews."""

    image: ImageId
    cost_s: float
    n_edits: int
    """changes of all its reviews"""


@dataclass(frozen=True, slots=True)
class Drift:
    """``weeks`` by time, without reviews of unknown date; ``relabels`` most frequent first; ``costly_images``
    dearest first, at most 200, of those with a change."""

    weeks: tuple[WeekOfEdits, ...]
    relabels: tuple[Relabel, ...]
    costly_images: tuple[CostlyImage, ...]
