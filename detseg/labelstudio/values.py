"""The ``value`` of one result, a box or a mask, without its label. Percent exists only here.

Written are rectangles, polygons, brush masks and bitmasks; read are ellipses, too. All of them come back as
what they cover: a rectangle as its box (a turned one as the upright box around it), everything else as its
pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from detseg.errors import FormatError
from detseg.geometry.polygons import Point, Polygon, ellipse_to_mask, polygon_to_mask
from detseg.labelstudio.bitmask import decode_bitmask
from detseg.labelstudio.brush import decode_brush
from detseg.types import Box, Mask, Size

Json = dict[str, Any]

_PERCENT_DIGITS = 10  # 1e-12 of a side: far below 1e-6 px, far above float noise
_PIXEL_DIGITS = 9


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


def decode_value(kind: str, value: Mapping[str, Any], size: Size) -> Box | Mask:
    """What a result of that type covers, within the image. Raises FormatError if it cannot be read."""
    decode = _DECODERS.get(kind)
    if decode is None:
        raise FormatError(
            f"regions of type {kind!r} are not supported, only {', '.join(_DECODERS)}: take the other tags "
            "out of the labeling interface, and these regions out of the task"
        )
    try:
        return decode(value, size)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"its value cannot be read ({error!r})") from error


def _to_percent(pixel: float, side: int) -> float:
    return round(min(max(pixel / side * 100, 0.0), 100.0), _PERCENT_DIGITS)


def _decode_box(value: Mapping[str, Any], size: Size) -> Box:
    """Of a turned rectangle the upright box around it. They turn clockwise about their top left corner."""
    x, y = _point(value["x"], value["y"], size)
    width, height = _point(value["width"], value["height"], size)
    xs, ys = (x, x + width), (y, y + height)
    if angle := math.radians(float(value.get("rotation") or 0.0)):
        across = (width * math.cos(angle), width * math.sin(angle))
        down = (-height * math.sin(angle), height * math.cos(angle))
        corners = [
            (x + i * across[0] + j * down[0], y + i * across[1] + j * down[1]) for i in (0, 1) for j in (0, 1)
        ]
        xs, ys = zip(*corners, strict=True)
    return Box(
        _within(min(xs), size.width),
        _within(min(ys), size.height),
        _within(max(xs), size.width),
        _within(max(ys), size.height),
    )


def decode_polygon(value: Mapping[str, Any], size: Size) -> Mask:
    """The pixels that its corners surround."""
    points = [_point(x, y, size) for x, y in value["points"]]
    if len(points) < 3:
        raise FormatError(f"a polygon has at least 3 corners, this one has {len(points)}: delete it or go on")
    return polygon_to_mask([(round(x, _PIXEL_DIGITS), round(y, _PIXEL_DIGITS)) for x, y in points], size)


def _decode_ellipse(value: Mapping[str, Any], size: Size) -> Mask:
    centre, radii = _point(value["x"], value["y"], size), _point(value["radiusX"], value["radiusY"], size)
    return ellipse_to_mask(centre, radii, float(value.get("rotation") or 0.0), size)


def _decode_brush(value: Mapping[str, Any], size: Size) -> Mask:
    if value.get("format") != "rle":
        raise FormatError(f"the mask has the format {value.get('format')!r}, expected 'rle'")
    return decode_brush(value["rle"], size)


def _decode_bitmask(value: Mapping[str, Any], size: Size) -> Mask:
    return decode_bitmask(str(value["imageDataURL"]), size)


def _point(x: Any, y: Any, size: Size) -> Point:
    """Percent as pixels. ValueError for what is not finite."""
    point = (float(x) / 100 * size.width, float(y) / 100 * size.height)
    if not all(map(math.isfinite, point)):
        raise ValueError(f"coordinates are finite, not ({x}, {y})")
    return point


def _within(pixel: float, side: int) -> float:
    return round(min(max(pixel, 0.0), float(side)), _PIXEL_DIGITS)


_DECODERS: Mapping[str, Callable[[Mapping[str, Any], Size], Box | Mask]] = {
    "rectanglelabels": _decode_box,
    "brushlabels": _decode_brush,
    "bitmasklabels": _decode_bitmask,
    "polygonlabels": decode_polygon,
    "ellipselabels": _decode_ellipse,
}
