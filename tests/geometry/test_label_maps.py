from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from detseg.geometry.label_maps import (
    LabelMap,
    array_to_map,
    interior,
    map_to_array,
    paint,
    renumber,
    same_map,
    shared_pixels,
)
from detseg.geometry.masks import bitmap_to_mask, empty_mask, mask_to_bitmap
from detseg.types import Mask, Size

Array = npt.NDArray[np.int64]

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


def maps_of(shape: tuple[int, int], most: int = 3) -> st.SearchStrategy[Array]:
    return arrays(np.int64, shape, elements=st.integers(0, most))


@st.composite
def blocks(draw: st.DrawFn) -> Array:
    """Maps with large pieces, so that something has an inside."""
    height, width = draw(st.integers(3, 30)), draw(st.integers(3, 30))
    array = np.full((height, width), draw(st.integers(0, 2)))
    for _ in range(draw(st.integers(0, 4))):
        x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        array[y0 : y0 + draw(st.integers(1, 20)), x0 : x0 + draw(st.integers(1, 20))] = draw(
            st.sampled_from([0, 1, 2, 255, 256])
        )
    return array


def check_form(labels: LabelMap) -> None:
    assert labels.starts[0] == 0
    assert (np.diff(labels.starts) > 0).all()
    assert (np.diff(labels.numbers) != 0).all()
    assert labels.starts.dtype == labels.numbers.dtype == np.int32


@given(SHAPES.flatmap(maps_of))
def test_arrays_come_back(array: Array) -> None:
    labels = array_to_map(array)
    check_form(labels)
    assert np.array_equal(map_to_array(labels), array)
    assert same_map(labels, array_to_map(array))
    assert not same_map(labels, array_to_map(array + 1))
    assert not same_map(labels, array_to_map(np.pad(array, ((0, 1), (0, 0)))))


@pytest.mark.parametrize("n_more", [0, 61, 62, 130])
@given(st.data())
def test_the_first_mask_that_covers_a_pixel_owns_it(n_more: int, data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    bitmaps = data.draw(st.lists(arrays(np.bool_, shape), max_size=4))
    size = Size(shape[1], shape[0])
    masks = [empty_mask(size)] * n_more + [bitmap_to_mask(bitmap) for bitmap in bitmaps]
    expected = np.zeros(shape, dtype=np.int64)
    for i in range(len(masks), 0, -1):
        expected[mask_to_bitmap(masks[i - 1])] = i
    painted = paint(masks, size)
    check_form(painted)
    assert np.array_equal(map_to_array(painted), expected)


def test_many_masks_one_over_the_other() -> None:
    size = Size(200, 1)
    masks = [Mask(size, (0, n, 200 - n)) for n in range(1, 200)]
    assert map_to_array(paint(masks, size)).tolist() == [[*range(1, 200), 0]]


def test_masks_with_runs_without_pixels_are_painted() -> None:
    size = Size(2, 3)
    odd = Mask(size, (1, 1, 0, 1, 2, 0, 1, 0))
    assert map_to_array(paint([odd], size)).T.reshape(-1).tolist() == [0, 1, 1, 0, 0, 0]
    assert map_to_array(paint([Mask(size, (0, 6))], size)).tolist() == [[1, 1]] * 3
    assert map_to_array(paint([], size)).tolist() == [[0, 0]] * 3


@given(st.data(), SHAPES, st.integers(1, 3))
def test_maps_share_pixels(data: st.DataObject, shape: tuple[int, int], n_maps: int) -> None:
    array = [data.draw(maps_of(shape)) for _ in range(n_maps)]
    expected = np.zeros((4, 5, 6)[:n_maps], dtype=np.int64)
    np.add.at(expected, tuple(one.reshape(-1) for one in array), 1)
    shared = shared_pixels(*map(array_to_map, array), shape=expected.shape)
    assert np.array_equal(shared, expected)


def test_maps_of_two_sizes_share_nothing() -> None:
    with pytest.raises(ValueError, match=r"one size, not \['2x3', '3x2'\]"):
        shared_pixels(array_to_map(np.zeros((2, 3), int)), array_to_map(np.zeros((3, 2), int)), shape=(1, 1))


@given(SHAPES.flatmap(maps_of), arrays(np.int64, 4, elements=st.integers(0, 300)))
def test_renumbered_pixel_by_pixel(array: Array, new: Array) -> None:
    labels = renumber(array_to_map(array), new)
    check_form(labels)
    assert np.array_equal(map_to_array(labels), new[array])


@given(blocks(), st.integers(1, 6))
def test_the_interior_is_what_erosion_leaves_of_every_number(array: Array, distance: int) -> None:
    expected = np.zeros(array.shape, dtype=bool)
    for number in np.unique(array):
        expected |= ndimage.binary_erosion(array == number, np.ones((3, 3)), iterations=distance)
    found = interior(array_to_map(array), distance)
    check_form(found)
    assert np.array_equal(map_to_array(found), expected)


def test_the_interior_of_an_image_that_is_worked_on_in_parts() -> None:
    numbers = np.random.default_rng(3).integers(0, 3, (7, 9))
    array = numbers.repeat(100, axis=0).repeat(100, axis=1)
    expected = sum(ndimage.binary_erosion(array == n, np.ones((61, 61))).astype(int) for n in range(3))
    assert np.array_equal(map_to_array(interior(array_to_map(array), 30)), expected)
