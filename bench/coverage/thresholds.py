"""Set-ups of what another threshold saves, and of how good the order of waiting images is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from bench.coverage.frame import Setup, Trial, trial
from detseg.metrics.change_rates import sort_reviews
from detseg.metrics.costs import CostModel
from detseg.metrics.thresholds import choose_thresholds
from detseg.metrics.waiting import check_ranking
from detseg.metrics.work_log import EDIT, REVIEW, WorkTables
from detseg.types import EDIT_KINDS

Floats = npt.NDArray[np.float64]

COSTS = CostModel()

_KEPT, _DELETED = EDIT_KINDS.index("kept"), EDIT_KINDS.index("deleted")


@dataclass(frozen=True)
class Scores:
    """A class whose regions are right as often as their score to the power of ``steep`` says.

    With ``steep`` 0 they are right in a fifth: showing them and leaving them out cost the same.
    """

    n: int = 60
    """images"""
    steep: float = 1.0
    per_image: float = 5.0
    same_counts: bool = False
    """whether all images have as many regions"""
    spread: float = 0.0
    """how much more or less often an image's regions are right: the standard deviation between images"""

    def draw(self, rng: np.random.Generator) -> WorkTables:
        shown = self._counts(rng)
        review = np.repeat(np.arange(self.n), shown)
        scores, right = self._regions(rng, review)
        edits = np.zeros(len(review), EDIT)
        edits["review"], edits["score"] = review, scores
        edits["kind"] = np.where(right, _KEPT, _DELETED)
        edits["drawing_s"], edits["cost_s"] = COSTS.box_by_hand_s, COSTS.check_s
        reviews = np.zeros(self.n, REVIEW)
        reviews["image"], reviews["lead_s"] = np.arange(self.n), np.nan
        return WorkTables(reviews, edits, (), ("thing",), ("model",), ("ann",), ("2026-W01",), 0)

    def _counts(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        if self.same_counts:
            return np.full(self.n, int(self.per_image))
        return rng.poisson(self.per_image, self.n)

    def _regions(
        self, rng: np.random.Generator, review: npt.NDArray[np.int64]
    ) -> tuple[Floats, npt.NDArray[np.bool_]]:
        scores = np.round(rng.beta(2.0, 1.5, len(review)) * 0.75 + 0.25, 3)
        chance = scores**self.steep if self.steep else np.full(len(review), 0.2)
        off = rng.normal(0.0, self.spread, int(review.max(initial=0)) + 1)[review] if self.spread else 0.0
        return scores, rng.random(len(review)) < np.clip(chance + off, 0.0, 1.0)

    @cached_property
    def curve(self) -> tuple[Floats, Floats]:
        """Scores, and what leaving out all regions below each saves in 1,000 images."""
        n = 400_000
        scores, right = self._regions(np.random.default_rng(0), np.arange(n) // max(int(self.per_image), 1))
        order = np.argsort(scores)
        gains = COSTS.check_s - COSTS.box_by_hand_s * right[order]
        return scores[order], 1000.0 * self.per_image * np.concatenate([[0.0], np.cumsum(gains)]) / n

    def saved_s(self, threshold: float) -> float:
        scores, saved = self.curve
        return float(saved[np.searchsorted(scores, threshold)])


CHANCE = Scores(steep=0.0)


def setups() -> Iterator[Setup]:
    """Curves of scores by which many, some and no thresholds save; then orders without anything to learn."""
    curves = {
        "right as often as the score": Scores(),
        "right as the score cubed": Scores(steep=3.0),
        "right as the score cubed, images differ": Scores(steep=3.0, spread=0.2),
        "nearly all wrong": Scores(steep=6.0),
        "right in a fifth whatever the score": CHANCE,
        "nearly all right": Scores(steep=0.1),
    }
    for n in (20, 60, 200, 1000):
        for name, scores in curves.items():
            draw = partial(threshold_trial, scores=replace(scores, n=n))
            yield Setup("Saved by a threshold", f"{name}, {n} images", draw)
    for n in (60, 200, 600):
        for k in (1, 3):
            name = f"edits are chance, {n} images of {k} region{'s' * (k > 1)}"
            draw = partial(order_trial, scores=replace(CHANCE, n=n, per_image=k, same_counts=True))
            yield Setup("Order of waiting images", name, draw)


def threshold_trial(rng: np.random.Generator, *, scores: Scores) -> Trial:
    """The truth is what that threshold saves on other images."""
    choice = choose_thresholds(scores.draw(rng), COSTS).per_class["thing"]
    return trial(scores.saved_s(choice.threshold), choice.saved_s_per_1000_images)


def order_trial(rng: np.random.Generator, *, scores: Scores) -> Trial:
    """With nothing to learn a fifth of the cost is in the first fifth."""
    seed = int(rng.integers(2**31))
    return trial(0.2, check_ranking(sort_reviews(scores.draw(rng), COSTS), seed=seed).found)
