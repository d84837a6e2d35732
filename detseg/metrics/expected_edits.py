"""Edits to expect in images that nobody has reviewed, by the rates of ``change_rates``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from detseg.metrics.change_rates import CHANGES, learn_rates, sort_reviews
from detseg.metrics.costs import CostModel
from detseg.metrics.score_bins import score_bin_of
from detseg.metrics.work_log import WorkTables

Floats = npt.NDArray[np.float64]

_NOTHING = (0.0,) * len(CHANGES)


@dataclass(frozen=True, slots=True)
class ShownRegion:
    """The facts about a region of the model that are known before anybody looks at it."""

    label: str
    masked: bool
    score: float | None


@dataclass(frozen=True, slots=True)
class PerChange:
    """A number for each kind of change: how many are expected in an image, or their seconds."""

    moved: float
    reshaped: float
    relabeled: float
    deleted: float
    added: float

    @property
    def total(self) -> float:
        """Of all kinds."""
        return sum(float(getattr(self, entry.name)) for entry in fields(self))


@dataclass(frozen=True, slots=True)
class Fate:
    """The expectation for one region: the probability of each of ``CHANGES``, and the seconds of each."""

    shares: tuple[float, ...]
    costs_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Expectations:
    """The expectations for regions and images, from ``learn_expectations``."""

    by_score: Mapping[tuple[str, bool, int], Fate]
    """by class, mask and tenth of the score"""
    by_class: Mapping[tuple[str, bool], Fate]
    by_mask: tuple[Fate, Fate]
    """of classes that nobody has reviewed, without a mask and with one"""
    added: Mapping[int, float]
    """added regions per image, by the binary digits of how many it shows: 0, 1, 2 to 3, 4 to 7, ..."""
    added_anywhere: float
    """the same of all images"""
    added_s: float
    """seconds to draw an added region, as a mean"""

    def edits(self, regions: Sequence[ShownRegion]) -> PerChange:
        """Sum the edits of each kind that an image with those regions is expected to need."""
        return _total([self.fate(region).shares for region in regions], self._n_added(regions))

    def costs_s(self, regions: Sequence[ShownRegion]) -> PerChange:
        """The seconds that the changes in such an image are expected to take."""
        costs = [self.fate(region).costs_s for region in regions]
        return _total(costs, self.added_s * self._n_added(regions))

    def fate(self, region: ShownRegion) -> Fate:
        """Of a region like this: of its class and score as far as such were reviewed."""
        own = self.by_score.get((region.label, region.masked, score_bin_of(region.score)))
        return own or self.by_class.get((region.label, region.masked)) or self.by_mask[region.masked]

    def _n_added(self, regions: Sequence[ShownRegion]) -> float:
        return self.added.get(len(regions).bit_length(), self.added_anywhere)


def _total(per_region: Sequence[tuple[float, ...]], added: float) -> PerChange:
    moved, reshaped, relabeled, deleted = map(sum, zip(_NOTHING, *per_region, strict=True))
    return PerChange(moved, reshaped, relabeled, deleted, added)


def learn_expectations(tables: WorkTables, costs: CostModel) -> Expectations:
    """From all reviews of people who were shown the model's regions."""
    sample = sort_reviews(tables, costs)
    learned = learn_rates(sample, np.ones(len(sample.images), dtype=np.bool_))
    cells = [(tables.labels[label], bool(masked), int(tenth)) for label, masked, tenth in sample.cells]
    classes = [(tables.labels[label], bool(masked)) for label, masked in sample.classes]

    def fate(shares: Floats, masked: bool) -> Fate:
        return Fate(tuple(shares.tolist()), tuple((shares * sample.prices[int(masked)]).tolist()))

    return Expectations(
        by_score={cell: fate(learned.by_cell[i], cell[1]) for i, cell in enumerate(cells)},
        by_class={key: fate(learned.by_class[i], key[1]) for i, key in enumerate(classes)},
        by_mask=(fate(learned.anywhere, False), fate(learned.anywhere, True)),
        added=dict(zip(sample.sizes.tolist(), learned.added.tolist(), strict=True)),
        added_anywhere=learned.added_anywhere,
        added_s=learned.added_s,
    )
