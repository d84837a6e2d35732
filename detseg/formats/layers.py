"""The masks of an image laid over each other, for formats in which a pixel has one owner.

A pixel belongs to the first mask that covers it, as everywhere in the house.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from detseg.formats import ImageLabels
from detseg.formats.dataset import Loss
from detseg.geometry.label_maps import LabelMap, paint, renumber, shared_pixels


def paint_masks(image: ImageLabels) -> LabelMap:
    """The map of an image: the place of the owner among the image's instances, from 1; 0 for none."""
    places, masks = [0], []
    for place, one in enumerate(image.instances, 1):
        if one.mask is not None:
            places.append(place)
            masks.append(one.mask)
    return renumber(paint(masks, image.size), np.array(places))


def count_visible(owners: LabelMap, n_instances: int) -> npt.NDArray[np.int64]:
    """The pixels of such a map that have no owner, then those of each instance: shape (n_instances + 1,)."""
    return shared_pixels(owners, shape=(n_instances + 1,))


def overlap_losses(image: ImageLabels) -> Counter[Loss]:
    """Masks that lose pixels to those before them, some or all."""
    lost: Counter[Loss] = Counter()
    visible = count_visible(paint_masks(image), len(image.instances))[1:].tolist()
    for one, n_pixels in zip(image.instances, visible, strict=True):
        if one.mask is not None and n_pixels < one.mask.area:
            lost["masks cut where others cover them" if n_pixels else "masks hidden by others left out"] += 1
    return lost
