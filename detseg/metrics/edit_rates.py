"""Rates of acceptance and of each kind of edit, and how far changed regions went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.metrics.edits import EditCounts
from detseg.metrics.intervals import UNKNOWN, Estimate, events_by_image, wilson_by_image
from detseg.metrics.score_bins import SCORE_BINS, score_bins_of
from detseg.metrics.work_log import Table, WorkTables
from detseg.types import EDIT_KINDS, EditKind

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_ADDED = EDIT_KINDS.index("added")
_AT_ONCE = 64  # slices in memory


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quartiles of values; all None without any."""

    n: int
    p10: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p90: float | None


@dataclass(frozen=True, slots=True)
class HowFar:
    """The size of the changes, over the changed regions."""

    iou: Quantiles
    """of a moved or relabeled box, or of a reshaped mask, before against after, in [0, 1]"""
    moved_px: Quantiles
    """of moved regions: how far the box's four sides went, as a mean, in pixels of the image"""
    repainted: Quantiles
    """of reshaped masks: pixels painted and erased / pixels of the model's mask, from 0; not where one of the
    two masks is missing or empty"""


@dataclass(frozen=True, slots=True)
class EditRates:
    """The edits of regions: of all, or of one class, model version, annotator, week or score."""

    n_images: int
    """images with a judged review in this slice (class and score: of all reviews)"""
    counts: EditCounts
    acceptance_rate: Estimate
    """kept / n_predicted, in [0, 1]; by image"""
    deletion_rate: Estimate
    """deleted / n_predicted, in [0, 1]; by image"""
    addition_rate: Estimate
    """added / (regions of the reviews), in [0, 1]: what the model missed; by image"""
    edits_per_image: Estimate
    """edits but kept ones / reviews, from 0; by image"""


@dataclass(frozen=True, slots=True)
class Edits:
    """The edits of people who were shown the model's regions (arms assisted and gold).

    Every judged (labeled or empty) review counts, also where several people saw one image. Regions count
    under the model's label, added ones under the person's. Keys of weeks are ISO weeks in UTC ("2026-W07"),
    of scores tenths ("0.8-0.9"), where added regions are in none; "unknown" stands for what is not known.
    """

    n_images: int
    """with a judged review"""
    n_reviews: int
    """judged ones"""
    n_declined: int
    """reviews that say skipped or unlabeled: nobody judged the regions"""
    all: EditRates
    per_class: Mapping[str, EditRates]
    per_model_version: Mapping[str, EditRates]
    per_annotator: Mapping[str, EditRates]
    per_week: Mapping[str, EditRates]
    per_score: Mapping[str, EditRates]
    how_far: HowFar
    how_far_per_class: Mapping[str, HowFar]


def edit_rates(tables: WorkTables) -> Edits:
    """The edits of a log, as a whole and in every slice."""
    assisted = ~tables.reviews["control"]
    whole, classes, versions, authors, weeks, scores = (
        dict(_rates(tables, slicing)) for slicing in _slicings(tables)
    )
    return Edits(
        n_images=len(np.unique(tables.reviews["image"][assisted])),
        n_reviews=int(assisted.sum()),
        n_declined=tables.n_declined,
        all=whole["all"],
        per_class=classes,
        per_model_version=versions,
        per_annotator=authors,
        per_week=weeks,
        per_score=scores,
        how_far=_how_far(tables.edits),
        how_far_per_class={
            label: _how_far(tables.edits[tables.edits["label"] == tables.labels.index(label)])
            for label in classes
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Slicing:
    """A way to sort edits into slices. ``reviews`` sorts reviews too; None where each slice has them all."""

    names: Sequence[str]
    edits: Ints
    """the slice of each edit, -1 for none"""
    reviews: Ints | None = None
    counts_added: bool = True
    """whether added regions are in the slices"""


def _slicings(tables: WorkTables) -> Iterator[_Slicing]:
    """All, classes, model versions, annotators, weeks, scores."""
    edits, reviews = tables.edits, tables.reviews
    zeros = np.zeros(len(reviews), dtype=np.int64)
    yield _Slicing(("all",), zeros[edits["review"]], zeros)
    yield _Slicing(tables.labels, edits["label"].astype(np.int64))
    for names, column in ((tables.versions, "version"), (tables.authors, "author"), (tables.weeks, "week")):
        codes = reviews[column].astype(np.int64)
        yield _Slicing(names, codes[edits["review"]], codes)
    tenths = score_bins_of(edits["score"])
    tenths[edits["kind"] == _ADDED] = -1
    yield _Slicing(SCORE_BINS, tenths, counts_added=False)


def _rates(tables: WorkTables, slicing: _Slicing) -> Iterator[tuple[str, EditRates]]:
    """The slices that have an edit or a review of their own, by name."""
    assisted = ~tables.reviews["control"]
    own = slicing.edits if slicing.reviews is None else slicing.reviews[assisted]
    wanted = sorted((slicing.names[i], i) for i in np.unique(own[own >= 0]))
    if not wanted and slicing.names == ("all",):
        wanted = [("all", 0)]
    for start in range(0, len(wanted), _AT_ONCE):
        names, codes = zip(*wanted[start : start + _AT_ONCE], strict=True)
        reviews, kinds = _per_image(tables, slicing, np.array(codes))
        yield from zip(names, _rates_of(reviews, kinds, slicing.counts_added), strict=True)


def _per_image(tables: WorkTables, slicing: _Slicing, codes: Ints) -> tuple[Floats, dict[EditKind, Floats]]:
    """Count the reviews, and the edits of each kind, of every image in those slices: (n_images, k) each."""
    assisted = ~tables.reviews["control"]
    images = np.unique(tables.reviews["image"][assisted])
    column = np.full(len(slicing.names) + 1, -1)  # its last entry is that of -1: in no slice
    column[codes] = np.arange(len(codes))

    def count(image: Ints, slices: Ints) -> Floats:
        at, columns = np.searchsorted(images, image), column[slices]
        flat = np.bincount((at * len(codes) + columns)[columns >= 0], minlength=len(images) * len(codes))
        return flat.reshape(len(images), len(codes)).astype(np.float64)

    image = tables.reviews["image"]
    if slicing.reviews is None:
        one_each = np.bincount(np.searchsorted(images, image[assisted]), minlength=len(images))
        reviews = np.repeat(one_each[:, None], len(codes), axis=1).astype(np.float64)
    else:
        reviews = count(image[assisted], slicing.reviews[assisted])
    of_edit = image[tables.edits["review"]]
    kinds: dict[EditKind, Floats] = {}
    for number, kind in enumerate(EDIT_KINDS):
        chosen = tables.edits["kind"] == number
        kinds[kind] = count(of_edit[chosen], slicing.edits[chosen])
    return reviews, kinds


def _rates_of(reviews: Floats, kinds: Mapping[EditKind, Floats], counts_added: bool) -> Iterator[EditRates]:
    added, deleted = kinds["added"], kinds["deleted"]
    everything = np.sum(list(kinds.values()), axis=0)
    predicted, reviewed = everything - added, everything - deleted
    changed = everything - kinds["kept"]
    for j in range(reviews.shape[1]):
        n_images = int(np.count_nonzero(reviews[:, j]))
        counts = EditCounts(**{kind: int(counts[:, j].sum()) for kind, counts in kinds.items()})
        yield EditRates(
            n_images=n_images,
            counts=counts,
            acceptance_rate=wilson_by_image(kinds["kept"][:, j], predicted[:, j]),
            deletion_rate=wilson_by_image(deleted[:, j], predicted[:, j]),
            addition_rate=wilson_by_image(added[:, j], reviewed[:, j]) if counts_added else UNKNOWN,
            edits_per_image=events_by_image(changed[:, j], everything[:, j], reviews[:, j]),
        )


def _how_far(edits: Table) -> HowFar:
    kept = edits["kind"] == EDIT_KINDS.index("kept")
    return HowFar(
        iou=quantiles(edits["iou"][~kept]),
        moved_px=quantiles(edits["moved_px"]),
        repainted=quantiles(edits["repainted"]),
    )


def quantiles(values: Floats) -> Quantiles:
    """Of the values that are not NaN.

    >>> quantiles(np.array([1.0, 2.0, float("nan"), 3.0])).p50
    2.0
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return Quantiles(0, None, None, None, None, None)
    return Quantiles(len(known), *map(float, np.quantile(known, [0.1, 0.25, 0.5, 0.75, 0.9])))
