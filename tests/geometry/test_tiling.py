from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.geometry.boxes import clip_box
from detseg.geometry.masks import Bitmap, bitmap_to_mask, mask_to_bitmap, mask_to_box
from detseg.geometry.tiling import Tile, merge_tiles, tiles_of
from detseg.types import Box, Instance, Kind, Mask, SeenBy, Size

Forms = st.sampled_from(["box", "mask", "both"])
SEEN_BY: dict[str, SeenBy] = {"box": "detector", "mask": "segmenter", "both": "both"}


def rectangle(size: Size, *xyxy_px: int) -> Mask:
    bitmap = np.zeros((size.height, size.width), dtype=bool)
    x0, y0, x1, y1 = xyxy_px
    bitmap[y0:y1, x0:x1] = True
    return bitmap_to_mask(bitmap)


def thing(mask: Mask, form: str = "both", *, label: str = "nut", score: float = 0.5) -> Instance:
    box = mask_to_box(mask) if form != "mask" else None
    kept = mask if form != "box" else None
    return Instance(label, "thing", box=box, mask=kept, score=score, seen_by=SEEN_BY[form])


def seen_in(instance: Instance, tile: Tile) -> Instance | None:
    """What a perfect model would answer for the tile; None if nothing of the instance is there."""
    box = mask = None
    if instance.mask is not None:
        bitmap = mask_to_bitmap(instance.mask)[tile.y0 : tile.y1, tile.x0 : tile.x1]
        mask = bitmap_to_mask(bitmap)
        if not bitmap.any():
            return None
    if instance.box is not None:
        x0, y0, x1, y1 = instance.box.xyxy
        shifted = Box(x0 - tile.x0, y0 - tile.y0, x1 - tile.x0, y1 - tile.y0)
        box = mask_to_box(mask) if mask is not None else clip_box(shifted, tile.size)
        if box is None:
            return None
    return replace(instance, box=box, mask=mask)


def through_tiles(scene: Sequence[Instance], size: Size, tile: int, overlap: int) -> set[Instance]:
    tiles = tiles_of(size, tile_px=tile, overlap_px=overlap)
    answers = [[part for one in scene if (part := seen_in(one, tile)) is not None] for tile in tiles]
    merged = merge_tiles(tiles, answers, size)
    assert len(set(merged)) == len(merged)
    return set(merged)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 30), st.data())
def test_tiles_cover_the_image(width: int, height: int, tile: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    tiles = tiles_of(Size(width, height), tile_px=tile, overlap_px=overlap)
    times = np.zeros((height, width), dtype=int)
    for one in tiles:
        assert one.size == Size(min(tile, width), min(tile, height))
        assert 0 <= one.x0 < one.x1 <= width
        assert 0 <= one.y0 < one.y1 <= height
        times[one.y0 : one.y1, one.x0 : one.x1] += 1
    assert times.min() >= 1
    columns = sorted({one.x0 for one in tiles})
    assert all(b - a <= tile - overlap for a, b in itertools.pairwise(columns))
    assert len(columns) == max(1, math.ceil((width - overlap) / (tile - overlap)))  # no tile too many
    assert len(set(tiles)) == len(tiles)


def test_an_image_not_larger_than_a_tile_is_one_tile() -> None:
    assert tiles_of(Size(30, 20), tile_px=30, overlap_px=5) == (Tile(0, 0, Size(30, 20)),)
    bolts = (thing(rectangle(Size(30, 20), 2, 2, 5, 5)),) * 2
    assert merge_tiles([Tile(0, 0, Size(30, 20))], [bolts], Size(30, 20)) == bolts


@pytest.mark.parametrize("overlap", [-1, 10])
def test_an_overlap_that_leaves_no_step_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match=f"cannot overlap by {overlap} px: 0 up to 9"):
        tiles_of(Size(30, 20), tile_px=10, overlap_px=overlap)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Size, list[Instance]]:
    """Rectangles of two labels in the cells of a grid, at least 2 px apart; boxes, masks or both."""
    size = Size(draw(st.integers(20, 70)), draw(st.integers(20, 70)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cell_w, cell_h, form = draw(st.integers(8, 60)), draw(st.integers(8, 60)), draw(Forms)
    scene = []
    for left in range(0, size.width - 4, cell_w):
        for top in range(0, size.height - 4, cell_h):
            right, bottom = min(left + cell_w, size.width) - 2, min(top + cell_h, size.height) - 2
            x0, x1 = sorted(rng.choice(np.arange(left, right + 1), 2, replace=False).tolist())
            y0, y1 = sorted(rng.choice(np.arange(top, bottom + 1), 2, replace=False).tolist())
            label, score = str(rng.choice(["nut", "bolt"])), round(rng.random(), 3)
            scene.append(thing(rectangle(size, x0, y0, x1, y1), form, label=label, score=score))
    return size, scene


@given(scenes(), st.integers(8, 40), st.data())
def test_what_is_cut_comes_back_whole_and_once(
    scene: tuple[Size, list[Instance]], tile: int, data: st.DataObject
) -> None:
    size, instances = scene
    overlap = data.draw(st.integers(1, tile * 2 // 3))
    assert through_tiles(instances, size, tile, overlap) == set(instances)


SIZE = Size(36, 20)  # with tiles of 20 px that overlap by 4: columns 0-20 and 16-36
BitmapOf = Callable[[np.ndarray, np.ndarray], Bitmap]


def drawn(inside: BitmapOf) -> Mask:
    y, x = np.mgrid[: SIZE.height, : SIZE.width]
    return bitmap_to_mask(inside(x, y))


def test_long_diagonal_masks_come_back_whole() -> None:
    rising = thing(drawn(lambda x, y: np.abs(y - x / 2) < 1.5))
    falling = thing(drawn(lambda x, y: np.abs(y - 19 + x / 2) < 1.5), "mask", label="bolt")
    assert through_tiles([rising, falling], SIZE, 20, 4) == {rising, falling}


def test_a_fork_whose_prongs_were_seen_apart_is_one() -> None:
    fork = thing(drawn(lambda x, y: (x < 10) & (y > 2) & (y < 12) | (x < 30) & np.isin(y, (3, 4, 10, 11))))
    left, right = tiles_of(SIZE, tile_px=20, overlap_px=4)
    prongs = [
        thing(drawn(lambda x, y, rows=rows: (x < 30) & np.isin(y, rows))) for rows in ((3, 4), (10, 11))
    ]
    answers = [[seen_in(fork, left)], [seen_in(prong, right) for prong in prongs]]
    assert merge_tiles((left, right), answers, SIZE) == (fork,)


def test_a_small_box_in_front_of_a_large_one_stays_a_thing_of_its_own() -> None:
    large, small = (thing(rectangle(SIZE, *c), "box") for c in ((2, 2, 34, 18), (12, 6, 22, 12)))
    assert through_tiles([large, small], SIZE, 20, 4) == {large, small}


def test_labels_do_not_mix_and_neighbours_stay_apart() -> None:
    upper, lower = rectangle(SIZE, 4, 4, 30, 9), rectangle(SIZE, 4, 9, 30, 14)
    scene = [thing(upper), thing(lower), thing(upper, label="bolt")]
    assert through_tiles(scene, SIZE, 20, 4) == set(scene)


def test_a_joined_thing_has_the_best_score_and_who_saw_it() -> None:
    whole = rectangle(SIZE, 4, 4, 30, 9)
    left, right = tiles_of(SIZE, tile_px=20, overlap_px=4)
    first = seen_in(thing(whole, "box", score=0.6), left)
    second = seen_in(thing(whole, "mask", score=0.8), right)
    (joined,) = merge_tiles((left, right), [[first], [second]], SIZE)
    assert joined == Instance(
        "nut", "thing", Box(4, 4, 30, 9), rectangle(SIZE, 16, 4, 30, 9), score=0.8, seen_by="both"
    )


def test_parts_that_share_too_little_stay_two() -> None:
    left, right = tiles_of(SIZE, tile_px=20, overlap_px=4)
    first = thing(rectangle(left.size, 4, 4, 20, 10), "box")
    second = thing(rectangle(right.size, 0, 8, 14, 14), "box")
    assert len(merge_tiles((left, right), [[first], [second]], SIZE)) == 2  # 2 of 6 rows
    assert len(merge_tiles((left, right), [[first], [second]], SIZE, min_iou=0.2)) == 1


def test_what_the_edge_cuts_is_left_to_a_tile_that_shows_it_whole() -> None:
    size, (left, right) = Size(52, 20), (Tile(0, 0, Size(32, 20)), Tile(20, 0, Size(32, 20)))
    whole = thing(rectangle(size, 26, 4, 40, 12), "box")
    cut = thing(rectangle(left.size, 25, 4, 31, 12), "box", label="bolt", score=0.9)  # a wrong guess at it
    answers = [[cut], [seen_in(whole, right)]]
    assert merge_tiles((left, right), answers, size) == (whole,)
    assert merge_tiles((left, right), [[cut], []], size) == ()
    at_both_edges = thing(rectangle(left.size, 22, 4, 31, 12), "box")  # nobody shows it better
    assert merge_tiles((left, right), [[at_both_edges], []], size) == (at_both_edges,)


def test_stuff_of_one_label_is_one_even_where_it_does_not_touch() -> None:
    def stuff(label: str, mask: Mask, score: float) -> Instance:
        kind: Kind = "stuff"
        return Instance(label, kind, mask=mask, score=score, seen_by="segmenter")

    left, right = tiles_of(SIZE, tile_px=20, overlap_px=0)
    merged = merge_tiles(
        (left, right),
        [
            [stuff("belt", rectangle(left.size, 0, 0, 20, 5), 0.7)],
            [
                stuff("belt", rectangle(right.size, 10, 9, 15, 12), 0.9),
                stuff("tray", rectangle(right.size, 0, 0, 1, 1), 0.4),
            ],
        ],
        SIZE,
    )
    belt = np.zeros((20, 36), dtype=bool)
    belt[:5, :20] = belt[9:12, 26:31] = True
    assert merged == (
        stuff("belt", bitmap_to_mask(belt), 0.9),
        stuff("tray", rectangle(SIZE, 16, 0, 17, 1), 0.4),
    )


def test_nothing_found_is_nothing() -> None:
    tiles = tiles_of(SIZE, tile_px=10, overlap_px=2)
    assert merge_tiles(tiles, [()] * len(tiles), SIZE) == ()
