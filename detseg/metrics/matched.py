"""Regions of two annotations that mean the same: the sums that precision, F1 and mean IoU are made of."""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from detseg.geometry.extent import box_iou_of, instance_iou_matrix
from detseg.geometry.matching import match_by_label
from detseg.metrics.intervals import Estimate, mean_by_image, wilson_by_image
from detseg.types import Annotation

Floats = npt.NDArray[np.float64]

MIN_IOU = 0.5
"""Regions of one label that overlap less are two objects."""


@dataclass(slots=True)
class Matched:
    """Two annotations beside each other: regions of each, pairs that met, and sums of IoUs over these."""

    n_first: int = 0
    n_second: int = 0
    n_met: int = 0
    box_iou: float = 0.0
    n_masks: int = 0
    mask_iou: float = 0.0

    def add(self, other: Matched) -> None:
        """Adds the other's counts and sums to these."""
        for name in _NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_NAMES = tuple(entry.name for entry in fields(Matched))


def match_regions(first: Annotation, second: Annotation) -> dict[str, Matched]:
    """By label, what two annotations of one image have in common.

    Regions meet one to one within their label, from ``MIN_IOU`` on, by the largest sum of IoUs: of masks
    where both have one, else of boxes.
    """
    found: defaultdict[str, Matched] = defaultdict(Matched)
    a = [region.instance for region in first.regions]
    b = [region.instance for region in second.regions]
    for instance in a:
        found[instance.label].n_first += 1
    for instance in b:
        found[instance.label].n_second += 1
    iou = instance_iou_matrix(a, b)
    for i, j in match_by_label([one.label for one in a], [one.label for one in b], iou, min_iou=MIN_IOU):
        met = found[a[i].label]
        met.n_met += 1
        met.box_iou += box_iou_of(a[i], b[j])
        if a[i].mask is not None and b[j].mask is not None:
            met.n_masks += 1
            met.mask_iou += float(iou[i, j])
    return dict(found)


class MatchedRows:
    """One row of sums per image, kept small."""

    def __init__(self) -> None:
        self._numbers = array("d")

    def __len__(self) -> int:
        return len(self._numbers) // len(_NAMES)

    def add(self, matched: Matched) -> None:
        """One more image."""
        self._numbers.extend(getattr(matched, name) for name in _NAMES)

    def column(self, name: str) -> Floats:
        """Return that field of ``Matched`` for each image: (n_images,)."""
        column: Floats = np.array(self._numbers[_NAMES.index(name) :: len(_NAMES)], dtype=np.float64)
        return column

    def share(self, part: str, *of: str) -> Estimate:
        """The share of one field's sum in that of others; a part that stands in several counts as often."""
        return wilson_by_image(len(of) * self.column(part), sum(self.column(name) for name in of))

    def mean_iou(self, total: str, count: str) -> Estimate:
        """The mean IoU of regions that met, in [0, 1], by image.

        From ``MIN_IOU`` on, unless it is that of the boxes of regions whose masks met.
        """
        by_masks = total == "box_iou" and bool(self.column("n_masks").any())
        return mean_by_image(
            self.column(total), self.column(count), within=(0.0 if by_masks else MIN_IOU, 1.0)
        )
