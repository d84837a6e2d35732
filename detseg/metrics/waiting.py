"""The images that wait for review by what they will cost people, and how far that order can be trusted."""

from __future__ import annotations

import heapq
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
Ints = npt.NDArray[np.intp]

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

    They are drawn into five folds, and each fold is ranked by what the others teach. Chance would find a
    fifth of the seconds in the first fifths of the lists.
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
    """tasks that show the model's regions (arm assisted) and have no review of any kind"""
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
    of_image = np.random.default_rng(seed).permutation(n) % N_FOLDS
    fold = of_image[row]
    expected = np.zeros(len(row))
    for number in range(min(n, N_FOLDS)):
        held = fold == number
        expected[held] = learn_rates(sample, ~held).expected_s(sample)[held]

    def per_image(values: npt.NDArray[Any]) -> Floats:
        means: Floats = np.bincount(row, values, n) / n_reviews
        return means

    cost_s, whole = per_image(sample.changes_s), np.zeros(n, dtype=np.intp)
    found = _found(cost_s, first_share(per_image(expected), of_image))
    best = float((cost_s * first_share(cost_s, whole)).sum() / cost_s.sum()) if cost_s.any() else None
    return RankingCheck(
        n_images=n,
        found=found,
        found_by_count=_found(cost_s, first_share(per_image(sample.n_shown), whole)),
        found_at_best=best,
        holds=found.low is not None and found.low > FIRST_SHARE,
    )


def first_share(expected: Floats, fold: Ints) -> Floats:
    """How much of each image is in the first fifth of its fold, dearest first: (n,), in [0, 1].

    Each fold has a list of its own: expectations of different folds were learned from different images, and
    a fold with dear images teaches the others to expect more than it is itself expected to cost. Images of
    which the same is expected share what is left of the fifth.

    >>> first_share(np.array([9.0, 1, 1, 1, 1, 5, 5, 5, 5, 5]), np.repeat([0, 1], 5))
    array([1. , 0. , 0. , 0. , 0. , 0.2, 0.2, 0.2, 0.2, 0.2])
    """
    share = np.zeros(len(expected))
    for number in np.unique(fold):
        inside = fold == number
        _, rank, n_equal = np.unique(-expected[inside], return_inverse=True, return_counts=True)
        n_before = np.cumsum(n_equal) - n_equal
        share[inside] = np.clip((FIRST_SHARE * inside.sum() - n_before) / n_equal, 0.0, 1.0)[rank]
    return share


def _found(cost_s: Floats, first: Floats) -> Estimate:
    """The share of the cost in what comes ``first``.

    An image that was changed is worth one trial on average, and the more the more it cost.
    """
    trials = cost_s * np.count_nonzero(cost_s) / max(cost_s.sum(), 1e-9)
    return wilson_by_image(first * trials, trials)
