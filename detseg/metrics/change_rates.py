"""Rates at which people change the regions that they are shown, also of what was seldom seen.

Every region was left, moved, reshaped, relabeled or deleted. The shares are learned by class, with or without
a mask, and tenth of the score; those among few regions are drawn to those of their class, and these to those
of all: ``credible_means`` is empirical Bayes by moments (Bühlmann and Straub, "Glaubwürdigkeit für
Schadensätze", 1970; Bühlmann and Gisler, "A Course in Credibility Theory and its Applications", 2005, chapter
4). How many regions people add is learned per image, by how many regions it shows.

scikit-learn's LogisticRegression of class and tenth orders images about as well: on 24 made projects
(``bench.ranking``) its list has 1.1 +- 0.5 points less of the seconds in its first fifth with 60 reviewed
images, 0.6 +- 0.2 more with 300 and 0.1 +- 0.1 more with 1,000, of 34 to 36 in all; gradient boosting is
within 0.6. Importing them takes longer than all of this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.metrics.costs import CostModel
from detseg.metrics.score_bins import score_bins_of
from detseg.metrics.work_log import WorkTables
from detseg.types import EDIT_KINDS, EditKind

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

CHANGES: tuple[EditKind, ...] = ("moved", "reshaped", "relabeled", "deleted")
"""The fates of a region that is shown, other than that it is left."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Reviews as the learning sees them, sorted into cells: class, mask, tenth of the score.

    Per review (r,): ``images`` (in ``WorkTables.images``), ``n_shown``, ``n_added``, ``added_s`` and
    ``changes_s``, which holds the former. Per region that was shown (e,): its ``review``, its ``cell`` and
    its ``fate``, in CHANGES, -1 where it was left.
    """

    images: Ints
    n_shown: Ints
    n_added: Floats
    added_s: Floats
    changes_s: Floats
    review: Ints
    cell: Ints
    fate: Ints
    cells: Ints
    """(c, 3): label, mask, tenth"""
    classes: Ints
    """(g, 2): label, mask"""
    class_of: Ints
    """(c,): the class of each cell"""
    sizes: Ints
    """(s,): the binary digits of ``n_shown`` that there are"""
    size: Ints
    """(r,): the size of each review, in ``sizes``"""
    prices: Floats
    """(2, 4): the seconds of each of CHANGES, without a mask and with one"""


def sort_reviews(tables: WorkTables, costs: CostModel) -> Sample:
    """The sample of a log: reviews of people who were shown the model's regions."""
    assisted = np.flatnonzero(~tables.reviews["control"])
    number = np.full(len(tables.reviews), -1)
    number[assisted] = np.arange(len(assisted))
    edits, review = tables.edits, number[tables.edits["review"]]
    added = edits["kind"] == EDIT_KINDS.index("added")
    kept = edits["kind"] == EDIT_KINDS.index("kept")
    shown = edits[~added]
    keys = np.stack([shown["label"], shown["masked"], score_bins_of(shown["score"])], axis=1).astype(np.intp)
    cells, cell = np.unique(keys, axis=0, return_inverse=True)
    classes, class_of = np.unique(cells[:, :2], axis=0, return_inverse=True)
    n_shown = np.bincount(review[~added], minlength=len(assisted))
    sizes, size = np.unique([int(n).bit_length() for n in n_shown], return_inverse=True)
    fates = np.array([CHANGES.index(kind) if kind in CHANGES else -1 for kind in EDIT_KINDS])
    prices = [[costs.kind_s(kind, masked=masked) for kind in CHANGES] for masked in (False, True)]
    return Sample(
        images=tables.reviews["image"][assisted].astype(np.intp),
        n_shown=n_shown,
        n_added=_sums(review[added], len(assisted)),
        added_s=_sums(review[added], len(assisted), edits["cost_s"][added]),
        changes_s=_sums(review[~kept], len(assisted), edits["cost_s"][~kept]),
        review=review[~added],
        cell=cell,
        fate=fates[shown["kind"]],
        cells=cells,
        classes=classes,
        class_of=class_of,
        sizes=sizes.astype(np.intp),
        size=size,
        prices=np.array(prices),
    )


@dataclass(frozen=True, slots=True, eq=False)
class ChangeRates:
    """Shares of CHANGES by cell (c, 4), by class (g, 4) and of all (4,); additions by size (s,), of all."""

    by_cell: Floats
    by_class: Floats
    anywhere: Floats
    added: Floats
    added_anywhere: float
    added_s: float

    def expected_s(self, sample: Sample) -> Floats:
        """The seconds that the changes of each review are expected to take: (r,)."""
        of_cell = (self.by_cell * sample.prices[sample.cells[:, 1]]).sum(axis=1)
        shown = np.bincount(sample.review, of_cell[sample.cell], len(sample.images))
        seconds: Floats = shown + self.added_s * self.added[sample.size]
        return seconds


def learn_rates(sample: Sample, chosen: Bools) -> ChangeRates:
    """From those of the reviews: (r,)."""
    rows = chosen[sample.review]
    n = _sums(sample.cell[rows], len(sample.cells))
    changed = rows & (sample.fate >= 0)
    n_cells, k = len(sample.cells), len(CHANGES)
    counts = _sums(sample.cell[changed] * k + sample.fate[changed], n_cells * k).reshape(n_cells, k)
    n_class = _sums(sample.class_of, len(sample.classes), n)
    of_class = np.stack([_sums(sample.class_of, len(n_class), column) for column in counts.T], axis=1)
    anywhere = counts.sum(axis=0) / max(n.sum(), 1.0)
    by_class = credible_means(n_class, of_class, of_class, parent=_one(n_class), above=anywhere[None])
    size, n_added = sample.size[chosen], sample.n_added[chosen]
    mean = float(n_added.sum() / max(len(n_added), 1))
    n_size, sums, squares = (_sums(size, len(sample.sizes), n_added**power) for power in range(3))
    added = credible_means(
        n_size, sums[:, None], squares[:, None], parent=_one(n_size), above=np.array([[mean]])
    )
    return ChangeRates(
        by_cell=credible_means(n, counts, counts, parent=sample.class_of, above=by_class),
        by_class=by_class,
        anywhere=anywhere,
        added=added[:, 0],
        added_anywhere=mean,
        added_s=float(sample.added_s[chosen].sum() / max(n_added.sum(), 1.0)),
    )


def _sums(group: Ints, n_groups: int, weights: Floats | None = None) -> Floats:
    """The weights of each group added up, or how many there are: (n_groups,)."""
    sums: Floats = np.bincount(group, weights, n_groups).astype(np.float64)
    return sums


def _one(groups: Floats) -> Ints:
    """One parent for all of them."""
    return np.zeros(len(groups), dtype=np.intp)


def credible_means(n: Floats, sums: Floats, squares: Floats, *, parent: Ints, above: Floats) -> Floats:
    """Means of groups, drawn to that of the group above as far as the groups' own data is too little.

    ``n`` (g,) counts the trials of each group, ``sums`` and ``squares`` (g, k) add up what they gave and its
    square; ``parent`` (g,) says which row of ``above`` (p, k), means too, a group belongs to. The answer is

        (sum + m * above) / (n + m),    m = variance within groups / variance between groups of one parent

    so the mean above weighs as much as ``m`` trials, at least one; groups that differ no more than chance
    makes them have the mean above.

    >>> deleted = np.array([[90.0], [10.0], [1.0]])  # of 100, 100 and 1 regions
    >>> n = np.array([100.0, 100.0, 1.0])
    >>> credible_means(n, deleted, deleted, parent=np.zeros(3, int), above=np.array([[0.5]])).round(2)
    array([[0.9 ],
           [0.1 ],
           [0.75]])
    """
    weight = _weight(n, sums, squares, parent=parent)
    if math.isinf(weight):
        return above[parent]
    means: Floats = (sums + weight * above[parent]) / (n + weight)[:, None]
    return means


def _weight(n: Floats, sums: Floats, squares: Floats, *, parent: Ints) -> float:
    """``m`` of ``credible_means``, from 1; infinite where groups do not differ or nothing can tell."""
    seen = n > 0
    n, sums, squares, parent = n[seen], sums[seen], squares[seen], parent[seen]
    n_families = len(np.unique(parent))
    if n.sum() <= len(n) or len(n) <= n_families:
        return math.inf
    means = sums / n[:, None]
    within = float((squares - n[:, None] * means**2).sum()) / (n.sum() - len(n))
    of_family = np.bincount(parent, n)
    totals = np.stack([np.bincount(parent, column) for column in sums.T], axis=1)
    centres = totals / np.maximum(of_family, 1.0)[:, None]
    spread = float((n[:, None] * (means - centres[parent]) ** 2).sum())
    effective = n.sum() - float((n**2 / of_family[parent]).sum())
    between = (spread - (len(n) - n_families) * within) / effective
    return max(1.0, within / between) if between > 0.0 else math.inf
