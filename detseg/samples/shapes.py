"""Outlines of the made-up parts: signed distances on a grid, and how their surface leans.

A shape is drawn on a grid of part coordinates: u to the right, v down, in pixels, the part's middle at
(0, 0) and not yet rotated. ``distance`` is negative inside the metal and positive outside and in holes; it
is about one pixel per pixel near the outline, which is all that shading and anti-aliasing need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A part's outline and surface, every field of shape (H, W).

    ``distance`` in pixels, negative inside. ``lean_v`` in [-1, 1] is the surface normal's component along v
    beyond what the rounded edges give (a cylinder), ``tone`` a factor of brightness about 1. ``turned``
    parts are brushed in circles, the others along u. ``bevel`` is the width of the rounded edge in pixels.
    """

    distance: Field
    lean_v: Field | None
    tone: Field | None
    turned: bool
    bevel: float


Outline = Callable[[Field, Field, float, np.random.Generator], Shape]
"""(u, v, size in pixels, random numbers) -> the shape."""


def rounded_box(u: Field, v: Field, half: tuple[float, float], radius: float) -> Field:
    """Signed distance to a box about (0, 0) with rounded corners; ``half`` is half its length and width."""
    qu = np.abs(u) - np.float32(half[0] - radius)
    qv = np.abs(v) - np.float32(half[1] - radius)
    outside = np.hypot(np.maximum(qu, 0), np.maximum(qv, 0))
    inside = np.minimum(np.maximum(qu, qv), 0)
    return np.asarray(outside + inside - np.float32(radius), dtype=np.float32)


def hexagon(u: Field, v: Field, inradius: float) -> Field:
    """Signed distance (exact inside) to a hexagon with two sides across v."""
    slanted = np.abs(u) * np.float32(0.8660254) + np.abs(v) * np.float32(0.5)
    return np.asarray(np.maximum(slanted, np.abs(v)) - np.float32(inradius), dtype=np.float32)


def bolt(u: Field, v: Field, size: float, rng: np.random.Generator) -> Shape:
    """A bolt that lies on its side: head at negative u, thread towards positive u."""
    length = size
    head_half = size * rng.uniform(0.17, 0.21)
    shank_half = head_half * rng.uniform(0.48, 0.6)
    head_length = size * rng.uniform(0.17, 0.23)
    round_head = rng.random() < 0.3
    thread_from = -length / 2 + head_length + (length - head_length) * rng.uniform(0.0, 0.5)
    pitch = max(2.5, size * rng.uniform(0.035, 0.05))
    head = rounded_box(
        u + np.float32(length / 2 - head_length / 2),
        v,
        (head_length / 2, head_half),
        head_length * (0.45 if round_head else 0.12),
    )
    threaded = u > thread_from
    wave = np.sin((u + v * np.float32(0.18)) * np.float32(2 * np.pi / pitch))
    groove = np.where(threaded, wave, np.float32(0.4))
    across = np.abs(v) - np.float32(shank_half) - groove * np.float32(0.012 * size)
    tip = np.float32(length / 2)
    chamfer = (np.abs(v) + u - np.float32(length / 2 + shank_half * 0.62)) * np.float32(0.7071)
    along = np.maximum(u - tip, np.float32(-length / 2 + head_length / 2) - u)
    shank = np.maximum(np.maximum(across, along), chamfer)
    distance = np.minimum(head, shank)
    in_head = head < 0
    facet = np.where(np.abs(v) < head_half * 0.5, np.float32(1.08), np.float32(0.82))
    if round_head:
        facet = np.full_like(v, 0.98)
    tone = np.where(in_head, facet, np.where(threaded, 0.92 + 0.26 * wave, np.float32(1.0)))
    lean = np.where(in_head, v / np.float32(head_half) * np.float32(0.5), v / np.float32(shank_half * 1.08))
    lean = np.clip(lean, -1, 1)
    return Shape(distance, lean.astype(np.float32), tone.astype(np.float32), turned=False, bevel=size * 0.03)


def nut(u: Field, v: Field, size: float, rng: np.random.Generator) -> Shape:
    """A hexagonal nut from above, with its threaded hole."""
    inradius = size * 0.5 * 0.8660254
    hole = inradius * rng.uniform(0.5, 0.64)
    radius = np.hypot(u, v)
    body = np.maximum(hexagon(u, v, inradius), radius - np.float32(size * 0.485))
    distance = np.maximum(body, np.float32(hole) - radius)
    rim = radius < np.float32(hole + size * 0.05)
    chamfer = radius > np.float32(inradius * 0.95)
    tone = np.where(rim, np.float32(0.72), np.where(chamfer, np.float32(0.8), np.float32(1.0)))
    return Shape(distance, None, tone, turned=bool(rng.random() < 0.5), bevel=size * 0.06)


def washer(u: Field, v: Field, size: float, rng: np.random.Generator) -> Shape:
    """A flat ring; sometimes a spring washer, cut through once."""
    outer = size * 0.5
    hole = outer * rng.uniform(0.42, 0.66)
    radius = np.hypot(u, v)
    distance = np.maximum(radius - np.float32(outer), np.float32(hole) - radius)
    if rng.random() < 0.2:
        gap = np.float32(size * 0.025) - np.abs(v + u * np.float32(0.3))
        distance = np.maximum(distance, np.minimum(np.where(u > 0, gap, np.float32(-1e3)), 1e3))
    return Shape(np.asarray(distance, np.float32), None, None, turned=True, bevel=size * 0.035)


def gear(u: Field, v: Field, size: float, rng: np.random.Generator) -> Shape:
    """A spur gear: teeth, a bore, sometimes a hub and a ring of lightening holes."""
    outer = size * 0.5
    n_teeth = int(rng.integers(11, 25))
    depth = min(outer * 0.24, 2.3 * outer / n_teeth)
    radius = np.hypot(u, v)
    angle = np.arctan2(v, u)
    wave = np.clip(np.sin(angle * np.float32(n_teeth)) * np.float32(1.7), -1, 1)
    distance = (radius - np.float32(outer - depth / 2) - wave * np.float32(depth / 2)) * np.float32(0.75)
    bore = outer * rng.uniform(0.16, 0.3)
    distance = np.maximum(distance, np.float32(bore) - radius)
    web = outer - depth - bore
    if web > outer * 0.38 and rng.random() < 0.5:
        n_holes = int(rng.integers(3, 7))
        middle, hole = bore + web * 0.52, min(web * 0.3, (bore + web * 0.52) * np.pi / n_holes * 0.62)
        folded = np.mod(angle + np.float32(np.pi / n_holes), np.float32(2 * np.pi / n_holes))
        folded = folded - np.float32(np.pi / n_holes)
        away = np.hypot(radius * np.cos(folded) - np.float32(middle), radius * np.sin(folded))
        distance = np.maximum(distance, np.float32(hole) - away)
    hub = radius < np.float32(bore + web * 0.22)
    root = radius > np.float32(outer - depth * 1.15)
    tone = np.where(hub, np.float32(1.12), np.where(root, np.float32(0.86), np.float32(1.0)))
    return Shape(np.asarray(distance, np.float32), None, tone, turned=True, bevel=size * 0.025)


def bracket(u: Field, v: Field, size: float, rng: np.random.Generator) -> Shape:
    """An angle bracket: two arms that meet in a corner, with screw holes."""
    half = size * 0.5
    width = size * rng.uniform(0.24, 0.34)
    second = size * rng.uniform(0.62, 1.0)
    corner = size * rng.uniform(0.03, 0.1)
    arm_u = rounded_box(u, v - np.float32(second / 2 - width / 2), (half, width / 2), corner)
    arm_v = rounded_box(u + np.float32(half - width / 2), v, (width / 2, second / 2), corner)
    distance = np.minimum(arm_u, arm_v)
    if rng.random() < 0.4:
        inner = np.float32(size * rng.uniform(0.1, 0.2))
        du, dv = u + np.float32(half - width), np.float32(second / 2 - width) - v
        gusset = np.maximum(np.maximum(-du, -dv), (du + dv - inner) * np.float32(0.7071))
        distance = np.minimum(distance, gusset)
    hole = width * rng.uniform(0.17, 0.27)
    places_u = (0.36, 0.02) if rng.random() < 0.6 else (0.3,)
    places_v = (-0.34, -0.04) if second > size * 0.85 and rng.random() < 0.6 else (-0.3,)
    centres = [(size * p, second / 2 - width / 2) for p in places_u]
    centres += [(-half + width / 2, second * p) for p in places_v]
    for cu, cv in centres:
        distance = np.maximum(distance, np.float32(hole) - np.hypot(u - np.float32(cu), v - np.float32(cv)))
    bent = rng.uniform(0.78, 1.2)
    tone = np.where(arm_v < arm_u, np.float32(bent), np.float32(1.0))
    return Shape(np.asarray(distance, np.float32), None, tone, turned=False, bevel=size * 0.03)
