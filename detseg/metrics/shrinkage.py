"""Shrinkage of the means of few: empirical Bayes by moments, from groups to the group above them.

Bühlmann and Straub, "Glaubwürdigkeit für Schadensätze", 1970; Bühlmann and Gisler, "A Course in Credibility
Theory and its Applications", 2005, chapter 4.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


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
