"""Outlines in figures: against pixels that are looked at one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from detseg.geometry.masks import bitmap_to_mask, empty_mask, mask_to_box
from detseg.geometry.outlines import measure_outline, roughness
from detseg.geometry.runs import crop_to_box
from detseg.types import Size

bitmaps = arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(bitmaps)
def test_figures_are_those_of_the_pixels(bitmap: np.ndarray) -> None:
    mask = bitmap_to_mask(bitmap)
    outline = measure_outline(mask)
    if not bitmap.any():
        assert outline is None
        return
    assert outline is not None
    padded = np.pad(bitmap, 1)
    _, n_pieces = ndimage.label(padded, structure=np.ones((3, 3)))
    _, n_backgrounds = ndimage.label(~padded)
    n_sides = sum(np.count_nonzero(np.diff(padded.astype(np.int8), axis=axis)) for axis in (0, 1))
    assert outline.area_px == np.count_nonzero(bitmap)
    assert outline.box == mask_to_box(mask)
    assert outline.length_px == n_sides
    assert (outline.n_pieces, outline.n_holes) == (n_pieces, n_backgrounds - 1)


@given(bitmaps)
def test_the_crop_is_what_the_box_holds(bitmap: np.ndarray) -> None:
    box = mask_to_box(bitmap_to_mask(bitmap))
    if box is not None:
        x0, y0, x1, y1 = map(int, box.xyxy)
        assert np.array_equal(crop_to_box(bitmap_to_mask(bitmap), box), bitmap[y0:y1, x0:x1])


@given(bitmaps)
def test_roughness_does_not_depend_on_the_side_we_look_from(bitmap: np.ndarray) -> None:
    assert roughness(bitmap) == roughness(bitmap.T) == roughness(bitmap[::-1]) >= 0
    assert roughness(np.pad(bitmap, 3)) == roughness(bitmap)


def test_nothing_has_no_outline() -> None:
    assert measure_outline(empty_mask(Size(3, 2))) is None
    assert roughness(np.zeros((3, 2), bool)) == 0.0


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0, 2.7])
def test_straight_lines_are_not_rough(slope: float) -> None:
    rows, columns = np.mgrid[:60, :60]
    assert roughness((rows > slope * columns + 3) & (rows < 57) & (columns > 2) & (columns < 57)) < 0.05


def test_a_circle_is_smooth_and_noise_is_rough() -> None:
    rows, columns = np.mgrid[:80, :80]
    distance = np.hypot(rows - 40, columns - 40)
    chance = np.random.default_rng(0).random(distance.shape) < 0.5
    assert roughness(distance < 30) < 0.02
    assert roughness((distance < 28) | ((distance < 31) & chance)) > 0.3


def test_windings_are_1_for_what_rows_and_columns_cut_once() -> None:
    rows, columns = np.mgrid[:80, :80]
    circle = measure_outline(bitmap_to_mask(np.hypot(rows - 40, columns - 40) < 30))
    comb = measure_outline(bitmap_to_mask((rows < 10) | (columns % 8 < 4)))
    assert circle is not None
    assert comb is not None
    assert circle.windings == 1.0
    assert (circle.n_pieces, circle.n_holes) == (1, 0)
    assert comb.windings > 4
