"""Edits of the model's regions, found by comparing values, never by what the page says it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from detseg.geometry.extent import box_iou_of, extent, instance_iou_matrix
from detseg.geometry.masks import mask_iou_matrix
from detseg.geometry.matching import match_one_to_one
from detseg.types import Annotation, Box, Edit, EditKind, Instance, Mask, Region

SAME_CORNER_PX = 0.05
"""Corners this close are one: percentages in the annotation tool cost that much."""

SAME_MASK_IOU = 0.999
"""Masks that overlap more than this are one, so that a pixel counts in small ones,"""

SAME_MASK_PX = 16
"""if no more pixels differ: 4x4, an area that the rules about labels call a stray click.

What nobody touches comes back to the pixel, since coordinates are rounded where they are read. So this is no
room for noise but what a person cannot mean: a brush 5 px wide paints 20 at a click. A share alone lets whole
holes in large surfaces pass: 300 px in an image of 640x480.
"""

REDRAWN_IOU = 0.5
"""A region that was deleted and one that was added are one edit from this IoU on."""

_OF_EQUALS = 1e-6
"""What equal labels add to a sum of IoUs: of sums that differ by less, they decide."""

Pair = tuple[int, int]
"""The position of a region before, and of one after."""


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
    def acceptance_rate(self) -> float | None:
        """kept / n_predicted, in [0, 1]: the share of the model's regions that people left as they were.

        None where the model said nothing.
        """
        return self.kept / self.n_predicted if self.n_predicted else None


def find_edits(prediction: Annotation, review: Annotation) -> tuple[Edit, ...]:
    """Find what a person did to each region: the prediction's in their order, then the added ones in theirs.

    Regions meet one to one,

    1. where nothing visible differs, whatever their ids are, but the same id first;
    2. by id, unless they have nothing in common (IoU 0): one that was dragged off its object is no longer
       that object's region;
    3. by IoU from 0.5 on, the largest sum whatever the labels are, and of equal ones that with more equal
       labels: what was deleted and drawn anew is one change.

    What met is

    - relabeled, if the label differs, whatever else does;
    - reshaped, if the mask differs (or was added or removed);
    - moved, if the box differs (moved, resized, added or removed), unless it is that of a mask: a mask that
      is there before and after says where a thing is, whether it has a box beside it or not;
    - kept, if corners agree within 0.05 px, and masks within 16 px and above IoU 0.999.

    ``iou`` is that of the boxes for moved regions, and that of the masks (else of the boxes) for the
    others. An unlabeled or skipped image has no edits: nobody judged its regions.
    """
    if review.state not in ("labeled", "empty"):
        return ()
    sides = _Sides([r.instance for r in prediction.regions], [r.instance for r in review.regions])
    met = _meet(sides, [r.id for r in prediction.regions], [r.id for r in review.regions])
    edits = [
        _edit(sides, (i, met[i]), (before, review.regions[met[i]]))
        if i in met
        else Edit("deleted", before, None)
        for i, before in enumerate(prediction.regions)
    ]
    taken = set(met.values())
    added = [Edit("added", None, after) for j, after in enumerate(review.regions) if j not in taken]
    return (*edits, *added)


@dataclass(slots=True)
class _Sides:
    """The instances before and after, by their positions; overlaps of masks are worked out once."""

    before: Sequence[Instance]
    after: Sequence[Instance]
    _known: dict[Pair, float | None] = field(default_factory=dict)

    def mask_iou(self, pair: Pair) -> float | None:
        if pair not in self._known:
            self._known[pair] = _mask_iou(self.before[pair[0]].mask, self.after[pair[1]].mask)
        return self._known[pair]

    def are_apart(self, pair: Pair) -> bool:
        """Tell whether the two cover something, and nothing in common: by masks, or by boxes where one has
        none.

        Masks of different sizes cannot be compared.
        """
        before, after = self.before[pair[0]], self.after[pair[1]]
        iou, a, b = self.mask_iou(pair), before.mask, after.mask
        if iou is None or a is None or b is None:
            return extent(before).area > 0 and extent(after).area > 0 and box_iou_of(before, after) == 0.0
        return iou == 0.0 and a.size == b.size and a.area > 0 and b.area > 0

    def kind(self, pair: Pair) -> EditKind:
        before, after = self.before[pair[0]], self.after[pair[1]]
        return "relabeled" if before.label != after.label else _change(before, after, self.mask_iou(pair))


def _meet(sides: _Sides, ids_before: Sequence[str], ids_after: Sequence[str]) -> dict[int, int]:
    """The position after of every region before that met one."""
    positions = {id_: j for j, id_ in enumerate(ids_after)}
    by_id = {i: positions[id_] for i, id_ in enumerate(ids_before) if id_ in positions}
    met = {i: j for i, j in by_id.items() if sides.kind((i, j)) == "kept"}
    if len(met) == max(len(ids_before), len(ids_after)):
        return met
    met |= _match_left(sides, met, _match_alike)
    taken = set(met.values())
    left = {i: j for i, j in by_id.items() if i not in met and j not in taken}
    met |= {i: j for i, j in left.items() if not sides.are_apart((i, j))}
    return met | _match_left(sides, met, _match_by_place)


_Match = Callable[[Sequence[Instance], Sequence[Instance]], tuple[Pair, ...]]


def _match_left(sides: _Sides, met: Mapping[int, int], match: _Match) -> dict[int, int]:
    """Match what has not met anything yet."""
    taken = set(met.values())
    rows = [i for i in range(len(sides.before)) if i not in met]
    columns = [j for j in range(len(sides.after)) if j not in taken]
    if not rows or not columns:
        return {}
    found = match([sides.before[i] for i in rows], [sides.after[j] for j in columns])
    return {rows[i]: columns[j] for i, j in found}


def _match_alike(before: Sequence[Instance], after: Sequence[Instance]) -> tuple[Pair, ...]:
    """Match regions of which nothing visible differs, as many as can be."""
    corners = [np.array([extent(one).xyxy for one in side]) for side in (before, after)]
    near = np.abs(corners[0][:, None] - corners[1][None, :]).max(axis=2) <= 1.0 + SAME_MASK_PX
    alike = np.zeros(near.shape)
    for i, j in np.argwhere(near).tolist():
        a, b = before[i], after[j]
        if a.label == b.label and _change(a, b, _mask_iou(a.mask, b.mask)) == "kept":
            alike[i, j] = 1.0
    return match_one_to_one(alike, min_iou=1.0)


def _match_by_place(before: Sequence[Instance], after: Sequence[Instance]) -> tuple[Pair, ...]:
    iou = instance_iou_matrix(before, after)
    same = np.array([[a.label == b.label for b in after] for a in before])
    bonus = np.where(same, _OF_EQUALS / min(iou.shape), 0.0)
    return match_one_to_one(np.where(iou >= REDRAWN_IOU, iou + bonus, 0.0), min_iou=0.0)


def _edit(sides: _Sides, pair: Pair, regions: tuple[Region, Region]) -> Edit:
    kind, overlap = sides.kind(pair), sides.mask_iou(pair)
    if overlap is None or kind == "moved":
        overlap = box_iou_of(sides.before[pair[0]], sides.after[pair[1]])
    return Edit(kind, *regions, overlap)


def _change(before: Instance, after: Instance, mask_iou: float | None) -> EditKind:
    """The kind of edit of a region that keeps its label."""
    if before.mask != after.mask and not _same_mask(before.mask, after.mask, mask_iou):
        return "reshaped"
    masked = before.mask is not None and after.mask is not None
    if masked and (before.box is None or after.box is None):
        return "kept"
    return "kept" if _same_box(before.box, after.box) else "moved"


def _same_mask(a: Mask | None, b: Mask | None, iou: float | None) -> bool:
    """Tell whether two masks differ by nothing that a person can mean."""
    if a is None or b is None or iou is None or iou <= SAME_MASK_IOU:
        return False
    pixels = a.area + b.area
    return round(pixels - 2.0 * iou * pixels / (1.0 + iou)) <= SAME_MASK_PX


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
