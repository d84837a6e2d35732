"""Which region of the model is of the same object as which label: one to one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.geometry.matching import match_one_to_one

Matrix = npt.NDArray[np.float64]
Choice = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_TOUCHING = 0.05
"""The IoU of regions of one label that have no better match: one moved by 60 % and more still has it."""


@dataclass(frozen=True, slots=True, eq=False)
class Counterparts:
    """``of_own`` (N,) has the other's region of each own one, ``of_other`` (M,) its own one; -1 for none."""

    of_own: Ints
    of_other: Ints


def find_counterparts(iou: Matrix, same: Choice, inside: Choice, *, same_iou: float) -> Counterparts:
    """Match regions (N, M): first in one place whatever their labels are, then what is left of one label.

    In one place (from ``same_iou`` on) a region of the same label goes before one that overlaps better: that
    its label is wrong is likely only where nothing speaks for it. What is left was moved, cut or drawn too
    large: it touches, or one lies ``inside`` the other.
    """
    of_own = np.full(iou.shape[0], -1, dtype=np.int64)
    of_other = np.full(iou.shape[1], -1, dtype=np.int64)
    met = match_one_to_one(np.where(iou >= same_iou, (iou + same) / 2, 0.0), min_iou=0.0)
    for i, j in met:
        of_own[i], of_other[j] = j, i
    free = same & ((iou >= _TOUCHING) | inside) & (of_own < 0)[:, None] & (of_other < 0)[None, :]
    for i, j in match_one_to_one(np.where(free, iou, 0.0), min_iou=0.0) if free.any() else ():
        of_own[i], of_other[j] = j, i
    return Counterparts(of_own, of_other)
