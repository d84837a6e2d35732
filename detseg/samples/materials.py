"""Surfaces: noise to texture with, what the belt and the tray look like, and how light falls on metal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

from detseg.samples.shapes import Field, Shape, rounded_box
from detseg.types import Size

Rgb = tuple[float, float, float]

Planes = npt.NDArray[np.float32]
"""A picture in linear light, shape (3, H, W): planes, because numpy is several times faster on them."""

_TILE = 1024

METALS: tuple[Rgb, ...] = (
    (0.62, 0.63, 0.65),  # bright steel
    (0.52, 0.54, 0.58),  # zinc
    (0.70, 0.69, 0.66),  # nickel
    (0.40, 0.41, 0.42),  # dull steel
    (0.24, 0.24, 0.26),  # black oxide
    (0.72, 0.57, 0.30),  # brass
    (0.68, 0.60, 0.36),  # yellow zinc
    (0.66, 0.42, 0.28),  # copper
)
_METAL_ODDS = (0.26, 0.18, 0.14, 0.13, 0.08, 0.09, 0.07, 0.05)

BELTS: tuple[Rgb, ...] = (
    (0.10, 0.10, 0.11),
    (0.17, 0.17, 0.18),
    (0.08, 0.17, 0.14),
    (0.10, 0.15, 0.24),
    (0.27, 0.25, 0.22),
    (0.20, 0.14, 0.11),
)

TRAYS: tuple[Rgb, ...] = (
    (0.50, 0.51, 0.52),
    (0.26, 0.40, 0.58),
    (0.68, 0.67, 0.62),
    (0.58, 0.30, 0.20),
    (0.34, 0.48, 0.38),
    (0.66, 0.56, 0.30),
    (0.33, 0.34, 0.37),
)


@dataclass(frozen=True, slots=True)
class Light:
    """The light: where it comes from in the image plane (a unit vector), how steeply, how hard its shadows
    are."""

    x: float
    y: float
    height: float
    softness: float
    strength: float


@cache
def noise(sigma_y: float, sigma_x: float) -> Field:
    """A tile of (1024, 1024) that repeats without a seam: mean 0, deviation 1, smooth over the sigmas."""
    rng = np.random.default_rng(20260)
    white = rng.standard_normal((_TILE, _TILE), dtype=np.float32)
    if sigma_x == sigma_y == 0:
        return white
    smooth: Field = gaussian_filter(white, (sigma_y, sigma_x), mode="wrap")
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


def crop_noise(tile: Field, shape: tuple[int, ...], rng: np.random.Generator) -> Field:
    """A piece of a tile of that shape, (H, W), from a random place; repeated where the tile is too small."""
    height, width = shape
    y = int(rng.integers(0, _TILE - height)) if height < _TILE else 0
    x = int(rng.integers(0, _TILE - width)) if width < _TILE else 0
    if height <= _TILE and width <= _TILE:
        return tile[y : y + height, x : x + width]
    rows, columns = np.arange(y, y + height) % _TILE, np.arange(x, x + width) % _TILE
    repeated: Field = tile[rows[:, None], columns]
    return repeated


def smooth_field(size: Size, rng: np.random.Generator, cells: int = 4) -> Field:
    """Random numbers on a coarse grid, blown up to (H, W): about -1 to 1, no edges."""
    return grow(rng.uniform(-1, 1, (cells, cells + 1)).astype(np.float32), size)


def grow(coarse: Field, size: Size) -> Field:
    """A coarse grid, blown up smoothly to (H, W)."""
    grown = Image.fromarray(coarse).resize((size.width, size.height), Image.Resampling.BICUBIC)
    return np.asarray(grown, dtype=np.float32)


def vary(colour: Rgb, rng: np.random.Generator, amount: float) -> npt.NDArray[np.float32]:
    """The colour, a little brighter or darker and a little off in each channel. Shape (3,)."""
    factor = rng.uniform(1 - amount, 1 + amount) * rng.uniform(1 - amount / 4, 1 + amount / 4, 3)
    return np.asarray(np.array(colour) * factor, dtype=np.float32)


def paint_belt(size: Size, scale: float, rng: np.random.Generator) -> Planes:
    """The empty belt."""
    height, width = size.height, size.width
    angle = (0 if rng.random() < 0.6 else np.pi / 2) + rng.normal(0, 0.05)
    ys = np.arange(height, dtype=np.float32)[:, None]
    xs = np.arange(width, dtype=np.float32)[None, :]
    along = xs * np.float32(np.cos(angle)) + ys * np.float32(np.sin(angle))
    across = ys * np.float32(np.cos(angle)) - xs * np.float32(np.sin(angle))
    texture = np.float32(rng.uniform(0.04, 0.1)) * crop_noise(noise(0.7, 0.7), (height, width), rng)
    scuffs = noise(1.0, 40.0) if abs(np.sin(angle)) < 0.5 else noise(40.0, 1.0)
    texture = texture + np.float32(rng.uniform(0.03, 0.12)) * crop_noise(scuffs, (height, width), rng)
    kind = rng.integers(0, 4)
    if kind == 1:  # ribs across the way of travel
        pitch = scale * rng.uniform(22, 60)
        wave = np.sin(along * np.float32(2 * np.pi / pitch))
        texture = texture + np.float32(0.2) * np.clip(wave * 3 - 2, -1, 1)
    elif kind == 2:  # woven
        pitch = max(3.0, scale * rng.uniform(5, 9))
        k = np.float32(2 * np.pi / pitch)
        texture = texture + np.float32(0.12) * np.sin(along * k) * np.sin(across * k)
    elif kind == 3:  # lengthwise grooves
        pitch = scale * rng.uniform(10, 26)
        texture = texture + np.float32(0.13) * np.sin(across * np.float32(2 * np.pi / pitch))
    colour = vary(BELTS[rng.integers(len(BELTS))], rng, 0.25)
    tone = 1 + texture + np.float32(0.12) * smooth_field(size, rng, 5)
    return np.maximum(tone, np.float32(0.15)) * colour[:, None, None]


@dataclass(frozen=True, slots=True, eq=False)
class Tray:
    """The tray's pixels in its own window of the image: colour, coverage, and where it may hold parts."""

    top: int
    left: int
    rgb: Planes
    alpha: Field
    floor: npt.NDArray[np.bool_]


def paint_tray(size: Size, scale: float, light: Light, rng: np.random.Generator) -> Tray:
    """A moulded tray with a rim, somewhere over the middle of the image."""
    half_w = size.width * rng.uniform(0.33, 0.44)
    half_h = size.height * rng.uniform(0.33, 0.44)
    cx = size.width * (0.5 + rng.uniform(-0.09, 0.09))
    cy = size.height * (0.5 + rng.uniform(-0.09, 0.09))
    angle = rng.normal(0, 0.09)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    reach_x = half_w * abs(cos) + half_h * abs(sin) + 3
    reach_y = half_h * abs(cos) + half_w * abs(sin) + 3
    left, right = max(0, int(cx - reach_x)), min(size.width, int(cx + reach_x) + 1)
    top, bottom = max(0, int(cy - reach_y)), min(size.height, int(cy + reach_y) + 1)
    dx = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5 - cx)
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - cy)
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    radius = scale * rng.uniform(8, 40)
    radius = min(radius, half_w * 0.9, half_h * 0.9)
    distance = rounded_box(u, v, (half_w, half_h), radius)
    rim = scale * rng.uniform(9, 17)
    # The rim's two slopes face outwards and inwards; which side of the box is lit depends on the light.
    sideways = np.abs(u) * np.float32(half_h) > np.abs(v) * np.float32(half_w)
    facing_u, facing_v = light.x * cos + light.y * sin, light.y * cos - light.x * sin
    facing = np.where(sideways, np.sign(u) * np.float32(facing_u), np.sign(v) * np.float32(facing_v))
    slope = np.interp(
        distance,
        np.array([-2.2, -1.6, -1.0, -0.75, -0.45, -0.2, 0.0]) * rim,
        [0.0, 0.0, -1.0, -0.2, 0.05, 0.2, 1.0],
    ).astype(np.float32)
    tone = 1 + np.float32(0.38) * slope * facing
    tone += np.float32(rng.uniform(0.015, 0.045)) * crop_noise(noise(0.7, 0.7), distance.shape, rng)
    tone += np.float32(rng.uniform(0.02, 0.05)) * crop_noise(noise(18, 18), distance.shape, rng)
    floor = distance < np.float32(-1.6 * rim)
    kind = rng.integers(0, 4)
    if kind == 1:  # moulded grooves
        wave = np.sin(u * np.float32(2 * np.pi / (scale * rng.uniform(24, 60))))
        tone += np.where(floor, np.float32(0.09) * np.clip(wave * 4 - 3, -1, 1), np.float32(0))
    elif kind == 2:  # a grid of studs
        k = np.float32(2 * np.pi / (scale * rng.uniform(22, 40)))
        studs = np.clip(np.sin(u * k) * np.sin(v * k) * 5 - 3.6, 0, 1)
        tone += np.where(floor, np.float32(rng.choice([-0.14, 0.14])) * studs, np.float32(0))
    colour = vary(TRAYS[rng.integers(len(TRAYS))], rng, 0.18)
    alpha = np.clip(np.float32(0.5) - distance, 0, 1)
    return Tray(top, left, tone * colour[:, None, None], alpha, floor)


def shade_metal(
    shape: Shape, u: Field, v: Field, angle: float, *, light: Light, rng: np.random.Generator
) -> Planes:
    """Shade the metal of a part in its own window."""
    distance = shape.distance
    gy, gx = np.gradient(distance)
    edge = np.clip(1 + distance / np.float32(max(shape.bevel, 1.2)), 0, 1)
    edge = edge * edge * np.float32(0.85)
    nx, ny = gx * edge, gy * edge
    if shape.lean_v is not None:
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        nx, ny = nx - shape.lean_v * sin * np.float32(0.9), ny + shape.lean_v * cos * np.float32(0.9)
    nz = np.sqrt(np.maximum(np.float32(0.08), 1 - nx * nx - ny * ny))
    flat = np.float32(np.sqrt(1 - light.height**2))
    lit = nx * np.float32(light.x) * flat + ny * np.float32(light.y) * flat + nz * np.float32(light.height)
    half = np.array([light.x * flat, light.y * flat, light.height + 1])
    half = (half / np.linalg.norm(half)).astype(np.float32)
    glint = np.maximum(nx * half[0] + ny * half[1] + nz * half[2], 0) ** np.float32(rng.uniform(14, 40))
    streaks = _brushed(u, v, turned=shape.turned, rng=rng) * np.float32(rng.uniform(0.02, 0.09))
    reach = max(float(u.max()), 1.0)
    slope = u * np.float32(rng.normal()) + v * np.float32(rng.normal())
    wave = np.sin(slope * np.float32(1.6 / reach) + np.float32(rng.uniform(0, 6.3)))
    sheen = wave * np.float32(rng.uniform(0.05, 0.22))
    grime = crop_noise(noise(6, 6), distance.shape, rng) * np.float32(rng.uniform(0.0, 0.08))
    tone = (np.float32(0.3) + np.float32(0.85) * np.maximum(lit, 0)) * (1 + sheen + streaks + grime)
    if shape.tone is not None:
        tone = tone * shape.tone
    colour = vary(METALS[rng.choice(len(METALS), p=_METAL_ODDS)], rng, 0.15)
    shine = glint * np.float32(rng.uniform(0.08, 0.4))
    paint = colour[:, None, None]
    metal: Planes = np.maximum(tone, np.float32(0.03)) * paint
    metal += shine * (np.float32(0.4) + np.float32(0.6) * paint)
    return metal


def _brushed(u: Field, v: Field, *, turned: bool, rng: np.random.Generator) -> Field:
    """Brush marks: fine across, long along; in circles on turned parts."""
    tile = noise(0.8, 6.0)
    y, x = (int(n) for n in rng.integers(0, _TILE, 2))
    if turned:
        across, along = np.hypot(u, v) * 2, np.arctan2(v, u) * np.float32(12)
    else:
        across, along = v * 2, u * np.float32(0.6)
    rows = (across.astype(np.int32) + y) & (_TILE - 1)
    columns = (along.astype(np.int32) + x) & (_TILE - 1)
    marks: Field = tile[rows, columns]
    return marks
