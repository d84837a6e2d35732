"""Brush run lengths against label_studio_sdk's own encoder and decoder."""

from __future__ import annotations

import tracemalloc

import hypothesis.strategies as st
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from label_studio_sdk.converter.brush import decode_rle, encode_rle, mask2rle

from detseg.errors import FormatError
from detseg.geometry.masks import Bitmap, bitmap_to_mask, mask_to_bitmap
from detseg.labelstudio.brush import RING, decode_brush, encode_brush, most_bytes
from detseg.types import Mask, Size

BITMAPS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))
ALPHAS = arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)))


def sdk_encode(bitmap: Bitmap) -> list[int]:
    return list(mask2rle(bitmap.astype(np.uint8) * 255))


def page_encode(alpha: npt.NDArray[np.uint8]) -> list[int]:
    """As the page does for alpha of shape (H, W): every channel has the alpha's value."""
    return list(encode_rle(np.repeat(alpha.ravel(), 4)))


@given(BITMAPS)
def test_bytes_are_those_of_the_sdk_and_come_back(bitmap: Bitmap) -> None:
    mask = bitmap_to_mask(bitmap)
    rle = encode_brush(mask)
    assert list(rle) == sdk_encode(bitmap)
    assert decode_brush(rle, mask.size) == mask
    assert len(rle) <= most_bytes(mask) <= 4 * len(rle) + 8 * mask.size.height + 20


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (70, 1), (128, 128), (480, 640), (700, 300)])
@pytest.mark.parametrize("value", [False, True])
def test_one_value_everywhere(shape: tuple[int, int], value: bool) -> None:
    """Runs longer than 65,536 values are cut as the SDK cuts them."""
    bitmap = np.full(shape, value)
    mask = bitmap_to_mask(bitmap)
    assert list(encode_brush(mask)) == sdk_encode(bitmap)
    assert decode_brush(encode_brush(mask), mask.size) == mask


@pytest.mark.parametrize("run", [1, 2, 3, 4, 5, 63, 64, 65, 16383, 16384, 16385, 32768, 32769])
def test_every_width_of_run_lengths(run: int) -> None:
    bitmap = np.zeros((1, 40000), dtype=bool)
    bitmap[0, 7 : 7 + run] = True
    mask = bitmap_to_mask(bitmap)
    assert list(encode_brush(mask)) == sdk_encode(bitmap)
    assert decode_brush(encode_brush(mask), mask.size) == mask


@given(ALPHAS)
def test_antialiased_alpha_is_foreground_above_127(alpha: npt.NDArray[np.uint8]) -> None:
    rle = page_encode(alpha)
    size = Size(alpha.shape[1], alpha.shape[0])
    decoded = mask_to_bitmap(decode_brush(rle, size))
    expected = decode_rle(rle).reshape(size.height, size.width, 4)[:, :, 3] > 127
    assert np.array_equal(decoded, expected)


def outlined(bitmap: Bitmap, width: int) -> npt.NDArray[np.uint8]:
    """Alpha of shape (H, W), pixel by pixel: a ring, by how far background is along row or column."""
    alpha = np.where(bitmap, 255, 0).astype(np.uint8)
    for y, x in np.argwhere(bitmap):
        near, far = (
            bitmap[max(y - reach, 0) : y + reach + 1, x].all()
            and bitmap[y, max(x - reach, 0) : x + reach + 1].all()
            for reach in (width, 3 * width)
        )
        if near and not far:
            alpha[y, x] = RING
    return alpha


@given(BITMAPS, st.integers(1, 4))
def test_a_ring_sets_off_the_outline(bitmap: Bitmap, width: int) -> None:
    """What lies at the image's edge has no outline there. The masks are the same as without one."""
    mask = bitmap_to_mask(bitmap)
    rle = encode_brush(mask, outline_px=width)
    alpha = decode_rle(list(rle)).reshape(*bitmap.shape, 4)[:, :, 3]
    assert np.array_equal(alpha > 0, bitmap)
    assert decode_brush(rle, mask.size) == mask
    assert len(rle) <= most_bytes(mask, outlined=True)
    padded = np.pad(bitmap, ((1, 1), (1, 1)))
    framed = bitmap_to_mask(padded)  # runs that go on in the next line do not, with background around
    rle = encode_brush(framed, outline_px=width)
    alpha = decode_rle(list(rle)).reshape(*padded.shape, 4)[:, :, 3]
    assert np.array_equal(alpha, outlined(padded, width))
    assert list(rle) == page_encode(alpha)


def test_only_alpha_counts() -> None:
    pixels = np.array([[255, 255, 255, 0], [0, 0, 0, 255]], dtype=np.uint8)
    assert decode_brush(encode_rle(pixels.ravel()), Size(2, 1)) == Mask(Size(2, 1), (1, 1))


def pack(fields: list[tuple[int, int]]) -> list[int]:
    """Bits of (value, width) pairs, then zeros up to a byte."""
    bits = "".join(f"{value:0{width}b}" for value, width in fields)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_literals_of_several_values_and_other_widths() -> None:
    header = [(8, 32), (7, 5), (1, 4), (2, 4), (3, 4), (4, 4)]  # 8 values of 8 bits; sizes of 2 to 5 bits
    literal = [(0, 1), (0, 2), (3, 2), (9, 8), (9, 8), (9, 8), (200, 8)]  # four values
    run = [(1, 1), (3, 2), (3, 5), (100, 8)]  # four times 100
    rle = pack(header + literal + run)
    assert decode_rle(rle).tolist() == [9, 9, 9, 200, 100, 100, 100, 100]
    assert decode_brush(rle, Size(2, 1)) == Mask(Size(2, 1), (0, 1, 1))


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[int], list[int], Size]:
    """Run lengths as the format allows them: any word size, any widths, runs and literals mixed.

    The last block may hold more values than the image; the SDK reads neither that, so it gets a header for
    all of them, nor values above 255.
    """
    word_bits = draw(st.integers(1, 32))
    widths = draw(st.lists(st.integers(1, 16), min_size=4, max_size=4))
    blocks: list[tuple[int, int]] = []
    n_values = 0
    for _ in range(draw(st.integers(1, 12))):
        run, choice = draw(st.booleans()), draw(st.integers(0, 3))
        n = draw(st.integers(1, min(2 ** widths[choice], 40)))
        blocks += [(int(run), 1), (choice, 2), (n - 1, widths[choice])]
        blocks += [
            (draw(st.integers(0, min(2**word_bits, 256) - 1)), word_bits) for _ in range(1 if run else n)
        ]
        n_values += n
    height = draw(st.integers(1, 3))
    n_pixels = max(n_values // 4 // height, 1)
    missing = 4 * n_pixels * height - n_values
    if missing > 0:
        blocks += [(1, 1), (0, 2), (0, widths[0]), (0, word_bits)] * missing
    parameters = [(word_bits - 1, 5), *((width - 1, 4) for width in widths)]
    needed = 4 * n_pixels * height
    rle, whole = (pack([(n, 32), *parameters, *blocks]) for n in (needed, max(needed, n_values)))
    return rle, whole, Size(n_pixels, height)


@given(streams())
def test_whatever_the_format_allows_is_read_as_the_sdk_reads_it(
    stream: tuple[list[int], list[int], Size],
) -> None:
    rle, whole, size = stream
    values = decode_rle(whole)[: 4 * size.area]
    expected = values.reshape(size.height, size.width, 4)[:, :, 3] > 127
    assert np.array_equal(mask_to_bitmap(decode_brush(rle, size)), expected)


@given(bitmap=BITMAPS, cut=st.integers(0, 2**32))
def test_what_is_cut_off_is_refused(bitmap: Bitmap, cut: int) -> None:
    mask = bitmap_to_mask(bitmap)
    rle = encode_brush(mask)
    whole = len(rle) - 1 if rle[-1] == 0 else len(rle)  # the last byte may be padding alone
    with pytest.raises(FormatError, match="brush run lengths"):
        decode_brush(rle[: cut % max(whole - 1, 1)], mask.size)


@pytest.mark.parametrize("rle", [[], [0] * 6, [256], [-1], ["a"], [1.5]])
def test_what_is_no_brush_is_refused(rle: list[int]) -> None:
    with pytest.raises(FormatError, match="brush run lengths"):
        decode_brush(rle, Size(1, 1))


def test_a_mask_of_another_size_is_refused() -> None:
    rle = encode_brush(Mask(Size(4, 3), (12,)))
    with pytest.raises(FormatError, match="of a 3x3 image has 36 values, not 48"):
        decode_brush(rle, Size(3, 3))


def test_long_streams_are_read_in_parts() -> None:
    alpha = np.random.default_rng(7).integers(0, 256, (350, 400), dtype=np.uint8)
    alpha[100:200] = 200  # runs among the literals
    rle = page_encode(alpha)
    assert len(rle) > 2 * 2**16
    decoded = mask_to_bitmap(decode_brush(rle, Size(400, 350)))
    assert np.array_equal(decoded, alpha > 127)


def test_what_comes_after_the_last_value_is_not_read() -> None:
    """Memory is that of the bytes themselves, twice: the copy that is read, and what the test gives."""
    size = Size(16, 16)
    rle = encode_brush(Mask(size, (100, 156))) + bytes(range(256)) * 40_000
    tracemalloc.start()
    try:
        assert decode_brush(rle, size).area == 156
        assert tracemalloc.get_traced_memory()[1] < 2 * len(rle)
    finally:
        tracemalloc.stop()
