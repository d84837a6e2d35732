"""Painting and photographing a scene: tray, parts and their shadows on the belt, light, lens and sensor."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from detseg.geometry.masks import Bitmap
from detseg.samples.materials import (
    Light,
    Planes,
    crop_noise,
    grow,
    noise,
    paint_tray,
    shade_metal,
    smooth_field,
)
from detseg.samples.placement import TRAY_ID, Owners, Part, clip_window
from detseg.samples.shapes import Field
from detseg.types import Size

_TRAY_THICKNESS_PX = 11.0


def random_light(rng: np.random.Generator) -> Light:
    """A lamp in any direction, steep or shallow, soft or hard."""
    angle = rng.uniform(0, 2 * np.pi)
    return Light(
        x=float(np.cos(angle)),
        y=float(np.sin(angle)),
        height=float(rng.uniform(0.55, 0.85)),
        softness=float(rng.uniform(0.35, 1.0)),
        strength=float(rng.uniform(0.35, 0.75)),
    )


def lay_tray(
    canvas: Planes, owners: Owners, scale: float, *, light: Light, rng: np.random.Generator
) -> Bitmap:
    """Paint the tray and its shadow, claim its pixels, and answer where its floor is, (H, W)."""
    height, width = owners.shape
    tray = paint_tray(Size(width, height), scale, light, rng)
    rows = slice(tray.top, tray.top + tray.alpha.shape[0])
    columns = slice(tray.left, tray.left + tray.alpha.shape[1])
    _cast_shadow(canvas, tray.alpha, tray.top, tray.left, thickness=_TRAY_THICKNESS_PX * scale, light=light)
    below = canvas[:, rows, columns]
    below += tray.alpha * (tray.rgb - below)
    owners[rows, columns][tray.alpha > 0.5] = TRAY_ID
    floor = np.zeros((height, width), dtype=bool)
    floor[rows, columns] = tray.floor
    return floor


def paint_part(canvas: Planes, part: Part, *, light: Light, rng: np.random.Generator) -> None:
    """Paint a part and its shadow over whatever is there."""
    alpha = np.clip(np.float32(0.5) - part.shape.distance, 0, 1)
    rgb = shade_metal(part.shape, part.u, part.v, part.angle, light=light, rng=rng)
    _cast_shadow(canvas, alpha, part.top, part.left, thickness=part.thickness, light=light)
    rows, columns, window = clip_window(alpha.shape, part.top, part.left, canvas.shape[1:])
    below = canvas[:, rows, columns]
    below += alpha[window] * (rgb[:, *window] - below)


def _cast_shadow(
    canvas: Planes, alpha: Field, top: int, left: int, *, thickness: float, light: Light
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
    rows, columns, window = clip_window(shade.shape, top - pad, left - pad, canvas.shape[1:])
    canvas[:, rows, columns] *= shade[window]


def expose(canvas: Planes, scale: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The photograph, uint8 (H, W, 3): uneven light, vignetting, lens blur, tone curve, sensor noise."""
    height, width = canvas.shape[1:]
    gain = grow(_coarse_light(rng), Size(width, height))
    white_balance = rng.uniform(0.94, 1.06, 3).astype(np.float32)
    blur = float(rng.uniform(0.2, 1.1)) * max(scale, 0.5)
    smear = float(rng.uniform(0.5, 2.2)) * scale if rng.random() < 0.15 else 0.0
    lens = ImageFilter.BoxBlur((blur + smear, blur))
    strength = np.float32(rng.uniform(1.0, 6.5))
    grain = (strength * np.float32(0.8)) * crop_noise(noise(0, 0), gain.shape, rng)
    image = np.empty((height, width, 3), dtype=np.uint8)
    for channel, plane in enumerate(canvas):  # (H, W)
        exposed = np.clip(plane * (gain * white_balance[channel]), 0, 1)
        exposed = np.sqrt(exposed) * np.float32(255)  # a gamma of 2: about the camera's curve
        photo = Image.fromarray(exposed.astype(np.uint8)).filter(lens)
        speckle = crop_noise(noise(0, 0), gain.shape, rng) * (strength * np.float32(0.6))
        speckle += grain
        speckle += np.asarray(photo)
        image[:, :, channel] = np.clip(speckle, 0, 255)
    return image


def _coarse_light(rng: np.random.Generator) -> Field:
    """Draw how bright each region of the picture is: exposure, vignetting, uneven lamps. Shape (24, 32)."""
    ys = np.linspace(-1, 1, 24, dtype=np.float32)[:, None]
    xs = np.linspace(-1, 1, 32, dtype=np.float32)[None, :]
    vignette = 1 - np.float32(rng.uniform(0.05, 0.3)) * (xs * xs + ys * ys) / 2
    uneven = 1 + np.float32(rng.uniform(0.05, 0.28)) * smooth_field(Size(32, 24), rng, 3)
    exposure = np.float32(rng.uniform(0.7, 1.15))
    return np.asarray(exposure * vignette * np.maximum(uneven, np.float32(0.3)), dtype=np.float32)
