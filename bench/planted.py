"""Mistakes of people, planted in labels that are right: a function for each kind, seeded.

A mistake takes a spot, which is one of the regions of an image, and returns the regions with the mistake in
them and the ids of those that are wrong; what is not drawn any more is named by the box where it was. None
where the kind does not fit that region (a hole in a mask of a few pixels).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from detseg.geometry.boxes import box_iou, box_iou_matrix, boxes_to_array
from detseg.geometry.extent import extent
from detseg.geometry.masks import Bitmap, bitmap_to_mask, mask_to_bitmap, mask_to_box
from detseg.types import Box, Instance, Region, RegionId, Size

Rng = np.random.Generator

_EIGHT = np.ones((3, 3), dtype=bool)
_TRIES = 300


@dataclass(frozen=True, slots=True)
class Spot:
    """A place to err in: a region among others, the image's size, and the labels that people choose from."""

    regions: tuple[Region, ...]
    at: int
    size: Size
    labels: tuple[str, ...]
    rng: Rng

    @property
    def own(self) -> Instance:
        return self.regions[self.at].instance

    @property
    def box(self) -> Box:
        return extent(self.own)


@dataclass(frozen=True, slots=True)
class Planted:
    """The regions with a mistake: ``wrong`` are the ids of wrong ones, ``place`` is where it is."""

    regions: tuple[Region, ...]
    wrong: tuple[RegionId, ...]
    place: Box


Mistake = Callable[[Spot], Planted | None]


def plant_nothing(spot: Spot) -> Planted | None:
    """A region as large as another one, where nothing is: it covers at most 5 % of any other box."""
    model = spot.own
    box, size = extent(model), spot.size
    width, height = box.x1 - box.x0, box.y1 - box.y0
    if width >= size.width or height >= size.height:
        return None
    boxes = boxes_to_array([extent(region.instance) for region in spot.regions])
    for _ in range(_TRIES):
        dx = int(spot.rng.integers(0, int(size.width - width) + 1) - np.floor(box.x0))
        dy = int(spot.rng.integers(0, int(size.height - height) + 1) - np.floor(box.y0))
        near = _clipped(Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy), size)
        if near is None or _most_covered(near, boxes) > 0.05:
            continue
        moved = _shift(model, dx, dy, size)
        if moved is not None:
            made = Region(RegionId(f"nothing-{spot.rng.integers(1 << 40):x}"), "person", moved)
            return Planted((*spot.regions, made), (made.id,), extent(moved))
    return None


def _most_covered(box: Box, boxes: npt.NDArray[np.float64]) -> float:
    """The largest share of the smaller one of two boxes that both have."""
    iou = box_iou_matrix(boxes_to_array([box]), boxes)[0]
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    shared = iou / (1 + iou) * (areas + box.area)
    return float((shared / np.minimum(areas, box.area)).max())


def plant_shift_quarter(spot: Spot) -> Planted | None:
    """The region moved until its box overlaps with what it was by an IoU of 0.4 to 0.6."""
    return _shift_to(spot, ious=(0.4, 0.6))


def plant_shift_60(spot: Spot) -> Planted | None:
    """The region moved by 60 % of its width or of its height, either way."""
    box = spot.box
    across = spot.rng.random() < 0.5
    side = 0.6 * (box.x1 - box.x0 if across else box.y1 - box.y0) * spot.rng.choice((-1, 1))
    moved = _shift(spot.own, round(side * across), round(side * (not across)), spot.size)
    return None if moved is None else _replaced(spot, moved)


def _shift_to(spot: Spot, *, ious: tuple[float, float]) -> Planted | None:
    box = spot.box
    for _ in range(_TRIES):
        share = spot.rng.uniform(-0.4, 0.4, 2)
        dx, dy = round(share[0] * (box.x1 - box.x0)), round(share[1] * (box.y1 - box.y0))
        near = _clipped(Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy), spot.size)
        if near is None or not ious[0] <= box_iou(near, box) <= ious[1]:
            continue
        moved = _shift(spot.own, dx, dy, spot.size)
        if moved is not None:
            return _replaced(spot, moved)
    return None


def plant_missing(spot: Spot) -> Planted | None:
    """The region is not drawn, in an image that has others."""
    if len(spot.regions) < 2:
        return None
    return Planted((*spot.regions[: spot.at], *spot.regions[spot.at + 1 :]), (), spot.box)


def plant_duplicate(spot: Spot) -> Planted | None:
    """The region is drawn twice, the second time up to 3 % of its sides away."""
    box = spot.box
    far = spot.rng.uniform(-0.03, 0.03, 2)
    moved = _shift(
        spot.own,
        round(far[0] * (box.x1 - box.x0)),
        round(far[1] * (box.y1 - box.y0)),
        spot.size,
    )
    if moved is None:
        return None
    made = Region(RegionId(f"twice-{spot.rng.integers(1 << 40):x}"), "person", moved)
    return Planted((*spot.regions, made), (made.id, spot.regions[spot.at].id), box)


def plant_wrong_label(spot: Spot) -> Planted | None:
    """The region has the label of another class."""
    others = [label for label in spot.labels if label != spot.own.label]
    if not others:
        return None
    return _replaced(spot, replace(spot.own, label=str(spot.rng.choice(others))))


def plant_swapped(spot: Spot) -> Planted | None:
    """Two regions of different classes have each other's label."""
    own = spot.own
    others = [i for i, region in enumerate(spot.regions) if region.instance.label != own.label]
    if not others:
        return None
    other = int(spot.rng.choice(others))
    made = list(spot.regions)
    made[spot.at] = replace(
        spot.regions[spot.at], instance=replace(own, label=spot.regions[other].instance.label)
    )
    made[other] = replace(
        spot.regions[other], instance=replace(spot.regions[other].instance, label=own.label)
    )
    return Planted(tuple(made), (spot.regions[spot.at].id, spot.regions[other].id), extent(own))


def plant_too_big(spot: Spot) -> Planted | None:
    """The region is half as large again, each way."""
    return _scale(spot, by=1.5)


def plant_too_small(spot: Spot) -> Planted | None:
    """The region has two thirds of its width and height."""
    return _scale(spot, by=0.66)


def _scale(spot: Spot, *, by: float) -> Planted | None:
    own, size = spot.own, spot.size
    box = extent(own)
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    if own.mask is None:
        half = (box.x1 - box.x0) / 2 * by, (box.y1 - box.y0) / 2 * by
        made = _clipped(Box(x - half[0], y - half[1], x + half[0], y + half[1]), size)
        return None if made is None else _replaced(spot, replace(own, box=made))
    rows, columns = np.mgrid[: size.height, : size.width]
    source_rows = np.round((rows + 0.5 - y) / by + y - 0.5).astype(int)
    source_columns = np.round((columns + 0.5 - x) / by + x - 0.5).astype(int)
    inside = (source_rows >= 0) & (source_rows < size.height)
    inside &= (source_columns >= 0) & (source_columns < size.width)
    bitmap = mask_to_bitmap(own.mask)
    scaled = np.zeros_like(bitmap)
    scaled[inside] = bitmap[source_rows[inside], source_columns[inside]]
    return _repainted(spot, scaled)


def plant_merged(spot: Spot) -> Planted | None:
    """One region around two neighbours of one class that do not overlap."""
    own = spot.own
    box = extent(own)
    near = [
        (abs((box.x0 + box.x1) - (other.x0 + other.x1)) + abs((box.y0 + box.y1) - (other.y0 + other.y1)), i)
        for i, region in enumerate(spot.regions)
        if i != spot.at and region.instance.label == own.label
        for other in [extent(region.instance)]
        if box_iou(box, other) < 0.1
    ]
    if own.mask is not None or not near:
        return None
    i = min(near)[1]
    other = extent(spot.regions[i].instance)
    if min(near)[0] > 3 * (box.x1 - box.x0 + box.y1 - box.y0):
        return None
    both = Box(min(box.x0, other.x0), min(box.y0, other.y0), max(box.x1, other.x1), max(box.y1, other.y1))
    made = replace(spot.regions[spot.at], instance=replace(own, box=both))
    kept = tuple(made if j == spot.at else region for j, region in enumerate(spot.regions) if j != i)
    return Planted(kept, (made.id,), both)


def plant_outside_taxonomy(spot: Spot) -> Planted | None:
    """The region has a label that is no class of the project."""
    return _replaced(spot, replace(spot.own, label="no such class"))


def plant_degenerate(spot: Spot) -> Planted | None:
    """The box has no width to speak of."""
    own = spot.own
    if own.mask is not None or own.box is None:
        return None
    return _replaced(spot, replace(own, box=replace(own.box, x1=own.box.x0 + 0.3)))


def plant_out_of_frame(spot: Spot) -> Planted | None:
    """The box lies half beyond the left edge of the image."""
    own = spot.own
    if own.mask is not None or own.box is None:
        return None
    half = (own.box.x1 - own.box.x0) / 2
    return _replaced(spot, replace(own, box=replace(own.box, x0=-half, x1=half)))


def plant_tiny(spot: Spot) -> Planted | None:
    """A stray click beside an object: a box of 3x3 pixels."""
    own = spot.own
    box = extent(own)
    if own.mask is not None:
        return None
    place = Box(box.x0, box.y0, box.x0 + 3, box.y0 + 3)
    made = Region(
        RegionId(f"tiny-{spot.rng.integers(1 << 40):x}"), "person", Instance(own.label, own.kind, place)
    )
    return Planted((*spot.regions, made), (made.id,), place)


def plant_half(spot: Spot) -> Planted | None:
    """One side of the mask is missing: half of its box."""
    own = spot.own
    if own.mask is None:
        return None
    x0, y0, x1, y1 = (int(edge) for edge in extent(own).xyxy)
    bitmap = mask_to_bitmap(own.mask).copy()
    part = bitmap[y0:y1, x0:x1]
    width, height = x1 - x0, y1 - y0
    which = int(spot.rng.integers(4))
    if which < 2:
        part[:, : width // 2] &= which == 0
        part[:, width // 2 :] &= which == 1
    else:
        part[: height // 2] &= which == 2
        part[height // 2 :] &= which == 3
    return _repainted(spot, bitmap)


def plant_hole(spot: Spot) -> Planted | None:
    """A hole of 5 to 25 % of the mask, at least two pixels wide and with a pixel of mask around it."""
    own = spot.own
    if own.mask is None:
        return None
    bitmap = mask_to_bitmap(own.mask)
    depth = ndimage.distance_transform_edt(np.pad(bitmap, 1))[1:-1, 1:-1]
    deepest = np.unravel_index(int(depth.argmax()), depth.shape)
    radius = min(np.sqrt(spot.rng.uniform(0.05, 0.25) * own.mask.area / np.pi), depth[deepest] - 1.5)
    if radius < 1.0:
        return None
    rows, columns = np.ogrid[: bitmap.shape[0], : bitmap.shape[1]]
    hole = np.hypot(rows - deepest[0], columns - deepest[1]) <= radius
    return _repainted(spot, bitmap & ~hole)


def plant_pinhole(spot: Spot) -> Planted | None:
    """A hole of 2x2 pixels, in masks that are 100 times as large."""
    own = spot.own
    if own.mask is None or own.mask.area < 400:
        return None
    bitmap = mask_to_bitmap(own.mask)
    inside = np.argwhere(ndimage.binary_erosion(bitmap, _EIGHT, iterations=3))
    if not len(inside):
        return None
    y, x = inside[int(spot.rng.integers(len(inside)))]
    made = bitmap.copy()
    made[y : y + 2, x : x + 2] = False
    return _repainted(spot, made)


def plant_jagged(spot: Spot) -> Planted | None:
    """Every pixel within one of the outline is left to chance."""
    own = spot.own
    if own.mask is None or own.mask.area < 100:
        return None
    bitmap = mask_to_bitmap(own.mask)
    inner, outer = ndimage.binary_erosion(bitmap, _EIGHT), ndimage.binary_dilation(bitmap, _EIGHT)
    chance = spot.rng.random(bitmap.shape) < 0.5
    return _repainted(spot, inner | (outer & chance))


def plant_specks(spot: Spot) -> Planted | None:
    """A piece of 2x2 pixels beside the mask, which is 200 times as large."""
    own = spot.own
    if own.mask is None or own.mask.area < 400:
        return None
    bitmap = mask_to_bitmap(own.mask)
    taken = np.zeros_like(bitmap)
    for region in spot.regions:
        if region.instance.mask is not None:
            taken |= mask_to_bitmap(region.instance.mask)
    near = ndimage.binary_dilation(bitmap, _EIGHT, iterations=12)
    free = np.argwhere(near & ~ndimage.binary_dilation(taken, _EIGHT, iterations=5))
    free = free[(free < np.array(bitmap.shape) - 2).all(axis=1)]
    if not len(free):
        return None
    y, x = free[int(spot.rng.integers(len(free)))]
    made = bitmap.copy()
    made[y : y + 2, x : x + 2] = True
    return _repainted(spot, made)


def _replaced(spot: Spot, instance: Instance) -> Planted:
    made = replace(spot.regions[spot.at], instance=instance)
    place = spot.box
    return Planted((*spot.regions[: spot.at], made, *spot.regions[spot.at + 1 :]), (made.id,), place)


def _repainted(spot: Spot, bitmap: Bitmap) -> Planted | None:
    """The region with that mask and, if it had a box, the mask's; None for an empty one."""
    mask = bitmap_to_mask(bitmap)
    box = mask_to_box(mask)
    if box is None:
        return None
    own = spot.own
    return _replaced(spot, replace(own, mask=mask, box=None if own.box is None else box))


def _shift(instance: Instance, dx: int, dy: int, size: Size) -> Instance | None:
    """The instance moved by whole pixels and cut at the image's edge; None if less than 70 % stays."""
    box = extent(instance)
    moved = _clipped(Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy), size)
    if moved is None or moved.area < 0.7 * box.area:
        return None
    if instance.mask is None:
        return replace(instance, box=moved)
    bitmap = mask_to_bitmap(instance.mask)
    made = np.zeros_like(bitmap)
    height, width = bitmap.shape
    to_rows, to_columns = (
        slice(max(dy, 0), min(height + dy, height)),
        slice(max(dx, 0), min(width + dx, width)),
    )
    rows = slice(max(-dy, 0), min(height - dy, height))
    columns = slice(max(-dx, 0), min(width - dx, width))
    made[to_rows, to_columns] = bitmap[rows, columns]
    mask = bitmap_to_mask(made)
    tight = mask_to_box(mask)
    return None if tight is None else replace(instance, mask=mask, box=tight if instance.box else None)


def _clipped(box: Box, size: Size) -> Box | None:
    x0, x1 = max(box.x0, 0.0), min(box.x1, float(size.width))
    y0, y1 = max(box.y0, 0.0), min(box.y1, float(size.height))
    return Box(x0, y0, x1, y1) if x1 - x0 >= 1 and y1 - y0 >= 1 else None


MISTAKES: Mapping[str, Mistake] = {
    "nothing": plant_nothing,
    "shift_quarter": plant_shift_quarter,
    "shift_60": plant_shift_60,
    "missing": plant_missing,
    "duplicate": plant_duplicate,
    "wrong_label": plant_wrong_label,
    "swapped": plant_swapped,
    "too_big": plant_too_big,
    "too_small": plant_too_small,
    "merged": plant_merged,
    "outside_taxonomy": plant_outside_taxonomy,
    "degenerate": plant_degenerate,
    "out_of_frame": plant_out_of_frame,
    "tiny": plant_tiny,
    "half": plant_half,
    "hole": plant_hole,
    "pinhole": plant_pinhole,
    "jagged": plant_jagged,
    "specks": plant_specks,
}
"""The kinds of mistakes, by name. Those of masks fit no boxes, and the other way round."""
