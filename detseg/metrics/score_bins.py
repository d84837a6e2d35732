"""Scores by their tenth, as all figures by score have them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detseg.metrics.weeks import NOT_KNOWN

SCORE_BINS = (*(f"{i / 10:.1f}-{(i + 1) / 10:.1f}" for i in range(10)), NOT_KNOWN)
"""The names of the tenths of [0, 1], and of no score."""

_NO_SCORE = SCORE_BINS.index(NOT_KNOWN)
_NOISE = 1e-9  # a score that is a tenth but for float noise belongs above it


def score_bin_of(score: float | None) -> int:
    """The place of a score in SCORE_BINS.

    >>> SCORE_BINS[score_bin_of(0.7)], SCORE_BINS[score_bin_of(1.0)], SCORE_BINS[score_bin_of(None)]
    ('0.7-0.8', '0.9-1.0', 'unknown')
    """
    return _NO_SCORE if score is None else min(9, int(score * 10.0 + _NOISE))


def score_bins_of(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The same of many scores, NaN where there is none: (n,)."""
    tenths = np.clip(np.floor(np.nan_to_num(scores) * 10.0 + _NOISE), 0, 9).astype(np.int64)
    tenths[np.isnan(scores)] = _NO_SCORE
    return tenths
