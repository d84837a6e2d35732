from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou as torchvision_box_iou

from detseg.geometry.boxes import (
    box_iou,
    box_iou_matrix,
    box_to_xywh,
    boxes_to_array,
    clip_box,
    xywh_to_box,
)
from detseg.types import Box, Size

coordinates = st.floats(-50, 150, allow_nan=False).map(lambda v: round(v, 3))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x0, x1 = sorted((draw(coordinates), draw(coordinates)))
    y0, y1 = sorted((draw(coordinates), draw(coordinates)))
    return Box(x0, y0, x1, y1)


@given(boxes())
def test_xywh_is_the_inverse_of_xyxy(box: Box) -> None:
    assert xywh_to_box(box_to_xywh(box)).xyxy == pytest.approx(box.xyxy, abs=1e-9)


@given(st.lists(boxes(), max_size=5), st.lists(boxes(), max_size=5))
def test_the_iou_matrix_is_torchvisions_and_symmetric(a: list[Box], b: list[Box]) -> None:
    ious = box_iou_matrix(boxes_to_array(a), boxes_to_array(b))
    assert ious.shape == (len(a), len(b))
    assert np.array_equal(ious, box_iou_matrix(boxes_to_array(b), boxes_to_array(a)).T)
    theirs = torchvision_box_iou(torch.tensor(boxes_to_array(a)), torch.tensor(boxes_to_array(b)))
    assert ious == pytest.approx(np.nan_to_num(theirs.numpy()), abs=1e-9)


def test_the_iou_matrix_of_thousands_takes_little_more_memory_than_it_has() -> None:
    rng = np.random.default_rng(0)
    low = rng.random((3000, 2)) * 100
    many = np.hstack((low, low + 10 * rng.random((3000, 2))))
    tracemalloc.start()
    try:
        iou = box_iou_matrix(many, many)
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most_bytes < 1.5 * iou.nbytes
    assert iou[2500:2503, :5] == pytest.approx(box_iou_matrix(many[2500:2503], many[:5]), abs=0)


def test_iou_at_the_edges() -> None:
    square = Box(0, 0, 10, 10)
    assert box_iou(square, square) == 1.0
    assert box_iou(square, Box(10, 0, 20, 10)) == 0.0  # half-open: they touch, they do not overlap
    assert box_iou(square, Box(5, 5, 5, 5)) == 0.0
    assert box_iou(Box(5, 5, 5, 5), Box(5, 5, 5, 5)) == 0.0
    assert box_iou(square, Box(0, 0, 5, 10)) == 0.5


@given(boxes())
def test_what_is_clipped_lies_inside(box: Box) -> None:
    size = Size(97, 61)
    clipped = clip_box(box, size)
    if clipped is not None:
        assert 0 <= clipped.x0 < clipped.x1 <= 97
        assert 0 <= clipped.y0 < clipped.y1 <= 61
        assert clip_box(clipped, size) == clipped


def test_a_box_outside_or_without_area_is_clipped_away() -> None:
    assert clip_box(Box(10, 0, 12, 5), Size(10, 10)) is None
    assert clip_box(Box(3, 3, 3, 8), Size(10, 10)) is None
    assert clip_box(Box(-3, -3, 30, 5), Size(10, 10)) == Box(0, 0, 10, 5)


def test_negative_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="x0 <= x1"):
        xywh_to_box((3, 3, -1, 2))
