from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.errors import ModelError
from detseg.models.predictor import Predictor, predict_each
from detseg.models.wrappers.tiled import TiledPredictor
from detseg.types import Size
from tests.models.colours import ColourPredictor, painted


@given(
    st.sampled_from(["box", "mask", "both"]),
    st.integers(10, 40),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)
def test_tiles_find_what_the_whole_image_shows(form: str, tile: int, overlap: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    patches = [("belt", 0, 0, 50, 3)] if seed % 2 else []
    for x, y in ((0, 4), (26, 4), (0, 24), (26, 24)):
        x0, x1 = sorted(rng.choice(24, 2, replace=False).tolist())
        y0, y1 = sorted(rng.choice(18, 2, replace=False).tolist())
        patches.append((str(rng.choice(["nut", "bolt"])), x + x0, y + y0, x + x1, y + y1))
    image, inner = painted(52, 44, patches), ColourPredictor(form)
    tiled: Predictor = TiledPredictor(inner, tile_px=tile, overlap_px=overlap)
    assert predict_each(tiled, [image]) == predict_each(inner, [image])


def test_thousands_of_tiles_are_never_in_memory_together() -> None:
    inner = ColourPredictor()
    image = painted(200, 160, [("nut", 30, 20, 90, 70), ("bolt", 150, 100, 190, 150)])
    tiled = TiledPredictor(inner, tile_px=20, overlap_px=10)
    (answer,) = tiled.predict([image])
    assert sum(map(len, inner.seen)) == 19 * 15
    assert max(map(len, inner.seen)) <= 64
    assert [one.box for one in answer] == [one.box for one in ColourPredictor().predict([image])[0]]


def test_small_images_go_straight_through_and_large_ones_in_equal_tiles() -> None:
    inner = ColourPredictor()
    tiled = TiledPredictor(inner, tile_px=20, overlap_px=4)
    small, large = painted(20, 9, [("nut", 2, 2, 6, 6)]), painted(36, 30, [("nut", 10, 10, 25, 25)])
    answers = tiled.predict([small, large, small])
    assert inner.seen == [[Size(20, 9)] * 2, [Size(20, 20)] * 4]
    assert answers == ColourPredictor().predict([small, large, small])
    assert answers[:2] == (*tiled.predict([small]), *tiled.predict([large]))
    assert tiled.predict([]) == ()


def test_each_tile_is_an_image_of_its_own() -> None:
    class Naming(ColourPredictor):
        def predict(self, batch):  # type: ignore[no-untyped-def]
            names.extend((image.ref.uri, image.ref.id, image.rgb.flags.c_contiguous) for image in batch)
            return super().predict(batch)

    names: list[tuple[str, str, bool]] = []
    TiledPredictor(Naming(), tile_px=20, overlap_px=4).predict([painted(36, 10, [])])
    assert [uri for uri, _, _ in names] == ["painted.png#xywh=0,0,20,10", "painted.png#xywh=16,0,20,10"]
    assert len({id_ for _, id_, _ in names}) == 2
    assert all(contiguous for _, _, contiguous in names)


def test_the_version_holds_the_tiles() -> None:
    versions = {
        TiledPredictor(ColourPredictor(), tile_px=tile, overlap_px=overlap).version
        for tile, overlap in ((20, 4), (20, 5), (24, 4), (20, 4))
    }
    assert len(versions) == 3
    assert all(version.startswith("colours@") for version in versions)


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0), (10, 10), (10, -1)])
def test_tiles_that_make_no_sense_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ModelError, match=f"tiles of {tile} px that overlap by {overlap} px: set a tile"):
        TiledPredictor(ColourPredictor(), tile_px=tile, overlap_px=overlap)
