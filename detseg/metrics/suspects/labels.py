"""Rules about labels, about the same object labeled twice, and about reviews that took too little time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detseg.geometry.boxes import box_iou_matrix
from detseg.geometry.masks import mask_iou_matrix
from detseg.metrics.suspects.options import sureness
from detseg.metrics.suspects.scene import Finding, Scene
from detseg.plurals import format_count
from detseg.types import Instance


def find_outside_taxonomy(scene: Scene) -> Iterator[Finding]:
    """Labels that no class of the project takes, and things drawn where the class is a surface."""
    for shape in scene.layer.shapes:
        region, label, kind = shape.region, shape.region.instance.label, shape.region.instance.kind
        found = scene.taxonomy.find(label)
        if found is None:
            yield Finding(
                "outside_taxonomy", 1.0, f"the project has no class {label!r}", region, shape.extent
            )
        elif found.kind != kind:
            reason = f"{found.name!r} is {found.kind} in the project, and drawn as {kind}"
            yield Finding("outside_taxonomy", 0.8, reason, region, shape.extent)


def find_duplicate(scene: Scene) -> Iterator[Finding]:
    """Regions that cover an earlier one of the review, with the same label or another one.

    Where the model sees one object for both, less is enough.
    """
    layer, options = scene.layer, scene.options
    boxes = box_iou_matrix(layer.boxes, layer.boxes)
    for later, earlier in np.argwhere(np.tril(boxes >= options.same_iou, -1)).tolist():
        own, other = (layer.shapes[i].region.instance for i in (later, earlier))
        iou = _iou(own, other, of_boxes=float(boxes[later, earlier]))
        one_label = other.label == own.label
        limit = options.duplicate_iou if one_label else options.two_labels_iou
        once = one_label and iou < limit and _seen_once(scene, later, earlier)
        if once:
            limit = options.double_iou
        if iou >= limit:
            sure = sureness(iou, even=limit, certain=1.0)
            what = "another" if one_label else f"the {other.label!r}"
            reason = f"it covers {what} of the same image with IoU {iou:.2f}"
            reason += ", and the model sees one" if once else ""
            yield Finding("duplicate", sure, reason, layer.shapes[later].region, layer.shapes[later].extent)


def _seen_once(scene: Scene, later: int, earlier: int) -> bool:
    """Tell whether the model has one region in the place of both labels."""
    of_own, iou = scene.counterparts.of_own, scene.model.iou
    if (of_own[later] < 0) == (of_own[earlier] < 0):
        return False
    one = max(int(of_own[later]), int(of_own[earlier]))
    return bool(min(iou[later, one], iou[earlier, one]) >= scene.options.same_iou)


def _iou(a: Instance, b: Instance, *, of_boxes: float) -> float:
    if a.mask is None or b.mask is None:
        return of_boxes
    return float(mask_iou_matrix([a.mask], [b.mask])[0, 0])


def find_too_fast(scene: Scene) -> Iterator[Finding]:
    """Reviews that took less time than looking at every region once.

    The regions are those that were shown, or those that are there now if these are more.
    """
    took_s = scene.truth.lead_time_s
    n_regions = max(len(scene.case.shown), len(scene.truth.regions))
    needed_s = scene.options.glance_s + scene.options.fixation_s * n_regions
    if took_s is not None and 0.0 <= took_s < needed_s:
        reason = (
            f"{format_count(n_regions, 'region')} in {took_s:.1f} s: looking at each takes {needed_s:.1f} s"
        )
        yield Finding("too_fast", sureness(took_s, even=needed_s, certain=0.0), reason)
