"""Edits of the model's regions, found by comparing values, never by what the page says it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detseg.geometry.extent import box_iou_of, instance_iou_matrix
from detseg.geometry.masks import mask_iou_matrix
from detseg.geometry.matching import match_by_label, match_one_to_one
from detseg.types import Annotation, Box, Edit, EditKind, Instance, Mask, Region

SAME_CORNER_PX = 0.05
"""Corners this close are one: percentages in the annotation tool cost that much."""

SAME_MASK_IOU = 0.999
"""Masks that overlap more than this are one."""

REDRAWN_IOU = 0.5
"""A region that was deleted and one that was added are one edit from this IoU on."""


@dataclass(frozen=True, slots=True)
class EditCounts:
    """The number of regions by kind of edit."""

    kept: int = 0
    moved: int = 0
    reshaped: int = 0
    relabeled: int = 0
    deleted: int = 0
    added: int = 0

    @property
    def n_predicted(self) -> int:
        """The model's regions: all but the added ones."""
        return self.kept + self.moved + self.reshaped + self.relabeled + self.deleted

    @property
    def n_changes(self) -> int:
        """Count people's edits: all but the kept ones."""
        return self.n_predicted - self.kept + self.added

    @property
    def acceptance_rate(self) -> float | None:
        """kept / n_predicted, in [0, 1]: the share of the model's regions that people left as they were.

        None where the model said nothing.
        """
        return self.kept / self.n_predicted if self.n_predicted else None


def find_edits(prediction: Annotation, review: Annotation) -> tuple[Edit, ...]:
    """Find what a person did to each region: the prediction's in their order, then the added ones in theirs.

    Regions meet by id; what is left meets one to one by IoU from 0.5 on, of one label first and of any
    label then, so that a region that was deleted and drawn anew counts as changed. What met is

    - relabeled, if the label differs, whatever else does;
    - reshaped, if the mask differs (or was added or removed);
    - moved, if the box differs (moved, resized, added or removed), unless it is that of a mask: a mask that
      is there before and after says where a thing is, whether it has a box beside it or not;
    - kept, if corners agree within 0.05 px and masks above IoU 0.999.

    ``iou`` is that of the boxes for moved regions, and that of the masks (else of the boxes) for the
    others. An unlabeled or skipped image has no edits: nobody judged its regions.
    """
    if review.state not in ("labeled", "empty"):
        return ()
    met = _meet(prediction.regions, review.regions)
    edits = [
        _compare(before, review.regions[met[i]]) if i in met else Edit("deleted", before, None)
        for i, before in enumerate(prediction.regions)
    ]
    taken = set(met.values())
    added = [Edit("added", None, after) for j, after in enumerate(review.regions) if j not in taken]
    return (*edits, *added)


def _meet(before: Sequence[Region], after: Sequence[Region]) -> dict[int, int]:
    """The position in ``after`` of every region of ``before`` that met one."""
    positions = {region.id: j for j, region in enumerate(after)}
    met = {i: positions[region.id] for i, region in enumerate(before) if region.id in positions}
    for match in (_match_same_label, _match_any_label):
        taken = set(met.values())
        rows = [i for i in range(len(before)) if i not in met]
        columns = [j for j in range(len(after)) if j not in taken]
        if not rows or not columns:
            break
        found = match([before[i].instance for i in rows], [after[j].instance for j in columns])
        met |= {rows[i]: columns[j] for i, j in found}
    return met


def _match_same_label(before: Sequence[Instance], after: Sequence[Instance]) -> tuple[tuple[int, int], ...]:
    iou = instance_iou_matrix(before, after)
    return match_by_label([a.label for a in before], [b.label for b in after], iou, min_iou=REDRAWN_IOU)


def _match_any_label(before: Sequence[Instance], after: Sequence[Instance]) -> tuple[tuple[int, int], ...]:
    return match_one_to_one(instance_iou_matrix(before, after), min_iou=REDRAWN_IOU)


def _compare(before: Region, after: Region) -> Edit:
    a, b = before.instance, after.instance
    overlap = _mask_iou(a.mask, b.mask)
    kind = _kind(a, b, overlap)
    if overlap is None or kind == "moved":
        overlap = box_iou_of(a, b)
    return Edit(kind, before, after, overlap)


def _kind(before: Instance, after: Instance, mask_iou: float | None) -> EditKind:
    if before.label != after.label:
        return "relabeled"
    if before.mask != after.mask and (mask_iou is None or mask_iou <= SAME_MASK_IOU):
        return "reshaped"
    masked = before.mask is not None and after.mask is not None
    if masked and (before.box is None or after.box is None):
        return "kept"
    return "kept" if _same_box(before.box, after.box) else "moved"


def _same_box(a: Box | None, b: Box | None) -> bool:
    if a is None or b is None:
        return a is b
    return all(abs(u - v) <= SAME_CORNER_PX for u, v in zip(a.xyxy, b.xyxy, strict=True))


def _mask_iou(a: Mask | None, b: Mask | None) -> float | None:
    """None where one is missing. Equal run lengths need no decoding."""
    if a is None or b is None:
        return None
    if a == b:
        return 1.0 if a.area else 0.0
    return float(mask_iou_matrix([a], [b])[0, 0])
