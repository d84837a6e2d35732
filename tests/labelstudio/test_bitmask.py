"""Bitmasks: PNGs in data URLs, of any size and as any program writes them."""

from __future__ import annotations

import base64
import io
from typing import Any

import hypothesis.strategies as st
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from label_studio_sdk.converter.brush import decode_rle
from PIL import Image

from detseg.errors import FormatError
from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap
from detseg.labelstudio.bitmask import decode_bitmask, encode_bitmask
from detseg.labelstudio.brush import encode_brush
from detseg.types import Mask, Size
from tests.images.made import encoded, flat_png

BITMAPS = arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20)))


def data_url(image: Image.Image, kind: str = "PNG") -> str:
    return png_url(encoded(image, kind))


def png_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


@given(BITMAPS)
def test_masks_come_back_exactly(bitmap: npt.NDArray[np.bool_]) -> None:
    mask = bitmap_to_mask(bitmap)
    assert decode_bitmask(encode_bitmask(mask), mask.size) == mask


@given(BITMAPS)
def test_it_is_what_the_page_draws(bitmap: npt.NDArray[np.bool_]) -> None:
    """Opaque black where there is foreground, transparent elsewhere."""
    data = base64.b64decode(encode_bitmask(bitmap_to_mask(bitmap)).removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as image:
        rgba = np.asarray(image.convert("RGBA"))
    assert not rgba[:, :, :3].any()
    assert np.array_equal(rgba[:, :, 3], np.where(bitmap, 255, 0))


@given(BITMAPS, st.integers(1, 3))
def test_an_outline_is_as_opaque_as_that_of_a_brush_mask(bitmap: npt.NDArray[np.bool_], width: int) -> None:
    mask = bitmap_to_mask(bitmap)
    url = encode_bitmask(mask, outline_px=width)
    with Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))) as image:
        alpha = np.asarray(image.convert("RGBA"))[:, :, 3]
    brush = decode_rle(list(encode_brush(mask, outline_px=width)))
    assert np.array_equal(alpha.ravel(), brush[3::4])
    assert decode_bitmask(url, mask.size) == mask


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_antialiased_alpha_is_foreground_above_127(alpha: npt.NDArray[np.uint8]) -> None:
    rgba = np.zeros((*alpha.shape, 4), dtype=np.uint8)
    rgba[:, :, 3] = alpha
    decoded = decode_bitmask(data_url(Image.fromarray(rgba)), Size(alpha.shape[1], alpha.shape[0]))
    assert np.array_equal(mask_to_bitmap(decoded), alpha > 127)


@given(BITMAPS, st.integers(1, 3), st.integers(1, 3))
def test_one_of_another_size_is_stretched(bitmap: npt.NDArray[np.bool_], across: int, down: int) -> None:
    height, width = bitmap.shape
    url = encode_bitmask(bitmap_to_mask(bitmap))
    stretched = decode_bitmask(url, Size(width * across, height * down))
    assert np.array_equal(mask_to_bitmap(stretched), np.kron(bitmap, np.ones((down, across))) > 0)


def test_one_without_alpha_covers_all() -> None:
    assert decode_bitmask(data_url(Image.new("L", (3, 2))), Size(3, 2)) == Mask(Size(3, 2), (0, 6))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "is a data URL with a PNG"),
        ("https://example.com/mask.png", "is a data URL with a PNG"),
        ("data:image/png;base64,!!", "cannot be read"),
        ("data:image/png;base64,é", "cannot be read"),
        (png_url(flat_png(9_000, 9_000, n_rows=1)), "is 9000x9000, far larger than the image of 4x4"),
        (png_url(flat_png(65_000, 65_000, n_rows=1)), "cut off, too large"),
        ("data:image/png;base64," + base64.b64encode(b"no image").decode(), "cannot be read"),
        (data_url(Image.new("L", (4, 4)), "JPEG"), "cannot be read"),
        (encode_bitmask(Mask(Size(4, 4), (16,)))[:-40], "cannot be read"),
        (encode_bitmask(Mask(Size(40, 40), (1600,))), "is 40x40, far larger than the image of 4x4"),
    ],
)
def test_what_is_no_bitmask_is_refused(url: str, reason: Any) -> None:
    with pytest.raises(FormatError, match=reason):
        decode_bitmask(url, Size(4, 4))
