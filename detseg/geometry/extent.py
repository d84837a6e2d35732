"""The extents of instances, whether a box or a mask gives them: how they overlap, and what they cover."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from detseg.geometry.boxes import box_iou, box_iou_matrix, boxes_to_array
from detseg.geometry.masks import mask_area, mask_iou_matrix, mask_to_box, unite_masks
from detseg.types import Box, Instance, Mask, Size

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


def covered_pixels(instances: Iterable[Instance], size: Size) -> dict[str, int]:
    """Count the pixels of an image of that size that masks of each class cover, those in several masks once.

    Sorted by label. Instances that have a box alone cover nothing, nor do masks of another size.
    """
    masks: defaultdict[str, list[Mask]] = defaultdict(list)
    for instance in instances:
        if instance.mask is not None and instance.mask.size == size:
            masks[instance.label].append(instance.mask)
    return {
        label: mask_area(unite_masks(those) if len(those) > 1 else those[0])
        for label, those in sorted(masks.items())
    }
