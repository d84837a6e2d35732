"""Made-up photographs of metal parts on a tray on a conveyor belt, with exact truth.

``generate_scene(seed)`` is a pure function of the seed and the size. The truth is exact by construction:
every pixel belongs to whatever was painted there last, holes show (and belong to) what lies below, and an
instance of which almost nothing is visible is never placed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from detseg.geometry.masks import Bitmap, bitmap_to_mask
from detseg.samples import shapes
from detseg.samples.materials import (
    Light,
    crop_noise,
    grow,
    noise,
    paint_belt,
    paint_tray,
    shade_metal,
    smooth_field,
)
from detseg.types import Box, Instance, Kind, Size

DEFAULT_SIZE = Size(640, 480)


@dataclass(frozen=True, slots=True)
class SampleClass:
    """A class of the sample scenes: its name, whether it can be counted, a colour to draw it with."""

    name: str
    kind: Kind
    colour: str


SAMPLE_CLASSES = (
    SampleClass("bolt", "thing", "#e4572e"),
    SampleClass("nut", "thing", "#f3a712"),
    SampleClass("washer", "thing", "#17bebb"),
    SampleClass("gear", "thing", "#7b5ea7"),
    SampleClass("bracket", "thing", "#2e86ab"),
    SampleClass("tray", "stuff", "#8fb339"),
    SampleClass("belt", "stuff", "#5c6b73"),
)
"""In the order of the category ids 1 to 7 and of the label ids 0 to 6 of the shipped checkpoints."""

THING_NAMES = tuple(c.name for c in SAMPLE_CLASSES if c.kind == "thing")
STUFF_NAMES = tuple(c.name for c in SAMPLE_CLASSES if c.kind == "stuff")

_OUTLINES: dict[str, shapes.Outline] = {
    "bolt": shapes.bolt,
    "nut": shapes.nut,
    "washer": shapes.washer,
    "gear": shapes.gear,
    "bracket": shapes.bracket,
}
_SIZES_PX = {"bolt": (95, 150), "nut": (50, 86), "washer": (50, 90), "gear": (80, 145), "bracket": (85, 145)}
"""Smallest and largest extent in a 640x480 scene."""

_MIN_VISIBLE_SHARE = 0.3
_MIN_VISIBLE_PX = 60.0  # at 640x480
_BELT_ID, _TRAY_ID, _FIRST_PART_ID = 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A photograph and its truth.

    ``image`` is uint8 (H, W, 3); ``panoptic`` int32 (H, W) holds ``segment_ids[i]`` where ``instances[i]``
    is visible, and nothing else. Things come first, in the order they were laid down, then tray and belt.
    A thing has the tight box of its visible part and its mask; stuff has a mask only.
    """

    seed: int
    size: Size
    image: npt.NDArray[np.uint8]
    instances: tuple[Instance, ...]
    segment_ids: tuple[int, ...]
    panoptic: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A part in place: its window (which may reach beyond the image), shape and grid."""

    label: str
    top: int
    left: int
    angle: float
    shape: shapes.Shape
    u: shapes.Field
    v: shapes.Field
    thickness: float


def generate_scene(seed: int, size: Size = DEFAULT_SIZE) -> Scene:
    """The scene of that seed (0 or above) and size: always the same one."""
    rng = np.random.default_rng(seed)
    scale = min(size.width / 640, size.height / 480)
    light = _light(rng)
    canvas = paint_belt(size, scale, rng)
    ids = np.full((size.height, size.width), _BELT_ID, dtype=np.int32)
    floor = _lay_tray(canvas, ids, scale, light=light, rng=rng)
    parts = _place_parts(ids, floor, scale, rng=rng)
    for part in parts:
        _paint_part(canvas, part, light=light, rng=rng)
    image = _expose(canvas, size, scale, rng)
    return _with_truth(seed, image, ids, parts)


def _light(rng: np.random.Generator) -> Light:
    angle = rng.uniform(0, 2 * np.pi)
    return Light(
        x=float(np.cos(angle)),
        y=float(np.sin(angle)),
        height=float(rng.uniform(0.55, 0.85)),
        softness=float(rng.uniform(0.35, 1.0)),
        strength=float(rng.uniform(0.35, 0.75)),
    )


def _lay_tray(
    canvas: npt.NDArray[np.float32],
    ids: npt.NDArray[np.int32],
    scale: float,
    *,
    light: Light,
    rng: np.random.Generator,
) -> Bitmap:
    """Paint the tray and its shadow, claim its pixels, and answer where its floor is, (H, W)."""
    height, width = ids.shape
    tray = paint_tray(Size(width, height), scale, light, rng)
    rows = slice(tray.top, tray.top + tray.alpha.shape[0])
    columns = slice(tray.left, tray.left + tray.alpha.shape[1])
    _cast_shadow(canvas, tray.alpha, tray.top, tray.left, thickness=11 * scale, light=light)
    below = canvas[:, rows, columns]
    below += tray.alpha * (tray.rgb - below)
    ids[rows, columns][tray.alpha > 0.5] = _TRAY_ID
    floor = np.zeros((height, width), dtype=bool)
    floor[rows, columns] = tray.floor
    return floor


def _place_parts(
    ids: npt.NDArray[np.int32], floor: Bitmap, scale: float, *, rng: np.random.Generator
) -> list[_Part]:
    """Choose parts and places; ``ids`` receives the pixels of each (3, 4, ... in order)."""
    parts: list[_Part] = []
    visible: list[int] = []
    areas: list[int] = []
    wanted = int(rng.integers(3, 10))
    for _ in range(wanted * 4):
        if len(parts) == wanted:
            break
        crowd = rng.random() < 0.35
        part = _random_part(ids.shape, floor, scale, near=parts if crowd else [], rng=rng)
        solid = part.shape.distance < 0
        rows, columns, window = _clip(solid.shape, part.top, part.left, ids.shape)
        below, inside = ids[rows, columns], solid[window]
        covered = np.bincount(below[inside], minlength=_FIRST_PART_ID + len(parts))
        n_covered = int(covered[_FIRST_PART_ID:].sum())
        area, shown = int(solid.sum()), int(inside.sum())
        after = [seen - int(n) for seen, n in zip(visible, covered[_FIRST_PART_ID:], strict=True)]
        if not all(_shows(n, total, scale) for n, total in zip([*after, shown], [*areas, area], strict=True)):
            continue
        if not crowd and n_covered > 0.02 * area:
            continue
        below[inside] = _FIRST_PART_ID + len(parts)
        parts.append(part)
        visible, areas = [*after, shown], [*areas, area]
    return parts


def _shows(n_visible: int, area: int, scale: float) -> bool:
    return n_visible >= max(_MIN_VISIBLE_SHARE * area, _MIN_VISIBLE_PX * scale * scale, 4)


def _random_part(
    shape: tuple[int, ...], floor: Bitmap, scale: float, *, near: list[_Part], rng: np.random.Generator
) -> _Part:
    """A part at a random place: by another one, on the tray's floor, or anywhere."""
    height, width = shape
    label = THING_NAMES[rng.integers(len(THING_NAMES))]
    low, high = _SIZES_PX[label]
    size = float(rng.uniform(low, high)) * scale
    if near:
        other = near[rng.integers(len(near))]
        away, direction = rng.uniform(0.55, 1.0), rng.uniform(0, 2 * np.pi)
        reach = (size + other.u.shape[0] * 0.8) / 2 * away
        x = other.left + other.u.shape[1] / 2 + reach * np.cos(direction)
        y = other.top + other.u.shape[0] / 2 + reach * np.sin(direction)
    else:
        for _ in range(3):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            if floor[int(y), int(x)]:
                break
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
    outline = _OUTLINES[label](u, v, size, rng)
    thickness = scale * {"bolt": 13, "nut": 11, "washer": 3.5, "gear": 9, "bracket": 6}[label]
    return _Part(label, top, left, angle, outline, u, v, thickness * float(rng.uniform(0.8, 1.25)))


def _clip(
    patch: tuple[int, ...], top: int, left: int, shape: tuple[int, ...]
) -> tuple[slice, slice, tuple[slice, slice]]:
    """The rows and columns of an image of ``shape`` under a patch, and the patch's window in the image."""
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = max(min(top + patch[0], shape[0]), y0), max(min(left + patch[1], shape[1]), x0)
    return slice(y0, y1), slice(x0, x1), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def _cast_shadow(
    canvas: npt.NDArray[np.float32],
    alpha: shapes.Field,
    top: int,
    left: int,
    *,
    thickness: float,
    light: Light,
) -> None:
    """Darken what lies under a body: away from the light by its thickness, and in the crease around it."""
    pad = int(thickness * 2.2) + 3
    height, width = alpha.shape
    away = thickness * (1.25 - light.height)
    solid = np.zeros((height + 2 * pad, width + 2 * pad), dtype=np.uint8)
    dy, dx = round(-light.y * away), round(-light.x * away)
    solid[pad + dy : pad + dy + height, pad + dx : pad + dx + width] = alpha * np.float32(255)
    blurred = Image.fromarray(solid).filter(ImageFilter.GaussianBlur(0.6 + thickness * 0.5 * light.softness))
    shade = np.asarray(blurred, dtype=np.float32) * np.float32(-light.strength / 255)
    shade += 1
    rows, columns, window = _clip(shade.shape, top - pad, left - pad, canvas.shape[1:])
    canvas[:, rows, columns] *= shade[window]


def _paint_part(
    canvas: npt.NDArray[np.float32], part: _Part, *, light: Light, rng: np.random.Generator
) -> None:
    """Paint a part and its shadow over whatever is there."""
    distance = part.shape.distance
    alpha = np.clip(np.float32(0.5) - distance, 0, 1)
    rgb = shade_metal(part.shape, part.u, part.v, part.angle, light=light, rng=rng)
    _cast_shadow(canvas, alpha, part.top, part.left, thickness=part.thickness, light=light)
    rows, columns, window = _clip(alpha.shape, part.top, part.left, canvas.shape[1:])
    below = canvas[:, rows, columns]
    below += alpha[window] * (rgb[:, *window] - below)


def _expose(
    canvas: npt.NDArray[np.float32], size: Size, scale: float, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """The photograph: uneven light, vignetting, lens blur, tone curve, sensor noise."""
    gain = grow(_coarse_light(rng), size)
    white_balance = rng.uniform(0.94, 1.06, 3).astype(np.float32)
    blur = float(rng.uniform(0.2, 1.1)) * max(scale, 0.5)
    smear = float(rng.uniform(0.5, 2.2)) * scale if rng.random() < 0.15 else 0.0
    lens = ImageFilter.BoxBlur((blur + smear, blur))
    strength = np.float32(rng.uniform(1.0, 6.5))
    grain = (strength * np.float32(0.8)) * crop_noise(noise(0, 0), *gain.shape, rng)
    image = np.empty((*gain.shape, 3), dtype=np.uint8)
    for channel, plane in enumerate(canvas):  # (H, W)
        exposed = np.clip(plane * (gain * white_balance[channel]), 0, 1)
        exposed = np.sqrt(exposed) * np.float32(255)  # a gamma of 2: about the camera's curve
        photo = Image.fromarray(exposed.astype(np.uint8)).filter(lens)
        speckle = crop_noise(noise(0, 0), *gain.shape, rng) * (strength * np.float32(0.6))
        speckle += grain
        speckle += np.asarray(photo)
        image[:, :, channel] = np.clip(speckle, 0, 255)
    return image


def _coarse_light(rng: np.random.Generator) -> shapes.Field:
    """How bright each region of the picture is: exposure, vignetting, uneven lamps. Shape (24, 32)."""
    ys = np.linspace(-1, 1, 24, dtype=np.float32)[:, None]
    xs = np.linspace(-1, 1, 32, dtype=np.float32)[None, :]
    vignette = 1 - np.float32(rng.uniform(0.05, 0.3)) * (xs * xs + ys * ys) / 2
    uneven = 1 + np.float32(rng.uniform(0.05, 0.28)) * smooth_field(Size(32, 24), rng, 3)
    return np.float32(rng.uniform(0.7, 1.15)) * vignette * np.maximum(uneven, np.float32(0.3))


def _with_truth(
    seed: int, image: npt.NDArray[np.uint8], ids: npt.NDArray[np.int32], parts: list[_Part]
) -> Scene:
    """The scene, with an instance for everything that is visible."""
    height, width = ids.shape
    labels = {_FIRST_PART_ID + i: part.label for i, part in enumerate(parts)}
    instances: list[Instance] = []
    segment_ids: list[int] = []
    for segment_id, label in [*labels.items(), (_TRAY_ID, "tray"), (_BELT_ID, "belt")]:
        bitmap = ids == segment_id
        mask = bitmap_to_mask(bitmap)
        if mask.area == 0:
            continue
        if label in THING_NAMES:
            columns, rows = np.flatnonzero(bitmap.any(axis=0)), np.flatnonzero(bitmap.any(axis=1))
            box = Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
            instances.append(Instance(label, "thing", box=box, mask=mask))
        else:
            instances.append(Instance(label, "stuff", mask=mask))
        segment_ids.append(segment_id)
    return Scene(seed, Size(width, height), image, tuple(instances), tuple(segment_ids), ids)
