"""What is usual in a project: how well regions meet the model's, how rough outlines are, how sure the model
is.

A fixed limit is too strict for one project and too lax for another: the threads of a bolt are rough, and
boxes of 10 pixels never overlap as well as those of 200. So the rules ask for the figures of the other
regions of that class, and of that size where enough are known.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Measure = Literal[
    "overlap", "offset", "roughness", "smoothness", "drawn", "undrawn", "agreed", "denied", "seen", "holed"
]
"""Of regions, each in [0, 1]:

overlap: IoU with the model's region of the same object;
offset: how far the four sides of its box are from those of the model's region, as shares of its width and
    height, in the root mean square;
roughness: of the outline, see ``detseg.geometry.outlines.roughness``;
smoothness: the outline's length over that of the model's mask, at most 1;
drawn, undrawn: the model's score of a region that people drew in some way, and of one that they did not;
agreed, denied: its score of a region that people drew with that label, and of one with another one;
seen: 1 where the model or another person has something in the place of the region;
holed: 1 where the mask has a hole that is larger than the gap between two strokes.
"""

_N_BINS = 200
_NEAR = _N_BINS // 40


@dataclass(frozen=True, slots=True)
class Observation:
    """A figure of one region. ``octave`` is that of its side, for figures that depend on the size."""

    measure: Measure
    label: str
    value: float
    octave: int | None = None


@dataclass(slots=True)
class Usual:
    """The observations of all images as histograms, so that their order does not matter."""

    _counts: defaultdict[tuple[Measure, str, int | None], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0] * _N_BINS), init=False
    )

    def add(self, one: Observation) -> None:
        at = min(int(max(one.value, 0.0) * _N_BINS), _N_BINS - 1)
        self._counts[one.measure, one.label, None][at] += 1
        if one.octave is not None:
            self._counts[one.measure, one.label, one.octave][at] += 1

    def quantiles(
        self, measure: Measure, label: str, octave: int | None, shares: tuple[float, ...]
    ) -> tuple[float, ...] | None:
        """Quantiles of that class and size, else of that class; None of fewer than ``ENOUGH``."""
        for key in ((measure, label, octave), (measure, label, None)):
            counts = self._counts.get(key)
            if counts is not None and sum(counts) >= ENOUGH:
                below = np.cumsum(counts) / sum(counts)
                return tuple((int(np.searchsorted(below, share)) + 0.5) / _N_BINS for share in shares)
        return None

    def zeros(self, measure: Measure, label: str) -> tuple[int, int]:
        """Of the observations that are 0 or 1: how many are 0, and how many there are."""
        counts = self._counts.get((measure, label, None))
        return (0, 0) if counts is None else (counts[0], sum(counts))

    def as_often(self, yes: Measure, no: Measure, value: float) -> float:
        """Return the share of the ``no`` near a value that there would be if they were as frequent as at the
        top.

        In [0, 1], of all classes. The top is the upper half of the ``yes``. Near is within a 20th.
        """
        counts_yes, counts_no = self._all(yes), self._all(no)
        above = np.cumsum(counts_yes[::-1])[::-1]
        top = int(np.flatnonzero(above >= above[0] / 2)[-1])
        at = min(int(value * _N_BINS), _N_BINS - 1)
        near = slice(max(at - _NEAR, 0), at + _NEAR + 1)
        n_no = int(counts_no[near].sum())
        n_top, n_near = (int((counts_yes[part] + counts_no[part]).sum()) for part in (slice(top, None), near))
        if not n_no or not n_top:
            return 1.0
        return min((n_near * int(counts_no[top:].sum()) / n_top + 1.0) / n_no, 1.0)

    def _all(self, measure: Measure) -> npt.NDArray[np.int64]:
        found = [
            counts for (name, _, octave), counts in self._counts.items() if name == measure and octave is None
        ]
        total: npt.NDArray[np.int64] = np.sum(found, axis=0) if found else np.zeros(_N_BINS, dtype=np.int64)
        return total


ENOUGH = 20
"""The fewest regions that say what is usual: the 16th percentile of fewer is one of the three lowest."""
