"""The placement of parts: chosen so that of every part enough stays visible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.geometry.masks import Bitmap
from detseg.samples import shapes

BELT_ID, TRAY_ID, FIRST_PART_ID = 1, 2, 3

Owners = npt.NDArray[np.int32]
"""Shape (H, W): the id of whatever a pixel shows: belt, tray, or 3, 4, ... for the parts in order."""

_OUTLINES: dict[str, shapes.Outline] = {
    "bolt": shapes.bolt,
    "nut": shapes.nut,
    "washer": shapes.washer,
    "gear": shapes.gear,
    "bracket": shapes.bracket,
}
PART_NAMES = tuple(_OUTLINES)

_EXTENT_PX = {"bolt": (95, 150), "nut": (50, 86), "washer": (50, 90), "gear": (80, 145), "bracket": (85, 145)}
"""Smallest and largest extent in a 640x480 scene."""

_THICKNESS_PX = {"bolt": 13.0, "nut": 11.0, "washer": 3.5, "gear": 9.0, "bracket": 6.0}

_MIN_VISIBLE_SHARE = 0.3
_MIN_VISIBLE_PX = 60.0  # at 640x480
_CROWDED = 0.35  # share of the parts that are put on or against another one


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part in place. ``top`` and ``left`` are its window's corner, which may lie outside of the image."""

    label: str
    top: int
    left: int
    angle: float
    shape: shapes.Shape
    u: shapes.Field
    v: shapes.Field
    thickness: float


def clip_window(
    patch: tuple[int, ...], top: int, left: int, shape: tuple[int, ...]
) -> tuple[slice, slice, tuple[slice, slice]]:
    """The rows and columns of an image of ``shape`` under a patch, and the patch's window in the image."""
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = max(min(top + patch[0], shape[0]), y0), max(min(left + patch[1], shape[1]), x0)
    return slice(y0, y1), slice(x0, x1), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def place_parts(owners: Owners, floor: Bitmap, scale: float, *, rng: np.random.Generator) -> list[Part]:
    """Choose three to nine parts and their places (fewer where they find none), in the order they lie.

    ``floor`` (H, W) is where the tray holds parts. ``owners`` receives the parts' pixels. A part that
    would hide too much of another one, or show too little of itself, is tried again elsewhere.
    """
    parts: list[Part] = []
    visible: list[int] = []
    areas: list[int] = []
    wanted = int(rng.integers(3, 10))
    for _ in range(wanted * 4):
        if len(parts) == wanted:
            break
        crowded = rng.random() < _CROWDED
        part = _random_part(floor, scale, near=parts if crowded else [], rng=rng)
        solid = part.shape.distance < 0
        rows, columns, window = clip_window(solid.shape, part.top, part.left, owners.shape)
        below, inside = owners[rows, columns], solid[window]
        covered = np.bincount(below[inside], minlength=FIRST_PART_ID + len(parts))[FIRST_PART_ID:]
        area, shown = int(solid.sum()), int(inside.sum())
        after = [seen - int(n) for seen, n in zip(visible, covered, strict=True)]
        if not all(_shows(n, total, scale) for n, total in zip([*after, shown], [*areas, area], strict=True)):
            continue
        if not crowded and covered.sum() > 0.02 * area:
            continue
        below[inside] = FIRST_PART_ID + len(parts)
        parts.append(part)
        visible, areas = [*after, shown], [*areas, area]
    return parts


def _shows(n_visible: int, area: int, scale: float) -> bool:
    return n_visible >= max(_MIN_VISIBLE_SHARE * area, _MIN_VISIBLE_PX * scale * scale, 4)


def _random_part(floor: Bitmap, scale: float, *, near: list[Part], rng: np.random.Generator) -> Part:
    """A part at a random place: by one of those it should be near, else rather on the floor than off it."""
    label = PART_NAMES[rng.integers(len(PART_NAMES))]
    size = float(rng.uniform(*_EXTENT_PX[label])) * scale
    x, y = _place_by(near, size, rng) if near else _place_on(floor, rng)
    angle = float(rng.uniform(0, 2 * np.pi))
    reach = size * (0.74 if label == "bracket" else 0.56) + 2
    left, top = int(np.floor(x - reach)), int(np.floor(y - reach))
    side = int(2 * reach) + 2
    dx = np.arange(left, left + side, dtype=np.float32)[None, :] + np.float32(0.5 - x)
    dy = np.arange(top, top + side, dtype=np.float32)[:, None] + np.float32(0.5 - y)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    if rng.random() < 0.5:
        v = -v
    shape = _OUTLINES[label](u, v, size, rng)
    thickness = scale * _THICKNESS_PX[label] * float(rng.uniform(0.8, 1.25))
    return Part(label, top, left, angle, shape, u, v, thickness)


def _place_by(parts: list[Part], size: float, rng: np.random.Generator) -> tuple[float, float]:
    """A middle at which a part of that size lies on or against one of the parts."""
    other = parts[rng.integers(len(parts))]
    side = other.u.shape[0]
    away, direction = rng.uniform(0.55, 1.0), rng.uniform(0, 2 * np.pi)
    reach = (size + side * 0.8) / 2 * away
    return (
        other.left + side / 2 + reach * np.cos(direction),
        other.top + side / 2 + reach * np.sin(direction),
    )


def _place_on(floor: Bitmap, rng: np.random.Generator) -> tuple[float, float]:
    """A place in the image, on the floor if one of three tries hits it."""
    height, width = floor.shape
    for _ in range(3):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        if floor[int(y), int(x)]:
            break
    return x, y
