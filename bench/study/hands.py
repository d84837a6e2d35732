"""The shapes that simulated people draw: boxes with unsteady sides, masks with unsteady outlines."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy import ndimage

from bench.study.people import Assumptions, Left, Rng
from bench.study.scenes import Scene
from detseg.geometry.boxes import clip_box
from detseg.geometry.extent import extent
from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap, mask_to_box
from detseg.types import Box, Instance, Mask, Size

_BOX_SIDES = 3.0
"""1 - IoU of a box, by the standard deviation of its four sides as a share of width and height."""

_OUTLINE = 1.35
"""1 - IoU of a mask of some hundred pixels, by the standard deviation of its outline in radii; measured."""

_WAVE = 0.35
"""The outline of a mask goes astray in waves of this share of its radius."""


def leave(scene: Scene, left: Left, assumed: Assumptions, rng: Rng) -> Instance:
    """The region that a person leaves: a shown shape as it is, or one that they draw around the object."""
    if left.shown is not None:
        return replace(scene.shown[left.shown], label=left.label, score=None, seen_by=None)
    assert left.target is not None  # what is drawn is drawn around something
    target = scene.truth[left.target]
    if target.mask is None:
        box = draw_box(extent(target), scene.size, assumed.hand_iou, rng)
        return Instance(left.label, target.kind, box)
    mask = draw_mask(target.mask, assumed.hand_iou, rng)
    return Instance(left.label, target.kind, mask_to_box(mask), mask)


def draw_box(target: Box, size: Size, hand_iou: float, rng: Rng) -> Box:
    """A box around the target whose IoU with it is ``hand_iou`` on average."""
    width, height = target.x1 - target.x0, target.y1 - target.y0
    off = (1.0 - hand_iou) / _BOX_SIDES * np.array([width, height, width, height])
    x0, y0, x1, y1 = (np.array(target.xyxy) + off * rng.standard_normal(4)).tolist()
    drawn = Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    inside = clip_box(drawn, size)
    return inside if inside is not None and inside.area > 0 else target


def draw_mask(target: Mask, hand_iou: float, rng: Rng) -> Mask:
    """A mask of the target whose outline is off, in waves, so that the IoU is ``hand_iou`` on average."""
    bitmap = mask_to_bitmap(target)
    radius = math.sqrt(max(target.area, 1) / math.pi)
    off = (1.0 - hand_iou) / _OUTLINE * radius
    rows, columns = np.nonzero(bitmap)
    margin = math.ceil(3.0 * off) + 1
    window = (
        slice(max(int(rows.min()) - margin, 0), int(rows.max()) + margin + 1),
        slice(max(int(columns.min()) - margin, 0), int(columns.max()) + margin + 1),
    )
    part = np.pad(bitmap[window], 1)
    inside = ndimage.distance_transform_edt(part) - ndimage.distance_transform_edt(~part)
    waves = ndimage.gaussian_filter(rng.standard_normal(part.shape), max(_WAVE * radius, 0.5))
    waves *= off / max(float(waves.std()), 1e-9)
    # within half a pixel of the outline the distances are 1 and -1: 0.5 of either is the outline itself
    drawn = (inside - 0.5 * np.sign(inside) + waves > 0)[1:-1, 1:-1]
    made = np.zeros_like(bitmap)
    made[window] = drawn
    return bitmap_to_mask(made) if drawn.any() else target
