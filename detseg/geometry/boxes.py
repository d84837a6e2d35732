"""Boxes: forms, clipping, overlaps. The one form inside detseg is half-open xyxy in pixels.

Arrays of boxes have shape (N, 4), float64, one row ``x0 y0 x1 y1``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from detseg.types import Box, Size

Floats = npt.NDArray[np.float64]

_PAIRS_AT_ONCE = 100_000
"""The way to an IoU takes eight times its memory."""


def xywh_to_box(xywh_px: Sequence[float]) -> Box:
    """The box of COCO's ``[x, y, width, height]``; ValueError for a negative width or height."""
    x, y, width, height = map(float, xywh_px)
    return Box(x, y, x + width, y + height)


def box_to_xywh(box: Box) -> tuple[float, float, float, float]:
    """COCO's ``(x, y, width, height)`` in pixels."""
    return (box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0)


def clip_box(box: Box, size: Size) -> Box | None:
    """The part of a box that lies inside the image; None if that part has no area."""
    x0, x1 = max(box.x0, 0.0), min(box.x1, float(size.width))
    y0, y1 = max(box.y0, 0.0), min(box.y1, float(size.height))
    if x0 >= x1 or y0 >= y1:
        return None
    return box if (x0, y0, x1, y1) == box.xyxy else Box(x0, y0, x1, y1)


def boxes_to_array(boxes: Sequence[Box]) -> Floats:
    """Corners of shape (N, 4), also for N = 0."""
    return np.array([box.xyxy for box in boxes], dtype=np.float64).reshape(-1, 4)


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union in [0, 1]; 0 where both have no area.

    >>> box_iou(Box(0, 0, 2, 2), Box(1, 0, 3, 2))
    0.3333333333333333
    """
    width = max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0))
    height = max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))
    intersection = width * height
    union = a.area + b.area - intersection
    return intersection / union if union > 0.0 else 0.0


def box_iou_matrix(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every row of a (N, 4) with every row of b (M, 4): (N, M), in [0, 1].

    A pair without any area has IoU 0.
    """
    iou = np.zeros((len(a), len(b)))
    n_rows = max(1, _PAIRS_AT_ONCE // max(1, len(b)))
    for start in range(0, len(a), n_rows):
        _fill_iou(iou[start : start + n_rows], a[start : start + n_rows], b)
    return iou


def _fill_iou(iou: Floats, a: Floats, b: Floats) -> None:
    """Put the IoUs of (N, 4) and (M, 4) into zeros of shape (N, M)."""
    width = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])  # (N, M)
    height = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    intersection = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    area_a, area_b = ((one[:, 2] - one[:, 0]) * (one[:, 3] - one[:, 1]) for one in (a, b))  # (N,), (M,)
    union = area_a[:, None] + area_b[None, :] - intersection
    np.divide(intersection, union, out=iou, where=union > 0.0)
