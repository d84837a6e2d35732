"""The ``value`` of one result, a box or a mask, without its label. Percent exists only here.

Written are rectangles, polygons, brush masks and bitmasks; read are ellipses, too. All of them come back as
what they cover: a rectangle as its box (a turned one as the upright box around it), everything else as its
pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from detseg.errors import FormatError
from detseg.geometry.masks import empty_mask
from detseg.geometry.polygons import Point, Polygon, count_crossings, ellipse_to_mask, polygon_to_mask
from detseg.labelstudio.bitmask import decode_bitmask
from detseg.labelstudio.brush import decode_brush
from detseg.labelstudio.fields import as_number, get_list, get_number, get_text
from detseg.types import Box, Mask, Size

Json = dict[str, Any]

_PERCENT_DIGITS = 10  # 1e-12 of a side: far below 1e-6 px, far above float noise
_PIXEL_DIGITS = 9
_MOST_CROSSINGS, _MOST_CROSSINGS_PER_PIXEL = 1_000_000, 8
"""Of the sides of all polygons of an annotation with rows of the image: far above any outlines, which go
around pixels once."""


@dataclass(slots=True)
class CrossingBudget:
    """The crossings of sides and rows that may still be read of an annotation: the time of its polygons."""

    left: int


def crossing_budget(size: Size) -> CrossingBudget:
    """That of an annotation of an image of that size."""
    return CrossingBudget(_MOST_CROSSINGS + _MOST_CROSSINGS_PER_PIXEL * size.area)


def encode_box(box: Box, size: Size) -> Json:
    """The top left corner, width and height, clipped to the image. FormatError if nothing of it is left."""
    x0, x1 = (_to_percent(x, size.width) for x in (box.x0, box.x1))
    y0, y1 = (_to_percent(y, size.height) for y in (box.y0, box.y1))
    if x1 <= x0 or y1 <= y0:
        raise FormatError(f"the box {box.xyxy} has no area in the image of {size}")
    width, height = (min(round(side, _PERCENT_DIGITS), 100.0) for side in (x1 - x0, y1 - y0))
    return {"x": x0, "y": y0, "width": width, "height": height, "rotation": 0}


def encode_polygon(polygon: Polygon, size: Size) -> Json:
    """The corners, clipped to the image."""
    points = [[_to_percent(x, size.width), _to_percent(y, size.height)] for x, y in polygon]
    return {"points": points, "closed": True}


def decode_value(
    shape: str, value: Mapping[str, Any], size: Size, budget: CrossingBudget | None = None
) -> Box | Mask:
    """The part of the image that a value of one of ``SHAPES`` covers; a box or mask without area for none.

    ``value`` is whatever somebody wrote. Raises FormatError if it cannot be read, and nothing else; needs
    memory and time for the image's pixels at most. ``budget`` is that of all shapes that are read together.
    """
    if shape == "polygon":
        return decode_polygon(value, size, budget)
    return _DECODERS[shape](value, size)


def _to_percent(pixel: float, side: int) -> float:
    return round(min(max(pixel / side * 100, 0.0), 100.0), _PERCENT_DIGITS)


def drawn_box(value: Mapping[str, Any], size: Size) -> Box:
    """A rectangle's box as it was drawn, which may reach out of the image; of a turned rectangle, the upright
    box around it. They turn clockwise about their top left corner. Raises FormatError as ``decode_value``."""
    x, y = _get_point(value, ("x", "y"), size)
    width, height = _get_point(value, ("width", "height"), size)
    xs, ys = (x, x + width), (y, y + height)
    if angle := math.radians(get_number(value, "rotation", 0.0)):
        across = (width * math.cos(angle), width * math.sin(angle))
        down = (-height * math.sin(angle), height * math.cos(angle))
        corners = [
            (x + i * across[0] + j * down[0], y + i * across[1] + j * down[1]) for i in (0, 1) for j in (0, 1)
        ]
        xs, ys = zip(*corners, strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))


def _decode_box(value: Mapping[str, Any], size: Size) -> Box:
    drawn = drawn_box(value, size)
    return Box(
        _within(drawn.x0, size.width),
        _within(drawn.y0, size.height),
        _within(drawn.x1, size.width),
        _within(drawn.y1, size.height),
    )


def decode_polygon(value: Mapping[str, Any], size: Size, budget: CrossingBudget | None = None) -> Mask:
    """The pixels that its corners surround: none if it has fewer than three."""
    points = get_list(value, "points") if value.get("points") is not None else []
    corners = [_corner(point, size) for point in points]
    if len(corners) < 3:
        return empty_mask(size)
    budget = budget or crossing_budget(size)
    n_crossings = count_crossings(corners, size)
    if n_crossings > budget.left:
        raise FormatError(
            f"its outline of {len(corners)} corners, or that of others before it, is too tangled for "
            f"an image of {size}"
        )
    budget.left -= n_crossings
    return polygon_to_mask(corners, size)


def _decode_ellipse(value: Mapping[str, Any], size: Size) -> Mask:
    centre = _get_point(value, ("x", "y"), size)
    radii = _get_point(value, ("radiusX", "radiusY"), size)
    return ellipse_to_mask(centre, radii, get_number(value, "rotation", 0.0), size)


def _decode_brush(value: Mapping[str, Any], size: Size) -> Mask:
    if get_text(value, "format") != "rle":
        raise FormatError("the mask's 'format' is not 'rle'")
    rle = value.get("rle")
    return decode_brush(rle if isinstance(rle, bytes) else get_list(value, "rle"), size)


def _decode_bitmask(value: Mapping[str, Any], size: Size) -> Mask:
    return decode_bitmask(get_text(value, "imageDataURL"), size)


def _corner(point: Any, size: Size) -> Point:
    if not isinstance(point, list | tuple) or len(point) != 2:
        raise FormatError("its 'points' are lists of two numbers, one of them is not")
    x, y = (as_number(coordinate, "corner") / 100 for coordinate in point)
    return (round(x * size.width, _PIXEL_DIGITS), round(y * size.height, _PIXEL_DIGITS))


def _get_point(value: Mapping[str, Any], names: tuple[str, str], size: Size) -> Point:
    """Percent as pixels."""
    x, y = (get_number(value, name) for name in names)
    return (x / 100 * size.width, y / 100 * size.height)


def _within(pixel: float, side: int) -> float:
    return round(min(max(pixel, 0.0), float(side)), _PIXEL_DIGITS)


_DECODERS: Mapping[str, Callable[[Mapping[str, Any], Size], Box | Mask]] = {
    "rectangle": _decode_box,
    "brush": _decode_brush,
    "bitmask": _decode_bitmask,
    "ellipse": _decode_ellipse,
}

SHAPES = frozenset(_DECODERS) | {"polygon"}
"""Types of results that are read; with ``labels`` behind them, they carry their label themselves."""
