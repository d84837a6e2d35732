"""Maps of scores to probabilities that keep their order: beta calibration. Knows no torch.

Kull, Silva Filho and Flach, "Beta calibration: a well-founded and easily implemented improvement on logistic
calibration for binary classifiers", AISTATS 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

EDGE = 1e-6
"""Scores and probabilities this close to 0 or 1 are taken for that far from it."""


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """logit(probability) = a ln(score) - b ln(1 - score) + c, with a and b above 0, so that it rises.

    >>> ScoreMap(1.0, 1.0, 0.0).probability(0.3)
    0.3
    """

    a: float
    b: float
    c: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.a, self.b, self.c))) or min(self.a, self.b) <= 0.0:
            raise ValueError(f"a map of scores has two numbers above 0 and one more, not {self}")

    def probability(self, score: float) -> float:
        """The probability that a score in [0, 1] stands for, in (0, 1)."""
        s = min(max(score, EDGE), 1.0 - EDGE)
        logit = self.a * math.log(s) - self.b * math.log1p(-s) + self.c
        return round(1.0 / (1.0 + math.exp(-min(max(logit, -500.0), 500.0))), 12)

    def score(self, probability: float) -> float:
        """The lowest score that stands for that probability or a higher one, in [0, 1].

        >>> steep = ScoreMap(2.0, 0.5, 0.3)
        >>> round(steep.score(steep.probability(0.4)), 6)
        0.4
        """
        low, high = 0.0, 1.0
        for _ in range(60):  # until no float is between them
            middle = (low + high) / 2.0
            low, high = (low, middle) if self.probability(middle) >= probability else (middle, high)
        return high


IDENTITY = ScoreMap(1.0, 1.0, 0.0)
