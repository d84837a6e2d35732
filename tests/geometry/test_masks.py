from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from detseg.errors import FormatError
from detseg.geometry.label_maps import segments_to_masks
from detseg.geometry.masks import (
    bitmap_to_mask,
    decode_mask,
    empty_mask,
    encode_mask,
    is_mask_string,
    mask_area,
    mask_iou,
    mask_iou_matrix,
    mask_to_bitmap,
    mask_to_box,
    string_to_counts,
    unite_masks,
)
from detseg.types import Box, Mask, Size


@st.composite
def bitmaps(draw: st.DrawFn, n: int = 1) -> list[np.ndarray]:
    """``n`` bitmaps of one size; empty, full, blocky and noisy ones."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    made = []
    for _ in range(n):
        block = draw(st.sampled_from([1, 4, 30]))
        small = rng.random((height // block + 1, width // block + 1)) < draw(
            st.sampled_from([0, 0.2, 0.8, 1])
        )
        made.append(np.kron(small, np.ones((block, block)))[:height, :width] > 0)
    return made


def coco_encode(bitmap: np.ndarray) -> dict:
    return coco.encode(np.asfortranarray(bitmap.astype(np.uint8)))


@given(bitmaps())
def test_a_bitmap_survives_and_its_string_is_cocos(made: list[np.ndarray]) -> None:
    (bitmap,) = made
    mask = bitmap_to_mask(bitmap)
    assert np.array_equal(mask_to_bitmap(mask), bitmap)
    assert mask.area == np.count_nonzero(bitmap)
    assert encode_mask(mask)["counts"] == coco_encode(bitmap)["counts"].decode()


def rle_to_string(counts: list[int]) -> str:
    """``rleToString`` of COCO's ``maskApi.c``, word by word."""
    text = ""
    for i, count in enumerate(counts):
        x, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            c, x = x & 0x1F, x >> 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text


@given(st.lists(st.integers(0, 2**40), max_size=20))
def test_any_counts_survive_the_string(counts: list[int]) -> None:
    assert string_to_counts(rle_to_string(counts)) == tuple(counts)


@given(st.lists(st.integers(0, 2**32 // 20 - 1), min_size=1, max_size=20).filter(any))
def test_any_mask_survives_its_json(counts: list[int]) -> None:
    """Runs without pixels are legal, and stay as they are."""
    mask = Mask(Size(1, sum(counts)), tuple(counts))
    assert encode_mask(mask) == {"size": [sum(counts), 1], "counts": rle_to_string(counts)}
    assert decode_mask(encode_mask(mask)) == decode_mask({**encode_mask(mask), "counts": counts}) == mask


@given(st.lists(st.integers(-2, 2**33), max_size=6), st.integers(0, 2**32), st.booleans())
def test_a_mask_string_is_told_without_decoding_it(counts: list[int], n_pixels: int, exact: bool) -> None:
    text = rle_to_string(counts)
    n_pixels = sum(counts) if exact else n_pixels
    fits = sum(counts) == n_pixels and min(counts, default=0) >= 0 and 0 < n_pixels < 2**32
    assert is_mask_string(text, n_pixels) == fits


@given(bitmaps())
def test_a_mask_is_one_whether_it_is_decoded_or_not(made: list[np.ndarray]) -> None:
    """Pickled, too: shards are handed to other processes."""
    decoded = bitmap_to_mask(made[0])
    encoded = decode_mask(encode_mask(decoded))
    assert isinstance(encoded.runs, str)
    for one in (encoded, pickle.loads(pickle.dumps(encoded))):
        assert one == decoded
        assert (hash(one), repr(one)) == (hash(decoded), repr(decoded))
        assert (one.counts, one.area, mask_area(one)) == (decoded.counts, decoded.area, mask_area(decoded))
        assert np.array_equal(mask_to_bitmap(one), made[0])
    assert encoded != bitmap_to_mask(~made[0])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30).filter(any), st.integers(1, 5))
def test_runs_without_pixels_change_nothing(counts: list[int], width: int) -> None:
    counts = [*counts, -sum(counts) % width]  # the size is a multiple of the width
    mask = Mask(Size(width, sum(counts) // width), tuple(counts))
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    bitmap = flat.reshape((mask.size.height, width), order="F")
    tidy = bitmap_to_mask(bitmap)
    assert np.array_equal(mask_to_bitmap(mask), bitmap)
    assert mask_to_box(mask) == mask_to_box(tidy)
    assert unite_masks([mask, mask]) == tidy
    assert mask_iou(mask, tidy) == float(bitmap.any())


@given(bitmaps())
def test_the_tight_box_holds_every_pixel_and_no_empty_border(made: list[np.ndarray]) -> None:
    (bitmap,) = made
    box = mask_to_box(bitmap_to_mask(bitmap))
    if box is None:
        assert not bitmap.any()
        return
    rows, columns = np.nonzero(bitmap)
    assert box == Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


@given(bitmaps(n=2))
def test_iou_is_cocos(made: list[np.ndarray]) -> None:
    a, b = (bitmap_to_mask(bitmap) for bitmap in made)
    union = np.count_nonzero(made[0] | made[1])
    expected = coco.iou([coco_encode(made[0])], [coco_encode(made[1])], [0])[0][0] if union else 0.0
    assert mask_iou(a, b) == pytest.approx(expected, abs=1e-12)
    assert mask_iou(a, b) == mask_iou(b, a)


@given(bitmaps(n=3))
def test_a_matrix_of_ious_is_that_of_the_pairs(made: list[np.ndarray]) -> None:
    masks = [bitmap_to_mask(bitmap) for bitmap in made]
    expected = [[mask_iou(a, b) for b in masks] for a in masks[:2]]
    assert mask_iou_matrix(masks[:2], masks).tolist() == expected
    assert mask_iou_matrix([], masks).shape == (0, 3)
    assert mask_iou_matrix([empty_mask(Size(3, 30))], masks).tolist() == [[0.0] * 3]


def test_zero_runs_in_the_middle_are_legal() -> None:
    mask = Mask(Size(2, 3), (1, 0, 1, 2, 0, 1, 1))
    assert mask_to_box(mask) == Box(0, 0, 2, 3)
    assert mask_iou(mask, bitmap_to_mask(mask_to_bitmap(mask))) == 1.0
    assert mask_to_box(Mask(Size(2, 3), (3, 0, 3))) is None


def test_an_image_larger_than_a_tile() -> None:
    bitmap = np.zeros((300, 700), dtype=bool)
    bitmap[250:290, 10:690] = True
    mask = bitmap_to_mask(bitmap)
    assert mask_to_box(mask) == Box(10, 250, 690, 290)
    assert encode_mask(mask)["counts"] == coco_encode(bitmap)["counts"].decode()


def test_empty_masks() -> None:
    empty = empty_mask(Size(5, 4))
    assert mask_to_box(empty) is None
    assert mask_iou(empty, empty) == 0.0
    assert not mask_to_bitmap(empty).any()


def test_masks_of_different_sizes_have_no_iou() -> None:
    with pytest.raises(ValueError, match="one size"):
        mask_iou(empty_mask(Size(5, 4)), empty_mask(Size(4, 5)))


@pytest.mark.parametrize("text", ["\x1f", "P", "0`é", "P" * 40 + "0", "~"])
def test_a_string_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="compressed COCO mask"):
        string_to_counts(text)


@given(shape=st.tuples(st.integers(1, 9), st.integers(1, 9)), seed=st.integers(0, 99), n=st.integers(1, 4))
def test_a_map_of_numbers_gives_the_masks_of_its_bitmaps(shape: tuple[int, int], seed: int, n: int) -> None:
    segments = np.random.default_rng(seed).integers(0, n, shape)
    numbers = [*range(n), 77]  # one that no pixel holds
    assert segments_to_masks(segments, numbers) == tuple(bitmap_to_mask(segments == i) for i in numbers)
