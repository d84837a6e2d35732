"""What a simulated person sees of an image: its true objects, and the regions of the model on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.geometry.boxes import box_iou_matrix, boxes_to_array
from detseg.geometry.extent import extent
from detseg.geometry.masks import mask_iou_matrix
from detseg.geometry.matching import match_one_to_one
from detseg.types import Instance, Size

MEANT_IOU = 0.3
"""Below this overlap a person sees no attempt at the object: they delete the region and draw a new one."""


@dataclass(frozen=True, slots=True)
class Scene:
    """An image with its truth. ``means`` has the true object that each shown region means, if there is one,
    and the IoU of the two."""

    name: str
    size: Size
    truth: tuple[Instance, ...]
    shown: tuple[Instance, ...] = ()
    means: Mapping[int, tuple[int, float]] | None = None


def make_scene(name: str, size: Size, truth: Sequence[Instance], shown: Sequence[Instance]) -> Scene:
    """Find what each shown region means: one to one, from ``MEANT_IOU`` on; an equal label decides."""
    overlap = overlaps(shown, truth)
    same = np.array([[a.label == b.label for b in truth] for a in shown], dtype=bool).reshape(overlap.shape)
    pairs = match_one_to_one(
        np.where(overlap >= MEANT_IOU, (overlap + same) / 2.0, 0.0), min_iou=MEANT_IOU / 2.0
    )
    means = {i: (j, float(overlap[i, j])) for i, j in pairs}
    return Scene(name, size, tuple(truth), tuple(shown), means)


def overlaps(a: Sequence[Instance], b: Sequence[Instance]) -> npt.NDArray[np.float64]:
    """The IoU of each of ``a`` with each of ``b``: of masks where all have one, else of boxes."""
    masks = [[one.mask for one in some if one.mask is not None] for some in (a, b)]
    if len(masks[0]) == len(a) and len(masks[1]) == len(b):
        return mask_iou_matrix(*masks) if a and b else np.zeros((len(a), len(b)))
    return box_iou_matrix(*(boxes_to_array([extent(one) for one in some]) for some in (a, b)))
