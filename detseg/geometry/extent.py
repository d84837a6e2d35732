"""The extents of instances, whether a box gives them or a mask, and how much they overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from detseg.geometry.boxes import box_iou, box_iou_matrix, boxes_to_array
from detseg.geometry.masks import mask_iou_matrix, mask_to_box
from detseg.types import Box, Instance

NOWHERE = Box(0.0, 0.0, 0.0, 0.0)
"""A box without area: it overlaps nothing."""


def extent(instance: Instance) -> Box:
    """The box, or the tight box of the mask where there is none; ``NOWHERE`` for an empty mask."""
    return instance.box or (instance.mask and mask_to_box(instance.mask)) or NOWHERE


def instance_iou_matrix(a: Sequence[Instance], b: Sequence[Instance]) -> npt.NDArray[np.float64]:
    """Compute the overlap of instances: (N, M), in [0, 1].

    The IoU of the masks where both have one, else that of the boxes, taking the tight box of a mask where
    there is no box.
    """
    iou = box_iou_matrix(boxes_to_array([extent(i) for i in a]), boxes_to_array([extent(i) for i in b]))
    rows = [i for i, instance in enumerate(a) if instance.mask is not None]
    columns = [j for j, instance in enumerate(b) if instance.mask is not None]
    masks_a = [instance.mask for instance in a if instance.mask is not None]
    masks_b = [instance.mask for instance in b if instance.mask is not None]
    iou[np.ix_(rows, columns)] = mask_iou_matrix(masks_a, masks_b)
    return iou


def box_iou_of(a: Instance, b: Instance) -> float:
    """The IoU of two instances' boxes, in [0, 1]; the tight box of the mask where there is no box."""
    return box_iou(extent(a), extent(b))
