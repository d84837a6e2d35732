"""``python -m bench.ranking``: the order of images that wait, by our rates and by scikit-learn's models.

Makes projects of reviewed images, by seed: each class has rates of its own at which regions are deleted,
renamed and moved, the more the lower the score, and people add the more regions the more there are. Every
image is ranked by what the other folds teach, as ``detseg.metrics.waiting`` does. Prints one JSON object: the
share of the changes' seconds in the first fifth of the list, mean and standard deviation over the projects,
and how much more than by our rates that is, with its standard error.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from detseg.metrics.cases import Case
from detseg.metrics.change_rates import CHANGES, Sample, learn_rates, sort_reviews
from detseg.metrics.costs import CostModel
from detseg.metrics.waiting import N_FOLDS, first_share
from detseg.metrics.work_log import WorkLog
from detseg.types import Region
from tests.metrics.made import annotation, boxed, case

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

N_CLASSES = 10
COSTS = CostModel()


def make_project(seed: int, n_images: int) -> Sample:
    """The sample of a project's reviews, one an image."""
    rng = np.random.default_rng(seed)
    rates = np.stack([rng.beta(2, 2, N_CLASSES), rng.beta(1, 6, N_CLASSES), rng.beta(1, 8, N_CLASSES)])
    steepness = rng.uniform(0.0, 4.0, N_CLASSES)
    log = WorkLog(COSTS)
    for number in range(n_images):
        log.add(_make_case(rng, f"{number:05}", rates, steepness))
    return sort_reviews(log.tables(), COSTS)


def _make_case(rng: np.random.Generator, image: str, rates: Floats, steepness: Floats) -> Case:
    shown: list[Region] = []
    kept: list[Region] = []
    for k in range(int(rng.integers(1, 12))):
        label, score = min(N_CLASSES - 1, int(rng.geometric(0.25)) - 1), round(float(rng.beta(4, 2)), 3)
        shown.append(boxed(f"r{k}", f"c{label}", (20.0 * k, 0, 20.0 * k + 14, 14), score))
        kept += _review(rng, shown[-1], rates[:, label], steepness[label])
    for k in range(int(rng.poisson(0.04 * len(shown)))):
        kept.append(boxed(f"n{k}", f"c{int(rng.integers(N_CLASSES))}", (15.0 * k, 60, 15.0 * k + 10, 72)))
    return case(annotation(shown, image=image), annotation(kept, image=image))


def _review(rng: np.random.Generator, region: Region, rates: Floats, steepness: float) -> Iterator[Region]:
    """Review a region: yield it as it is left, changed, or not at all."""
    doubt, box = 1.0 - (region.instance.score or 0.0), region.instance.box
    kept = replace(region.instance, score=None)
    deleted, renamed, moved = rates * np.array([doubt**steepness, doubt, 1.0])
    chance = rng.random()
    if chance >= deleted + renamed + moved:
        yield replace(region, instance=kept)
    elif chance >= deleted + renamed and box is not None:
        yield replace(region, instance=replace(kept, box=replace(box, y1=box.y1 - 6.0)))
    elif chance >= deleted:
        yield replace(region, instance=replace(kept, label="another"))


def expect_by_rates(sample: Sample, chosen: Bools) -> Floats:
    return learn_rates(sample, chosen).expected_s(sample)


def expect_by_model(model: Any, sample: Sample, chosen: Bools) -> Floats:
    """By a classifier of fates from class and tenth of the score; what is added, by our rates."""
    ours, rows = learn_rates(sample, chosen), chosen[sample.review]
    label, tenth = (np.unique(column, return_inverse=True)[1] for column in sample.cells[:, [0, 2]].T)
    features = np.concatenate([np.eye(label.max() + 1)[label], np.eye(tenth.max() + 1)[tenth]], axis=1)
    fitted = model().fit(features[sample.cell[rows]], sample.fate[rows])
    shares = np.zeros((len(features), 1 + len(CHANGES)))
    shares[:, fitted.classes_ + 1] = fitted.predict_proba(features)
    of_cell = (shares[:, 1:] * sample.prices[sample.cells[:, 1]]).sum(axis=1)
    shown = np.bincount(sample.review, of_cell[sample.cell], len(sample.images))
    seconds: Floats = shown + ours.added_s * ours.added[sample.size]
    return seconds


WAYS = {
    "our rates": expect_by_rates,
    "LogisticRegression": partial(expect_by_model, partial(LogisticRegression, max_iter=500)),
    "HistGradientBoosting": partial(
        expect_by_model, partial(HistGradientBoostingClassifier, max_iter=40, max_leaf_nodes=8)
    ),
}


def found_first(way: Any, sample: Sample, seed: int) -> float:
    """The share of the seconds in the first fifth of the list."""
    n = len(sample.images)
    fold, expected = np.random.default_rng(seed).permutation(n) % N_FOLDS, np.zeros(n)
    for number in range(N_FOLDS):
        expected[fold == number] = way(sample, fold != number)[fold == number]
    return float((first_share(expected, fold) * sample.changes_s).sum() / sample.changes_s.sum())


def _figures(shares: Floats, ours: Floats) -> dict[str, float]:
    more = shares - ours
    figures = {"mean": shares.mean(), "sd": shares.std(ddof=1), "more_than_ours": more.mean()}
    figures["standard_error"] = more.std(ddof=1) / len(more) ** 0.5
    return {name: round(float(value), 4) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ranking", description=__doc__)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--projects", type=int, default=24)
    options = parser.parse_args()
    samples = [make_project(seed, options.images) for seed in range(options.projects)]
    found = {
        name: [found_first(way, sample, seed) for seed, sample in enumerate(samples)]
        for name, way in WAYS.items()
    }
    figures = {
        name: _figures(np.array(shares), np.array(found["our rates"])) for name, shares in found.items()
    }
    print(json.dumps({"images": options.images, "projects": options.projects, "found": figures}, indent=1))


if __name__ == "__main__":
    main()
