from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.geometry.masks import bitmap_to_mask, empty_mask, mask_to_bitmap, unite_masks
from detseg.geometry.runs import (
    cut_bitmap,
    flip_mask,
    paste_bitmap,
    paste_mask,
    resize_mask,
    vote,
)
from detseg.types import Mask, Size

seeds = st.integers(0, 2**32 - 1)
densities = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])


def noise(rng: np.random.Generator, height: int, width: int, density: float) -> np.ndarray:
    return rng.random((height, width)) < density


@st.composite
def placed(draw: st.DrawFn) -> tuple[np.ndarray, Size, int, int]:
    """A bitmap, the size of an image around it, and where it lies there."""
    h, w = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    x0, y0 = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    size = Size(x0 + w + draw(st.integers(0, 4)), y0 + h + draw(st.integers(0, 4)))
    return noise(np.random.default_rng(draw(seeds)), h, w, draw(densities)), size, x0, y0


@given(placed())
def test_pasting_is_pasting_into_the_bitmap(made: tuple[np.ndarray, Size, int, int]) -> None:
    bitmap, size, x0, y0 = made
    whole = np.zeros((size.height, size.width), dtype=bool)
    h, w = bitmap.shape
    whole[y0 : y0 + h, x0 : x0 + w] = bitmap
    expected = bitmap_to_mask(whole)
    assert paste_bitmap(bitmap, size, x0=x0, y0=y0) == expected
    assert paste_mask(bitmap_to_mask(bitmap), size, x0=x0, y0=y0) == expected
    assert np.array_equal(cut_bitmap(expected, x0=x0, y0=y0, x1=x0 + w, y1=y0 + h), bitmap)


@given(st.integers(1, 9), st.integers(1, 9), densities, seeds)
def test_flipping_is_flipping_the_bitmap(height: int, width: int, density: float, seed: int) -> None:
    bitmap = noise(np.random.default_rng(seed), height, width, density)
    assert flip_mask(bitmap_to_mask(bitmap)) == bitmap_to_mask(bitmap[:, ::-1])


@given(placed(), st.integers(1, 30), st.integers(1, 30))
def test_resizing_takes_what_lies_under_the_centres(
    made: tuple[np.ndarray, Size, int, int], width: int, height: int
) -> None:
    bitmap, size, x0, y0 = made
    mask = paste_bitmap(bitmap, size, x0=x0, y0=y0)
    whole = mask_to_bitmap(mask)
    expected = [
        [
            whole[(2 * y + 1) * size.height // (2 * height), (2 * x + 1) * size.width // (2 * width)]
            for x in range(width)
        ]
        for y in range(height)
    ]
    assert resize_mask(mask, Size(width, height)) == bitmap_to_mask(np.array(expected))
    thrice = Size(3 * size.width, 3 * size.height)
    assert resize_mask(resize_mask(mask, thrice), size) == mask


@given(st.integers(1, 5), densities, seeds)
def test_uniting_is_or(n: int, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bitmaps = [noise(rng, 7, 6, density) for _ in range(n)]
    assert unite_masks([bitmap_to_mask(b) for b in bitmaps]) == bitmap_to_mask(np.any(bitmaps, axis=0))


@given(st.integers(2, 5), densities, seeds, st.sampled_from([0.2, 0.5, 0.9]))
def test_a_vote_counts_weights(n: int, density: float, seed: int, min_share: float) -> None:
    rng = np.random.default_rng(seed)
    bitmaps, weights = [noise(rng, 7, 6, density) for _ in range(n)], rng.integers(1, 8, n)
    share = np.tensordot(weights, np.array(bitmaps, dtype=int), axes=1) / weights.sum()
    voted = vote([bitmap_to_mask(b) for b in bitmaps], list(map(float, weights)), min_share=min_share)
    assert voted == bitmap_to_mask(share >= min_share - 1e-9)


def test_of_two_masks_the_heavier_wins_and_equal_ones_unite() -> None:
    left, right = (np.array([[1, 1, 0, 0]], dtype=bool), np.array([[0, 1, 1, 0]], dtype=bool))
    masks = [bitmap_to_mask(left), bitmap_to_mask(right)]
    assert vote(masks, [0.9, 0.6]) == masks[0]
    assert vote(masks, [0.5, 0.5]) == bitmap_to_mask(left | right)
    assert vote(masks, [0.0, 0.0]) == bitmap_to_mask(left | right)


def test_runs_of_length_zero_are_legal() -> None:
    odd = Mask(Size(2, 3), (1, 0, 1, 2, 0, 1, 1))
    assert np.array_equal(cut_bitmap(odd, x0=0, y0=0, x1=2, y1=3), mask_to_bitmap(odd))
    assert unite_masks([odd, empty_mask(odd.size)]) == bitmap_to_mask(mask_to_bitmap(odd))


def test_masks_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size, not"):
        unite_masks([empty_mask(Size(2, 3)), empty_mask(Size(3, 2))])
