"""Precision, recall and F1 of a model from which only detections above a score are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a model does when detections with a score below ``min_score`` are dropped, at IoU 0.5."""

    min_score: float
    tp: int
    fp: int
    fn: int
    precision: float | None
    """tp / (tp + fp), in [0, 1]; None without detections"""
    recall: float | None
    """tp / (tp + fn), in [0, 1]; None without truth"""
    f1: float | None
    """2 tp / (2 tp + fp + fn), in [0, 1]; None without detections and truth"""


@dataclass(frozen=True, slots=True)
class OperatingCurve:
    """The operating points of one class, or of all together, as columns; ``n_truth`` is tp + fn everywhere.

    ``best`` is the point with the highest F1 over all thresholds there are, not only over those of the
    columns; the highest threshold of equals. None without truth or detections.
    """

    n_truth: int
    tp: tuple[int, ...]
    fp: tuple[int, ...]
    precision: tuple[float | None, ...]
    recall: tuple[float | None, ...]
    f1: tuple[float | None, ...]
    best: OperatingPoint | None


@dataclass(frozen=True, slots=True)
class OperatingCurves:
    """Each column of a curve has one entry per ``min_score``: 0.00, 0.01, ... 1.00."""

    min_score: tuple[float, ...]
    all: OperatingCurve
    per_class: Mapping[str, OperatingCurve]
