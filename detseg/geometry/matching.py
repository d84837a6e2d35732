"""One-to-one matching: which row of one list means the same object as which row of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def match_one_to_one(iou: npt.NDArray[np.float64], *, min_iou: float) -> tuple[tuple[int, int], ...]:
    """The pairs (row, column) with the largest sum of IoUs, sorted by row; each row and column at most once.

    ``iou`` has shape (N, M), in [0, 1]. Pairs below ``min_iou``, and pairs that do not touch (IoU 0), are
    never matched. Source of the method: Kuhn, "The Hungarian method for the assignment problem", 1955.
    """
    from scipy.optimize import linear_sum_assignment  # a third of the time that most commands take to start

    allowed = (iou >= min_iou) & (iou > 0.0)
    if not allowed.any():
        return ()
    rows, columns = linear_sum_assignment(np.where(allowed, iou, 0.0), maximize=True)
    return tuple((int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j])


def match_by_label(
    labels_a: Sequence[str],
    labels_b: Sequence[str],
    iou: npt.NDArray[np.float64],
    *,
    min_iou: float,
) -> tuple[tuple[int, int], ...]:
    """``match_one_to_one`` among pairs of one label only. ``iou`` has shape (N, M): labels_a by labels_b."""
    codes = {label: code for code, label in enumerate({*labels_a, *labels_b})}
    a, b = (np.array([codes[label] for label in labels], dtype=np.int64) for labels in (labels_a, labels_b))
    return match_one_to_one(np.where(a[:, None] == b, iou, 0.0), min_iou=min_iou)
