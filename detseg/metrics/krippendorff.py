"""Krippendorff's alpha: agreement of any number of people, on values of any kind, against chance.

    alpha = 1 - D_o / D_e

``D_o`` is the mean distance of values that different people gave to one unit, ``D_e`` that of any two of all
values. Each unit counts by the number of its values; units with one value tell nothing. Source:
Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011; with the distance of one's choice for boxes:
Braylan, Alonso and Lease, "Measuring Annotator Agreement Generally across Complex Structured, Multi-object,
and Free-text Annotation Tasks", WWW 2022. The interval is that of D_o and leaves D_e as it is (Hayes and
Krippendorff, "Answering the Call for a Standard Reliability Measure for Coding Data", 2007).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Generic, TypeVar

import numpy as np

from detseg.metrics.intervals import Estimate, bounds_by_image, told

Value = TypeVar("Value")

MOST_PAIRS = 20_000
"""D_e is exact up to so many pairs of values, and the mean over so many drawn ones beyond: within 0.003."""


class Alpha(Generic[Value]):
    """Collects units. ``distance`` tells several distances in [0, 1] at once, by name; left out is 0."""

    def __init__(self, distance: Callable[[Value, Value], Mapping[str, float]]) -> None:
        self._distance = distance
        self._values: list[Value] = []
        self._n_values: list[int] = []
        self._disagreements: dict[str, dict[int, float]] = {}

    def add(self, values: Sequence[Value]) -> None:
        """Add what people said of one unit. One value alone, or none, is not kept."""
        if len(values) < 2:
            return
        unit = len(self._n_values)
        for a, b in combinations(values, 2):
            for name, distance in self._distance(a, b).items():
                of_units = self._disagreements.setdefault(name, {})
                both_ways = 2.0 * distance / (len(values) - 1)
                of_units[unit] = of_units.get(unit, 0.0) + both_ways
        self._n_values.append(len(values))
        self._values += values

    def result(self, names: Sequence[str], *, seed: int) -> dict[str, Estimate]:
        """Alpha by name; ``n`` counts units. Undefined where all values are the same."""
        expected = self.expected(seed=seed)
        return {name: self._estimate(name, expected.get(name, 0.0)) for name in names}

    def value(self, name: str, *, seed: int = 0) -> float | None:
        """Alpha alone, at most 1; None where it is undefined."""
        expected, n = self.expected(seed=seed).get(name, 0.0), sum(self._n_values)
        if not expected:
            return None
        return 1.0 - sum(self._disagreements.get(name, {}).values()) / n / expected

    def expected(self, *, seed: int) -> dict[str, float]:
        """D_e by name, in [0, 1]."""
        total: Counter[str] = Counter()
        n_pairs = 0
        for i, j in self._pairs(seed):
            n_pairs += 1
            for name, distance in self._distance(self._values[i], self._values[j]).items():
                total[name] += distance  # type: ignore[assignment]  # a Counter of floats
        return {name: sum_ / n_pairs for name, sum_ in total.items()}

    def _pairs(self, seed: int) -> Iterator[tuple[int, int]]:
        """Pairs of values: all of them, or some drawn by lot."""
        n = len(self._values)
        if n * (n - 1) // 2 <= MOST_PAIRS:
            yield from combinations(range(n), 2)
            return
        rng = np.random.default_rng(seed)
        first = rng.integers(0, n, MOST_PAIRS)
        second = (first + rng.integers(1, n, MOST_PAIRS)) % n  # any other
        yield from zip(first.tolist(), second.tolist(), strict=True)

    def _estimate(self, name: str, expected: float) -> Estimate:
        if not expected:
            return Estimate(None, None, None, len(self._n_values), None)
        units = np.zeros((len(self._n_values), 2))
        units[:, 1] = self._n_values
        for unit, disagreement in self._disagreements.get(name, {}).items():
            units[unit, 0] = disagreement
        observed = float(units[:, 0].sum() / units[:, 1].sum())
        least, most = bounds_by_image(units[:, 0], units[:, 1], binary=False)
        ends = 1.0 - most / expected, 1.0 - least / expected
        return told(1.0 - observed / expected, *ends, n=len(units), scale="share")
