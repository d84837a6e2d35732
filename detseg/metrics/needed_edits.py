"""Edits that would turn a prediction into what is known to be true, where nobody has reviewed it.

People leave what is nearly right. So a region that overlaps its object by ``LEFT_IOU`` counts as kept, where
``edits.find_edits``, which looks at what people did, counts every pixel that they moved.
"""

from __future__ import annotations

from detseg.geometry.extent import instance_iou_matrix
from detseg.metrics.edits import REDRAWN_IOU
from detseg.types import Annotation, Edit, EditKind, Region

LEFT_IOU = 0.75
"""The IoU of masks, or else of boxes, from which people are expected to leave a region: the strict one of
COCO's two."""


def needed_edits(
    prediction: Annotation, truth: Annotation, *, left_iou: float = LEFT_IOU
) -> tuple[Edit, ...]:
    """The edits that the prediction needs: its regions in their order, then what is missing in the truth's.

    The regions take their turns by score, the best first. Each meets the object that is free and that it
    overlaps most, from IoU 0.5 on and whatever the labels are: so what is below a threshold changes nothing
    for what is above it. What met is relabeled, if the label differs; else kept from ``left_iou`` on; else
    reshaped if both have a mask, and moved if not. What met nothing is deleted, or added.
    """
    before, after = prediction.regions, truth.regions
    met = _meet(before, after)
    edits = [
        _edit(one, after[met[i][0]], met[i][1], left_iou) if i in met else Edit("deleted", one, None)
        for i, one in enumerate(before)
    ]
    found = {j for j, _ in met.values()}
    return (*edits, *(Edit("added", None, one) for j, one in enumerate(after) if j not in found))


def _meet(before: tuple[Region, ...], after: tuple[Region, ...]) -> dict[int, tuple[int, float]]:
    """The position after, and the IoU, of every region before that met one."""
    iou = instance_iou_matrix([one.instance for one in before], [one.instance for one in after])
    labels = [one.instance.label for one in after]
    met: dict[int, tuple[int, float]] = {}
    free = set(range(len(after)))
    for i in sorted(range(len(before)), key=lambda i: -(before[i].instance.score or 0.0)):
        label = before[i].instance.label
        near = [(float(iou[i, j]), labels[j] == label, -j) for j in free if iou[i, j] >= REDRAWN_IOU]
        if near:
            overlap, _, j = max(near)
            met[i] = (-j, overlap)
            free.remove(-j)
    return met


def _edit(before: Region, after: Region, iou: float, left_iou: float) -> Edit:
    kind: EditKind = "kept"
    if before.instance.label != after.instance.label:
        kind = "relabeled"
    elif iou < left_iou:
        masked = before.instance.mask is not None and after.instance.mask is not None
        kind = "reshaped" if masked else "moved"
    return Edit(kind, before, after, iou)
