"""Whether a model's scores mean what they say.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """The detections with a score in [low, high); the last bin holds 1.0 too."""

    low: float
    high: float
    n: int
    mean_score: float | None
    """What the model says, in [0, 1]; None for an empty bin."""
    precision: float | None
    """The share that is right, in [0, 1]; None for an empty bin."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """A reliability diagram: bins of equal width over [0, 1], and what they come to."""

    bins: tuple[ScoreBin, ...]
    ece: float | None
    """sum over the bins of n / N * abs(precision - mean_score), in [0, 1]; 0 is perfect"""
    mce: float | None
    """max over the bins of abs(precision - mean_score), in [0, 1]"""
    n: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of all detections together and of each class by name. A detection is right if it matches at IoU 0.5."""

    all: Reliability
    per_class: Mapping[str, Reliability]
