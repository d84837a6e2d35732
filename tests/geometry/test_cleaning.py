from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.errors import ConfigError
from detseg.geometry.cleaning import CleaningOptions, clean_mask
from detseg.geometry.masks import Bitmap, bitmap_to_mask, empty_mask, mask_to_bitmap
from detseg.types import Size


@st.composite
def bitmaps(draw: st.DrawFn) -> Bitmap:
    """Blobs with holes, specks and frayed edges somewhere in an image, at its edges too."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    block = draw(st.sampled_from([1, 3, 6]))
    small = rng.random((height // block + 1, width // block + 1)) < draw(st.sampled_from([0.2, 0.6, 1]))
    bitmap = np.kron(small, np.ones((block, block), dtype=bool))[:height, :width]
    bitmap ^= rng.random((height, width)) < draw(st.sampled_from([0, 0.03, 0.2]))
    if draw(st.booleans()):  # a margin, so that the crop is smaller than the image
        bitmap[: height // 3] = bitmap[:, width * 2 // 3 :] = False
    return bitmap


def clean(bitmap: Bitmap, **options: int) -> Bitmap:
    return mask_to_bitmap(clean_mask(bitmap_to_mask(bitmap), CleaningOptions(**options)))


def cv2_morphology(bitmap: Bitmap, operation: int, radius: int) -> Bitmap:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (x**2 + y**2 <= radius**2).astype(np.uint8)
    return cv2.morphologyEx(bitmap.astype(np.uint8), operation, disc) > 0


def cv2_pieces(bitmap: Bitmap, connectivity: int) -> list[tuple[Bitmap, bool]]:
    """Every piece and whether it touches the image's edge."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(bitmap.astype(np.uint8), connectivity=connectivity)
    height, width = bitmap.shape
    return [
        (pieces == i, bool(x == 0 or y == 0 or x + w == width or y + h == height))
        for i, (x, y, w, h, _) in enumerate(stats)
        if i > 0
    ]


@given(bitmaps(), st.integers(1, 5))
def test_opening_and_closing_are_cv2s(bitmap: Bitmap, radius: int) -> None:
    assert np.array_equal(clean(bitmap, opening_px=radius), cv2_morphology(bitmap, cv2.MORPH_OPEN, radius))
    assert np.array_equal(clean(bitmap, closing_px=radius), cv2_morphology(bitmap, cv2.MORPH_CLOSE, radius))
    both = cv2_morphology(cv2_morphology(bitmap, cv2.MORPH_OPEN, 1), cv2.MORPH_CLOSE, radius)
    assert np.array_equal(clean(bitmap, opening_px=1, closing_px=radius), both)


@given(bitmaps(), st.integers(1, 40))
def test_specks_and_holes_are_cv2s_components(bitmap: Bitmap, n: int) -> None:
    large = [piece for piece, _ in cv2_pieces(bitmap, 8) if piece.sum() >= n]
    assert np.array_equal(clean(bitmap, min_speck_px=n), np.any([np.zeros_like(bitmap), *large], axis=0))
    holes = [piece for piece, at_edge in cv2_pieces(~bitmap, 4) if piece.sum() < n and not at_edge]
    if bitmap.any():
        assert np.array_equal(clean(bitmap, min_hole_px=n), np.any([bitmap, *holes], axis=0))


@given(bitmaps(), st.sampled_from(["opening_px", "closing_px", "min_hole_px", "min_speck_px", "min_area_px"]))
def test_each_step_done_twice_is_done_once_and_goes_one_way(bitmap: Bitmap, step: str) -> None:
    cleaned = clean(bitmap, **{step: 3})
    assert np.array_equal(clean(cleaned, **{step: 3}), cleaned)
    grows = step in ("closing_px", "min_hole_px")
    less, more = (bitmap, cleaned) if grows else (cleaned, bitmap)
    assert not np.any(less & ~more)


@given(bitmaps(), st.integers(1, 3))
def test_keeping_thin_structures_lies_between_the_opening_and_the_mask(bitmap: Bitmap, radius: int) -> None:
    opened, kept = clean(bitmap, opening_px=radius), clean(bitmap, opening_px=radius, keep_thin=True)
    assert not np.any(opened & ~kept)
    assert not np.any(kept & ~bitmap)


def test_a_wire_stays_when_asked_and_noise_goes_all_the_same() -> None:
    body, wire, noise = (np.zeros((40, 60), dtype=bool) for _ in range(3))
    body[10:30, 5:25] = True
    wire[20, 25:50] = True  # on the body
    for x in range(30, 50):
        wire[x - 25, x] = True  # a diagonal of its own
    noise[35, 50:54] = noise[33, 5] = True
    opened = clean(body | wire | noise, opening_px=2)
    assert np.count_nonzero(opened & (wire | noise)) == 1  # where the disc's tip enters the wire
    kept = clean(body | wire | noise, opening_px=2, keep_thin=True)
    assert np.array_equal(kept, opened | wire)
    assert np.count_nonzero(body & ~kept) == 4 * 3  # the roundings of the corners are not thin structures


def test_the_smallest_area_empties_a_mask() -> None:
    bitmap = np.zeros((10, 10), dtype=bool)
    bitmap[2:5, 2:5] = True
    mask = bitmap_to_mask(bitmap)
    assert clean_mask(mask, CleaningOptions(min_area_px=9)) == mask
    assert clean_mask(mask, CleaningOptions(min_area_px=10)) == empty_mask(Size(10, 10))


def test_nothing_to_do_and_nothing_there() -> None:
    empty = empty_mask(Size(7, 5))
    everything = CleaningOptions(2, 2, 9, 9, 9, keep_thin=True)
    assert clean_mask(empty, everything) is empty
    full = bitmap_to_mask(np.ones((5, 7), dtype=bool))
    assert clean_mask(full, everything) == full
    assert clean_mask(full, CleaningOptions(keep_thin=True)) is full
    pixel = bitmap_to_mask(np.ones((1, 1), dtype=bool))
    assert clean_mask(pixel, CleaningOptions(1, 1, 1, 1, 1)) == pixel


def test_a_gap_in_the_border_of_a_hole_is_no_hole_but_a_corner_is_closed() -> None:
    ring = np.ones((5, 5), dtype=bool)
    ring[2, 2] = False
    assert clean(ring, min_hole_px=2).all()
    ring[0, 0] = ring[1, 1] = False  # a diagonal way out counts only for the foreground
    assert clean(ring, min_hole_px=2)[2, 2]
    ring[1, 2] = ring[0, 2] = False
    assert not clean(ring, min_hole_px=9)[2, 2]


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="opening_px is a number of pixels from 0 on, not -1"):
        CleaningOptions(opening_px=-1)
