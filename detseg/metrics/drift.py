"""Drift: what changes from week to week, which classes are taken for which, and which images cost most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.metrics.intervals import Estimate, wilson_by_image
from detseg.metrics.weeks import WeekImages, compare_weeks
from detseg.metrics.work_log import WorkTables
from detseg.types import EDIT_KINDS, ImageId

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

N_COSTLY = 200


@dataclass(frozen=True, slots=True)
class WeekOfEdits:
    """The acceptance of one ISO week (UTC), and how it differs from the weeks before."""

    week: str
    acceptance_rate: Estimate
    model_versions: tuple[str, ...]
    """reviewed in that week: another model is the first explanation of a change"""
    change: float | None
    """acceptance of this week and ``n_after`` - 1 more - that of the ``n_before`` weeks before, each person
    compared with themselves, in [-1, 1]; None in the first week, and where nobody worked on both sides"""
    change_low: float | None
    change_high: float | None
    """its interval, wide enough that all weeks of a report together are wrong in 4 % of projects; None where
    a side has fewer than ten images"""
    changed: bool
    """whether that interval leaves 0 out"""
    n_before: int
    """weeks that have reviews; of the windows around this week, those that differ most"""
    n_after: int


@dataclass(frozen=True, slots=True)
class Relabel:
    """A pair of classes that people renamed: the model says one, they say the other."""

    model_label: str
    person_label: str
    n: int
    share: Estimate
    """n / the model's regions of that class, in [0, 1]; by image"""


@dataclass(frozen=True, slots=True)
class CostlyImage:
    """An image and the seconds that its edits took by the cost model, as a mean over its reviews."""

    image: ImageId
    cost_s: float
    n_edits: int
    """changes of all its reviews"""


@dataclass(frozen=True, slots=True)
class Drift:
    """The things to look at next; of people who were shown the model's regions (arms assisted and gold)."""

    weeks: tuple[WeekOfEdits, ...]
    """by time, without reviews of unknown date"""
    relabels: tuple[Relabel, ...]
    """most frequent first"""
    costly_images: tuple[CostlyImage, ...]
    """dearest first, at most 200, of those with a change"""


def find_drift(tables: WorkTables, *, seed: int = 0) -> Drift:
    """The weeks, relabels and dear images of a log; ``seed`` draws what chance would do to the weeks."""
    return Drift(tuple(_weeks(tables, seed=seed)), tuple(_relabels(tables)), tuple(_costly_images(tables)))


def _weeks(tables: WorkTables, *, seed: int) -> Iterator[WeekOfEdits]:
    edits, week = tables.edits, tables.reviews["week"][tables.edits["review"]]
    model_said = edits["kind"] != EDIT_KINDS.index("added")
    kept = edits["kind"] == EDIT_KINDS.index("kept")
    of_week = {tables.weeks[code]: model_said & (week == code) for code in np.unique(week[model_said])}
    images = {name: _week_images(tables, chosen, kept) for name, chosen in of_week.items()}
    for one in compare_weeks(images, seed=seed):
        versions = np.unique(tables.reviews["version"][edits["review"][of_week[one.week]]])
        yield WeekOfEdits(
            week=one.week,
            acceptance_rate=one.share,
            model_versions=tuple(sorted(tables.versions[version] for version in versions)),
            change=one.change,
            change_low=one.change_low,
            change_high=one.change_high,
            changed=one.changed,
            n_before=one.n_before,
            n_after=one.n_after,
        )


def _week_images(tables: WorkTables, trials: Bools, successes: Bools) -> WeekImages:
    """The images of a week. Of several reviews of one image, one is compared: the people take turns."""
    reviews, review = np.unique(tables.edits["review"][trials], return_inverse=True)
    n_shown = np.bincount(review).astype(np.float64)
    n_kept = np.bincount(review, successes[trials])
    author, image = tables.reviews["author"][reviews], tables.reviews["image"][reviews]
    order = np.lexsort((author, image))
    images, first, n_reviews = np.unique(image[order], return_index=True, return_counts=True)
    one = order[first + images % n_reviews]
    return WeekImages(
        *_by_image(tables, trials, successes),
        who=author[one].astype(np.intp),
        compared_successes=n_kept[one],
        compared_trials=n_shown[one],
    )


def _relabels(tables: WorkTables) -> Iterator[Relabel]:
    edits = tables.edits
    relabeled = edits["kind"] == EDIT_KINDS.index("relabeled")
    model_said = edits["kind"] != EDIT_KINDS.index("added")
    pairs = np.unique(np.stack([edits["label"], edits["person_label"]], axis=1)[relabeled], axis=0)
    found = []
    for label, other in pairs:
        is_pair = relabeled & (edits["label"] == label) & (edits["person_label"] == other)
        renamed, shown = _by_image(tables, model_said & (edits["label"] == label), is_pair)
        share = wilson_by_image(renamed, shown)
        found.append(Relabel(tables.labels[label], tables.labels[other], int(is_pair.sum()), share))
    yield from sorted(found, key=lambda pair: (-pair.n, pair.model_label, pair.person_label))


def _costly_images(tables: WorkTables) -> Iterator[CostlyImage]:
    reviews = tables.reviews[~tables.reviews["control"]]
    n_images = len(tables.images)
    n_reviews = np.bincount(reviews["image"], minlength=n_images)
    cost_s = np.bincount(reviews["image"], weights=reviews["edits_s"], minlength=n_images)
    changed = tables.edits["kind"] != EDIT_KINDS.index("kept")
    n_edits = np.bincount(tables.reviews["image"][tables.edits["review"][changed]], minlength=n_images)
    mean_s = cost_s / np.maximum(n_reviews, 1)
    ranked = sorted(np.flatnonzero(n_edits), key=lambda i: (-mean_s[i], tables.images[i]))
    for i in ranked[:N_COSTLY]:
        yield CostlyImage(tables.images[i], float(mean_s[i]), int(n_edits[i]))


def _by_image(tables: WorkTables, trials: Bools, successes: Bools) -> tuple[Floats, Floats]:
    """Successes and trials of each image that has a trial, among the edits: (n,) each."""
    image = tables.reviews["image"][tables.edits["review"][trials]]
    images, row = np.unique(image, return_inverse=True)
    counts = [
        np.bincount(row, weights=weights, minlength=len(images)).astype(np.float64)
        for weights in (successes[trials], np.ones(len(row)))
    ]
    return counts[0], counts[1]
