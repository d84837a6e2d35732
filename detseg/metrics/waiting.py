"""The images that wait for review by what they will cost people, and how far that order can be trusted."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detseg.metrics.change_rates import Sample, learn_rates, sort_reviews
from detseg.metrics.costs import CostModel
from detseg.metrics.expected_edits import Expectations, PerChange, ShownRegion, learn_expectations
from detseg.metrics.intervals import Estimate, wilson_by_image
from detseg.metrics.work_log import WorkTables
from detseg.types import ImageId, ModelVersion

Floats = npt.NDArray[np.float64]

N_FOLDS = 5
FIRST_SHARE = 0.2
"""So much of a list is looked at when its order is judged."""

N_RANKED = 200


@dataclass(frozen=True, slots=True)
class WaitingImage:
    """An image that shows the model's regions, and that nobody has reviewed yet."""

    image: ImageId
    task_id: int
    task_url: str
    uri: str
    """where it was found"""
    model_version: ModelVersion
    regions: tuple[ShownRegion, ...]


@dataclass(frozen=True, slots=True)
class RankedImage:
    """An image that waits for review, and what its changes are expected to be."""

    image: ImageId
    uri: str
    """where it was found"""
    task_id: int
    task_url: str
    cost_s: float
    """seconds that its changes are expected to take by the cost model; a look at what stays is none"""
    n_regions: int
    """that it shows"""
    edits: PerChange
    """how many are expected of each kind"""
    costs_s: PerChange
    """the seconds of each kind, which sum to ``cost_s``"""


@dataclass(frozen=True, slots=True)
class RankingCheck:
    """The success that the same order would have had on the reviewed images.

    They are drawn into five folds, and each is ranked by what the other folds teach. Chance would find a
    fifth of the seconds in the first fifth of the list.
    """

    n_images: int
    """reviewed ones that were shown the model's regions"""
    found: Estimate
    """seconds of the changes in the first fifth of the list / those in all, in [0, 1]; Wilson's interval, by
    image that was changed"""
    found_by_count: Estimate
    """the same of a list by the number of regions, which needs no learning"""
    found_at_best: float | None
    """the same of the list that is known only afterwards; None without changes"""
    holds: bool
    """whether the interval of ``found`` is above what chance would find"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The images that wait for review, by what people are expected to have to change in them."""

    n_images: int
    """tasks that show the model's regions (arm helped) and have no review of any kind"""
    n_new_model: int
    """of these, from a model version of which nothing was reviewed: what others did is expected of it"""
    check: RankingCheck
    ranked: tuple[RankedImage, ...]
    """dearest first, at most 200; none while the check says n/a"""


def rank_waiting(
    images: Iterable[WaitingImage], tables: WorkTables, costs: CostModel, *, seed: int = 0
) -> Waiting:
    """The images that wait, each once, by what the log says of the reviewed ones; ``seed`` draws the folds.

    Holds no more than the images that it lists.
    """
    check = check_ranking(sort_reviews(tables, costs), seed=seed)
    expected = learn_expectations(tables, costs)
    known, counts = frozenset(tables.versions), Counter[bool]()

    def priced() -> Iterator[tuple[float, ImageId, WaitingImage]]:
        for image in images:
            counts[image.model_version in known] += 1
            yield -expected.costs_s(image.regions).total, image.image, image

    dearest = heapq.nsmallest(N_RANKED, priced(), key=lambda one: one[:2])
    told = check.found.value is not None
    return Waiting(
        n_images=counts.total(),
        n_new_model=counts[False],
        check=check,
        ranked=tuple(_ranked(image, expected) for _, _, image in dearest if told),
    )


def _ranked(image: WaitingImage, expected: Expectations) -> RankedImage:
    costs_s = expected.costs_s(image.regions)
    return RankedImage(
        image=image.image,
        uri=image.uri,
        task_id=image.task_id,
        task_url=image.task_url,
        cost_s=costs_s.total,
        n_regions=len(image.regions),
        edits=expected.edits(image.regions),
        costs_s=costs_s,
    )


def check_ranking(sample: Sample, *, seed: int) -> RankingCheck:
    """Measure how much of the reviewed images' cost the order would have found first; ``seed`` draws the
    folds."""
    _, row = np.unique(sample.images, return_inverse=True)
    n_reviews = np.bincount(row)
    n = len(n_reviews)
    fold = (np.random.default_rng(seed).permutation(n) % N_FOLDS)[row]
    expected = np.zeros(len(row))
    for number in range(min(n, N_FOLDS)):
        held = fold == number
        expected[held] = learn_rates(sample, ~held).expected_s(sample)[held]

    def per_image(values: npt.NDArray[Any]) -> Floats:
        means: Floats = np.bincount(row, values, n) / n_reviews
        return means

    cost_s = per_image(sample.changes_s)
    found = _found(cost_s, per_image(expected))
    best = np.sort(cost_s)[::-1][: _n_first(n)].sum() / cost_s.sum() if cost_s.any() else None
    return RankingCheck(
        n_images=n,
        found=found,
        found_by_count=_found(cost_s, per_image(sample.n_shown)),
        found_at_best=None if best is None else float(best),
        holds=found.low is not None and found.low > FIRST_SHARE,
    )


def _n_first(n: int) -> int:
    return math.ceil(FIRST_SHARE * n)


def _found(cost_s: Floats, order: Floats) -> Estimate:
    """The share of the cost in what comes first by descending ``order``; equal ones as they came.

    An image that was changed is worth one trial on average, and the more the more it cost.
    """
    first = np.zeros(len(cost_s))
    first[np.argsort(-order, kind="stable")[: _n_first(len(order))]] = 1.0
    trials = cost_s * np.count_nonzero(cost_s) / max(cost_s.sum(), 1e-9)
    return wilson_by_image(first * trials, trials)
