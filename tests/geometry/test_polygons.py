"""Polygons and ellipses against pixels tested one by one, and masks to polygons and back."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from typing import Any

import hypothesis.strategies as st
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from detseg.geometry.masks import bitmap_to_mask, empty_mask, mask_to_bitmap
from detseg.geometry.polygons import (
    Point,
    Polygon,
    ellipse_to_mask,
    mask_to_polygon,
    outer_rings,
    polygon_to_mask,
)
from detseg.types import Mask, Size

Bitmap = npt.NDArray[np.bool_]

BITMAPS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))
SIZES = st.builds(Size, st.integers(1, 25), st.integers(1, 25))
COORDINATES = st.floats(-10, 35).filter(lambda value: abs(value * 2 - round(value * 2)) > 1e-6)
"""Off the pixels' centres, where rounding decides."""

HOLES = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)
PIECES = np.array([[1, 0, 1]], dtype=bool)


def n_pieces(bitmap: Bitmap) -> int:
    """Pieces, pixels that touch at a corner counted as one."""
    return int(ndimage.label(bitmap, np.ones((3, 3)))[1])


def has_holes(bitmap: Bitmap) -> bool:
    return bool((ndimage.binary_fill_holes(bitmap) & ~bitmap).any())


@given(BITMAPS)
def test_an_outline_without_tolerance_is_the_mask(bitmap: Bitmap) -> None:
    mask = bitmap_to_mask(bitmap)
    polygon = mask_to_polygon(mask)
    assert (polygon is None) == (n_pieces(bitmap) != 1 or has_holes(bitmap))
    if polygon is not None:
        assert polygon_to_mask(polygon, mask.size) == mask
        assert polygon_to_mask(polygon[::-1], mask.size) == mask
        turns = [np.subtract(polygon[i], polygon[i - 1]) for i in range(len(polygon))]
        assert all(abs(float(a @ b)) == 0 for a, b in itertools.pairwise(turns))  # corners only


@given(BITMAPS)
def test_each_piece_has_a_ring_that_fills_its_holes(bitmap: Bitmap) -> None:
    """Which a piece within a hole of another has too."""
    labels, _ = ndimage.label(bitmap, np.ones((3, 3)))
    pieces = [ndimage.binary_fill_holes(labels == number) for number in range(1, labels.max() + 1)]
    size = Size(bitmap.shape[1], bitmap.shape[0])
    filled = [
        mask_to_bitmap(polygon_to_mask(ring.tolist(), size)) for ring in outer_rings(bitmap_to_mask(bitmap))
    ]
    assert sorted(one.tobytes() for one in filled) == sorted(one.tobytes() for one in pieces)


@pytest.mark.parametrize("bitmap", [HOLES, PIECES, np.zeros((3, 3), dtype=bool)])
def test_what_no_polygon_can_be(bitmap: Bitmap) -> None:
    assert mask_to_polygon(bitmap_to_mask(bitmap)) is None


def distance_to(polygon: Polygon, x: float, y: float) -> float:
    """From a point to the nearest side."""
    nearest = math.inf
    for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        along = max(
            0.0, min(1.0, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2))
        )
        nearest = min(nearest, math.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    return nearest


@given(BITMAPS, st.floats(0.1, 3))
def test_no_corner_is_farther_away_than_the_tolerance(bitmap: Bitmap, tolerance_px: float) -> None:
    mask = bitmap_to_mask(bitmap)
    exact, simple = mask_to_polygon(mask), mask_to_polygon(mask, tolerance_px=tolerance_px)
    if simple is not None:
        assert exact is not None
        assert set(simple) <= set(exact)
        assert all(distance_to(simple, x, y) <= tolerance_px + 1e-9 for x, y in exact)


def winding(points: Polygon, x: float, y: float) -> float:
    """How often a polygon turns around a point, by the angles of its corners as seen from there."""
    angles = np.unwrap([math.atan2(py - y, px - x) for px, py in (*points, points[0])])
    return abs(float(angles[-1] - angles[0])) / (2 * math.pi)


@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=7), SIZES)
def test_a_polygon_covers_the_pixels_that_it_winds_around(points: list[Point], size: Size) -> None:
    """Also one that crosses itself or leaves the image."""
    polygon = tuple(points)
    bitmap = mask_to_bitmap(polygon_to_mask(polygon, size))
    for y in range(size.height):
        for x in range(size.width):
            near_a_side = min(_to_side(polygon, i, x + 0.5, y + 0.5) for i in range(len(polygon))) < 1e-6
            assert near_a_side or bitmap[y, x] == (winding(polygon, x + 0.5, y + 0.5) > 0.5)


@settings(max_examples=25)
@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=7), st.sampled_from((1, -1)))
def test_going_round_again_and_again_changes_nothing(points: list[Point], way: int) -> None:
    """By the nonzero rule. So many corners are drawn by other means than few."""
    size = Size(40, 5000)
    tall = [(x, 170 * y) for x, y in points]
    assert polygon_to_mask(tall[::way] * 60, size) == polygon_to_mask(tall, size)


def test_memory_is_bounded_by_the_image() -> None:
    size = Size(320, 240)
    zigzag = [(x % 320, 240 * (x % 2)) for x in range(20_000)]
    tracemalloc.start()
    try:
        assert polygon_to_mask(zigzag, size).area > 0
        assert tracemalloc.get_traced_memory()[1] < 45_000_000
    finally:
        tracemalloc.stop()


def _to_side(polygon: Polygon, i: int, x: float, y: float) -> float:
    (x0, y0), (x1, y1) = polygon[i - 1], polygon[i]
    length = math.hypot(x1 - x0, y1 - y0)
    return abs((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) / length if length else math.hypot(x - x0, y - y0)


@given(
    st.tuples(st.floats(-5, 30), st.floats(-5, 30)),
    st.tuples(st.floats(0.5, 20), st.floats(0.5, 20)),
    st.floats(-360, 360),
    SIZES,
)
def test_an_ellipse_covers_the_pixels_inside(
    centre: Point, radii: Point, rotation_deg: float, size: Size
) -> None:
    bitmap = mask_to_bitmap(ellipse_to_mask(centre, radii, rotation_deg, size))
    rows, columns = np.mgrid[: size.height, : size.width]
    dx, dy = columns + 0.5 - centre[0], rows + 0.5 - centre[1]
    angle = math.radians(rotation_deg)
    u = dx * math.cos(angle) + dy * math.sin(angle)
    v = -dx * math.sin(angle) + dy * math.cos(angle)
    value: npt.NDArray[Any] = (u / radii[0]) ** 2 + (v / radii[1]) ** 2
    clear = abs(value - 1) > 1e-6
    assert np.array_equal(bitmap[clear], (value < 1)[clear])


@pytest.mark.parametrize("radii", [(0, 3), (3, 0), (1e-200, 3), (3, 5e-324), (-1, 3)])
def test_an_ellipse_without_radius_is_nothing(radii: Point) -> None:
    assert ellipse_to_mask((5, 5), radii, 30, Size(10, 10)) == empty_mask(Size(10, 10))


def test_a_polygon_off_the_image_is_nothing() -> None:
    assert polygon_to_mask([(20, 20), (30, 20), (30, 30)], Size(10, 10)) == empty_mask(Size(10, 10))


def test_two_corners_are_no_polygon() -> None:
    with pytest.raises(ValueError, match="at least 3 corners, not 2"):
        polygon_to_mask([(0, 0), (1, 1)], Size(3, 3))


def test_a_whole_image_is_its_four_corners() -> None:
    size = Size(7, 5)
    assert set(mask_to_polygon(Mask(size, (0, 35))) or ()) == {(0, 0), (7, 0), (7, 5), (0, 5)}
