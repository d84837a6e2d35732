"""Rules about the shape of one region: what is none, what leaves the image, what its own mask contradicts."""

from __future__ import annotations

from collections.abc import Iterator

from detseg.geometry.boxes import box_iou, clip_box
from detseg.metrics.suspects.options import sureness
from detseg.metrics.suspects.scene import Finding, Scene
from detseg.types import Box, Size


def find_degenerate(scene: Scene) -> Iterator[Finding]:
    """Boxes with a side below a pixel, and masks without pixels."""
    for shape in scene.layer.shapes:
        width, height = _sides(shape.extent)
        if shape.has_mask and shape.outline is None:
            yield Finding("degenerate", 1.0, "its mask has no pixels", shape.region, shape.extent)
        elif min(width, height) < scene.options.min_side_px:
            reason = f"its box is {width:.3g} x {height:.3g} px"
            yield Finding("degenerate", 1.0, reason, shape.region, shape.extent)


def find_out_of_frame(scene: Scene) -> Iterator[Finding]:
    """Boxes that reach over the edge of the image, and masks of another size than the image."""
    size = scene.truth.size
    for shape in scene.layer.shapes:
        mask, box = shape.region.instance.mask, shape.extent
        out_px = _reach(box, size)
        if mask is not None and mask.size != size:
            reason = f"its mask is {mask.size}, the image {size}"
            yield Finding("out_of_frame", 1.0, reason, shape.region)
        elif out_px > scene.options.max_outside_px:
            inside = clip_box(box, size)
            share = 1.0 - (inside.area / box.area if inside else 0.0)
            reason = f"it reaches {out_px:.3g} px over the edge, with {share:.0%} of its area"
            sure = sureness(share, even=0.0, certain=1.0)
            yield Finding("out_of_frame", sure, reason, shape.region, inside)


def find_tiny(scene: Scene) -> Iterator[Finding]:
    """Regions of a few pixels: a stray click, or a thing that nobody can see."""
    limit = scene.options.tiny_px
    for shape in scene.layer.shapes:
        area = shape.outline.area_px if shape.outline else shape.extent.area
        if min(_sides(shape.extent)) >= scene.options.min_side_px and area < limit:
            sure = sureness(area, even=limit, certain=0.0)
            yield Finding("tiny", sure, f"it covers {area:.3g} px", shape.region, shape.extent)


def find_box_mask_apart(scene: Scene) -> Iterator[Finding]:
    """Boxes that say otherwise than the mask of the same object: far larger (oversized), or elsewhere."""
    options = scene.options
    for shape in scene.layer.shapes:
        box, outline = shape.extent, shape.outline
        if shape.region.instance.box is None or outline is None or min(_sides(box)) < options.min_side_px:
            continue
        iou, share = box_iou(box, outline.box), outline.box.area / box.area
        if share < options.far_smaller and iou > options.inside * share:  # then the mask lies inside
            sure = sureness(share, even=options.far_smaller, certain=0.1)
            reason = f"its mask's own box fills {share:.0%} of its box"
            yield Finding("oversized", sure, reason, shape.region, box)
        elif iou < options.apart_iou:
            sure = sureness(iou, even=options.apart_iou, certain=0.2)
            reason = f"its box and the box of its mask overlap with IoU {iou:.2f}"
            yield Finding("box_mask_apart", sure, reason, shape.region, box)


def _sides(box: Box) -> tuple[float, float]:
    return box.x1 - box.x0, box.y1 - box.y0


def _reach(box: Box, size: Size) -> float:
    """The pixels by which the box reaches furthest over an edge; negative where it stays inside."""
    return max(-box.x0, -box.y0, box.x1 - size.width, box.y1 - size.height)
