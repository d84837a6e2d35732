"""People's edits as two tables, one row per review and one per edit: what all figures of work are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detseg.geometry.extent import extent
from detseg.metrics.cases import Case
from detseg.metrics.costs import CostModel
from detseg.metrics.edits import find_edits
from detseg.metrics.weeks import iso_week
from detseg.types import EDIT_KINDS, Annotation, Edit, ImageId, Instance, Mask

Table = npt.NDArray[np.void]

REVIEW = np.dtype(
    [
        ("image", np.int32),  # in WorkTables.images
        ("control", np.bool_),
        ("version", np.int32),
        ("author", np.int32),
        ("week", np.int32),
        ("lead_s", np.float64),  # NaN where it is unknown
        ("by_hand_s", np.float64),  # the cost model's, to draw what the review holds
        ("by_hand_price", np.float64),
        ("edits_s", np.float64),  # the cost model's, to check and correct what was shown
        ("redrawn_s", np.float64),  # of these, to draw
    ]
)
"""A judged review. Names are codes: positions in the lists of ``WorkTables``."""

EDIT = np.dtype(
    [
        ("review", np.int32),
        ("kind", np.int8),  # in EDIT_KINDS
        ("label", np.int32),  # the model's, or the person's where it was added
        ("person_label", np.int32),  # -1 where it was deleted
        ("masked", np.bool_),  # whether the model's region has a mask
        ("score", np.float64),  # NaN where there is none
        ("drawing_s", np.float64),  # the cost model's, for the region after, else before
        ("cost_s", np.float64),  # the cost model's, for the edit
        ("iou", np.float64),  # these three are NaN where they are not defined
        ("moved_px", np.float64),
        ("repainted", np.float64),
    ]
)
"""An edit by a person who was shown the model's regions."""


@dataclass(frozen=True, slots=True, eq=False)
class WorkTables:
    """The log as arrays. Images are those with a judged review, in the order in which they came."""

    reviews: Table
    edits: Table
    images: tuple[ImageId, ...]
    labels: tuple[str, ...]
    versions: tuple[str, ...]
    authors: tuple[str, ...]
    weeks: tuple[str, ...]
    n_declined: int


class WorkLog:
    """Judged reviews of the arms assisted, gold and control. Decoys would bias what people do: they stay out.

    ``costs`` turns regions and edits into seconds and prices.
    """

    def __init__(self, costs: CostModel) -> None:
        self._costs = costs
        self._reviews, self._edits = _Rows(REVIEW), _Rows(EDIT)
        self._images = _Codes()
        self._labels, self._versions, self._authors, self._weeks = _Codes(), _Codes(), _Codes(), _Codes()
        self._n_declined = 0

    def add(self, case: Case) -> None:
        if case.arm == "decoy":
            return
        for review in case.reviews:
            if review.state in ("labeled", "empty"):
                self._add_review(case, review)
            elif case.arm != "control":
                self._n_declined += 1

    def tables(self) -> WorkTables:
        """Everything so far; labels and other names in the order in which they came."""
        return WorkTables(
            reviews=self._reviews.table(),
            edits=self._edits.table(),
            images=tuple(map(ImageId, self._images)),
            labels=tuple(self._labels),
            versions=tuple(self._versions),
            authors=tuple(self._authors),
            weeks=tuple(self._weeks),
            n_declined=self._n_declined,
        )

    def _add_review(self, case: Case, review: Annotation) -> None:
        control = case.arm == "control"
        edits = () if control else find_edits(case.prediction, review)
        drawn = [region.instance for region in review.regions]
        number = self._reviews.append(
            (
                self._images.code(case.image),
                control,
                self._versions.code(case.model_version),
                self._authors.code(review.author),
                self._weeks.code(iso_week(review.updated_at)),
                _or_nan(review.lead_time_s),
                sum(map(self._costs.drawing_s, drawn)),
                sum(map(self._costs.drawing_price, drawn)),
                sum(map(self._costs.edit_s, edits)),
                sum(map(self._costs.redrawing_s, edits)),
            )
        )
        for edit in edits:
            self._edits.append(self._edit_row(number, edit))

    def _edit_row(self, review: int, edit: Edit) -> tuple[Any, ...]:
        before = edit.before.instance if edit.before else None
        after = edit.after.instance if edit.after else None
        first, last = before or after, after or before
        assert first is not None  # an edit has a side,
        assert last is not None  # one at least
        both = before is not None and after is not None
        return (
            review,
            EDIT_KINDS.index(edit.kind),
            self._labels.code(first.label),
            self._labels.code(after.label) if after else -1,
            before is not None and before.mask is not None,
            _or_nan(before.score if before else None),
            self._costs.drawing_s(last),
            self._costs.edit_s(edit),
            _or_nan(edit.iou),
            moved_px(first, last) if both and edit.kind == "moved" else np.nan,
            repainted(first.mask, last.mask, edit.iou) if both and edit.kind == "reshaped" else np.nan,
        )


def moved_px(before: Instance, after: Instance) -> float:
    """Return how far the four sides of the box went, as a mean, in pixels."""
    sides = zip(extent(before).xyxy, extent(after).xyxy, strict=True)
    return sum(abs(a - b) for a, b in sides) / 4.0


def repainted(before: Mask | None, after: Mask | None, iou: float | None) -> float:
    """(pixels painted + pixels erased) / pixels of the mask before, from 0; ``iou`` is that of the masks.

    NaN where there are not two masks of one size, or nothing was painted before.
    """
    if before is None or after is None or iou is None or before.size != after.size or not before.area:
        return float("nan")
    pixels = before.area + after.area
    common = iou * pixels / (1.0 + iou)
    return (pixels - 2.0 * common) / before.area


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


class _Codes(dict[str, int]):
    """Names and their numbers, from 0 in the order in which they came."""

    def code(self, name: str) -> int:
        return self.setdefault(name, len(self))


class _Rows:
    """Rows of a table, kept packed."""

    _BLOCK = 4096

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._dtype = dtype
        self._blocks: list[Table] = []
        self._rows: list[tuple[Any, ...]] = []

    def append(self, row: Sequence[Any]) -> int:
        """Its number, from 0."""
        self._rows.append(tuple(row))
        if len(self._rows) == self._BLOCK:
            self._blocks.append(np.array(self._rows, dtype=self._dtype))
            self._rows = []
            return self._BLOCK * len(self._blocks) - 1
        return self._BLOCK * len(self._blocks) + len(self._rows) - 1

    def table(self) -> Table:
        return np.concatenate([*self._blocks, np.array(self._rows, dtype=self._dtype)])
