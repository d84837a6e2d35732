"""Polygons and ellipses to masks, and masks to polygons.

A polygon is the ring of its corners (x, y) in pixels, the first not repeated; pixel (0, 0) reaches from
(0, 0) to (1, 1), and a pixel belongs to a shape if its centre does. A polygon has no holes: neither has a
mask that becomes one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from detseg.geometry.edges import edges_to_mask, rows_to_columns, runs_to_edges
from detseg.geometry.masks import Bitmap, empty_mask, mask_to_box
from detseg.geometry.runs import cut_bitmap
from detseg.types import Mask, Size

Point = tuple[float, float]
Polygon = tuple[Point, ...]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_OUTSIDE = ((-1, 0), (0, 1), (1, 0), (0, -1))  # what lies beyond a pixel's top, right, bottom, left: (dy, dx)
_STARTS = ((0, 0), (0, 1), (1, 1), (1, 0))  # where these sides start, clockwise around the pixel: (y, x)
_CROSSINGS = 2**18  # of sides and rows that are held at once: some 20 MB
_NO_RADIUS = 1e-9  # pixels: thinner than what coordinates are rounded to


def mask_to_polygon(mask: Mask, *, tolerance_px: float = 0.0) -> Polygon | None:
    """The outline of a mask; None if it is empty, has holes or more than one piece, or is too thin to keep.

    Every corner of the mask is within the tolerance of the polygon (Ramer 1972, Douglas and Peucker 1973);
    without one, the polygon's mask is the mask. Pixels that touch at a corner are of one piece.
    """
    box = mask_to_box(mask)
    if box is None:
        return None
    x0, y0, x1, y1 = (int(edge) for edge in box.xyxy)
    (ring, _), *others = islice(_trace(cut_bitmap(mask, x0=x0, y0=y0, x1=x1, y1=y1)), 2)
    if others:
        return None
    corners = ring.astype(np.float64) + np.array((x0, y0))
    kept = _simplify(corners, tolerance_px) if tolerance_px > 0 else corners
    return tuple((float(x), float(y)) for x, y in kept) if len(kept) >= 3 else None


def outer_rings(mask: Mask) -> tuple[Ints, ...]:
    """The corners (n, 2) of every piece of a mask, clockwise; holes are left out.

    Each ring winds around the pixels of its piece and of the piece's holes, and around no others. Pixels that
    touch at a corner are of one piece.
    """
    box = mask_to_box(mask)
    if box is None:
        return ()
    x0, y0, x1, y1 = (int(edge) for edge in box.xyxy)
    rings = _trace(cut_bitmap(mask, x0=x0, y0=y0, x1=x1, y1=y1))
    return tuple(ring + np.array((x0, y0)) for ring, is_piece in rings if is_piece)


def polygon_to_mask(points: Sequence[Point], size: Size) -> Mask:
    """The pixels that a polygon winds around (the nonzero rule, by which browsers fill), cut to the image.

    However many corners there are, it needs memory for the image's pixels at most.
    """
    ends = np.array(points, dtype=np.float64).reshape(-1, 2)
    if len(ends) < 3:
        raise ValueError(f"a polygon has at least 3 corners, not {len(ends)}")
    places, turns = _crossings_by_place(np.roll(ends, 1, axis=0), ends, size)
    inside = np.flatnonzero(np.cumsum(turns) != 0)  # from a place to the next one, which is in its row
    rows, columns = np.divmod(places, size.width + 1)
    return _spans_to_mask(rows[inside], columns[inside], columns[inside + 1], size)


def count_crossings(points: Sequence[Point], size: Size) -> int:
    """Count how often the sides of a polygon cross a row of the image: what ``polygon_to_mask`` has to do."""
    ends = np.array(points, dtype=np.float64).reshape(-1, 2)
    return int(_crossed_rows(np.roll(ends[:, 1], 1), ends[:, 1], size)[1].sum())


def _crossed_rows(y0: Floats, y1: Floats, size: Size) -> tuple[Ints, Ints]:
    """The first row whose centre lies between the ends of each side, and how many there are."""
    first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, size.height).astype(np.int64)
    last = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, size.height).astype(np.int64)
    return first, last - first


def _crossings_by_place(starts: Floats, ends: Floats, size: Size) -> tuple[Ints, Ints]:
    """Find where sides cross rows, in order, and how often more downwards than upwards.

    A place is the first pixel to the right, ``row * (width + 1) + column``: the last column is beyond the
    image.
    """
    total = np.cumsum(_crossed_rows(starts[:, 1], ends[:, 1], size)[1])
    if total[-1] <= _CROSSINGS:
        places, turns = _crossings(starts, ends, size)
        once, which = np.unique(places, return_inverse=True)
        return once, np.bincount(which, turns, minlength=once.size).astype(np.int64)
    sums = np.zeros(size.height * (size.width + 1), dtype=np.int64)
    at = 0
    while at < len(ends):
        until = max(at + 1, int(np.searchsorted(total, (total[at - 1] if at else 0) + _CROSSINGS, "right")))
        part = slice(at, until)
        np.add.at(sums, *_crossings(starts[part], ends[part], size))
        at = until
    places = np.flatnonzero(sums)
    return places, sums[places]


def _crossings(starts: Floats, ends: Floats, size: Size) -> tuple[Ints, Ints]:
    """The place of every crossing of a side and a row, and 1 where the side goes down there, else -1."""
    (x0, y0), (x1, y1) = starts.T, ends.T
    first, n_rows = _crossed_rows(y0, y1, size)
    side = np.repeat(np.arange(len(ends)), n_rows)
    rows = np.arange(side.size) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows) + first[side]
    x = x0[side] + (rows + 0.5 - y0[side]) * (x1 - x0)[side] / (y1 - y0)[side]
    columns = np.clip(np.ceil(x - 0.5), 0, size.width).astype(np.int64)
    return rows * (size.width + 1) + columns, np.where(y1 > y0, 1, -1)[side]


def ellipse_to_mask(centre: Point, radii: Point, rotation_deg: float, size: Size) -> Mask:
    """The pixels of an ellipse that is turned clockwise about its centre, cut to the image."""
    if min(radii) <= _NO_RADIUS:
        return empty_mask(size)
    cos, sin = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    across, down = 1 / radii[0] ** 2, 1 / radii[1] ** 2
    a = cos**2 * across + sin**2 * down  # a dx^2 + 2 b dx dy + c dy^2 <= 1
    b = cos * sin * (across - down)
    c = sin**2 * across + cos**2 * down
    rows = np.arange(size.height)
    dy = rows + 0.5 - centre[1]
    under_root = (b * dy) ** 2 - a * (c * dy**2 - 1)
    crossed = under_root > 0
    middle, half = centre[0] - b * dy[crossed] / a, np.sqrt(under_root[crossed]) / a
    starts, ends = (
        np.clip(np.ceil(x - 0.5), 0, size.width).astype(np.int64) for x in (middle - half, middle + half)
    )
    return _spans_to_mask(rows[crossed], starts, ends, size)


def _spans_to_mask(rows: Ints, x0: Ints, x1: Ints, size: Size) -> Mask:
    """The pixels of half-open spans of columns, which are in order and do not overlap."""
    starts, ends = rows * size.width + x0, rows * size.width + x1
    filled = starts < ends
    edges = runs_to_edges(starts[filled], ends[filled]).astype(np.int32)
    return edges_to_mask(rows_to_columns(edges, size), size)


def _trace(bitmap: Bitmap) -> Iterator[tuple[Ints, bool]]:
    """Yield the outlines of a bitmap (h, w) as corners (n, 2), and whether each goes around a piece.

    Pieces are gone around clockwise, holes counterclockwise. What begins higher comes first.
    """
    padded = np.pad(bitmap, 1)
    width = padded.shape[1]
    leaving: dict[int, list[int]] = {}  # directions of the sides that start at a corner, by its number
    for direction, (dy, dx) in enumerate(_OUTSIDE):  # of the top, right, bottom and left sides of pixels
        y, x = np.nonzero(padded & ~np.roll(padded, (-dy, -dx), axis=(0, 1)))
        start_y, start_x = _STARTS[direction]
        for number in ((y + start_y) * width + x + start_x).tolist():
            leaving.setdefault(number, []).append(direction)
    for start in sorted(leaving):  # the leftmost corner at the top of its outline: one side is left there
        if leaving[start]:
            is_piece = leaving[start][0] == 0  # it leaves to the right, with the piece below
            numbers = np.array(_walk(leaving, start, width))
            yield np.stack((numbers % width - 1, numbers // width - 1), axis=1), is_piece


def _walk(leaving: dict[int, list[int]], start: int, width: int) -> list[int]:
    """The corners of the outline that leaves from there, whose sides are taken away."""
    steps = (1, width, -1, -width)
    corners: list[int] = []
    at, direction = start, -1
    while at != start or not corners:
        choices = leaving[at]
        turned = choices[0] if len(choices) == 1 else (direction - 1) % 4  # on to the pixel that it touches
        choices.remove(turned)
        if turned != direction:
            corners.append(at)
        direction = turned
        at += steps[direction]
    return corners


def _simplify(ring: Floats, tolerance_px: float) -> Floats:
    """The corners of a ring (n, 2) that are needed to stay within the tolerance of all of them."""
    far = int(np.argmax(((ring - ring[0]) ** 2).sum(axis=1)))
    closed = np.concatenate((ring, ring[:1]))
    needed = {0, far}
    pending = [(0, far), (far, len(ring))]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        distances = _distances(closed[first + 1 : last], closed[first], closed[last])
        worst = int(np.argmax(distances))
        if distances[worst] > tolerance_px:
            middle = first + 1 + worst
            needed.add(middle)
            pending += [(first, middle), (middle, last)]
    return ring[sorted(needed)]


def _distances(points: Floats, start: Floats, end: Floats) -> Floats:
    """Compute how far points (n, 2) are from a line between two others, its ends included."""
    along = end - start
    length2 = float(along @ along)
    share = np.clip((points - start) @ along / length2, 0, 1) if length2 else np.zeros(len(points))
    nearest = start + share[:, None] * along
    distances: Floats = np.hypot(*(points - nearest).T)
    return distances
