"""Large images in overlapping tiles, so that small objects keep their pixels in a model's input."""

from __future__ import annotations

from collections.abc import Sequence

from detseg.errors import ModelError
from detseg.geometry.tiling import Tile, merge_tiles, tiles_of
from detseg.models.predictor import AblePredictor, check_answer
from detseg.models.wrappers.wrapping import WrappingPredictor, ask, derived_image
from detseg.paging import pages
from detseg.types import DecodedImage, Instance

_TILES_AT_ONCE = 64
"""So many tiles are cut out at once: what bounds the memory, for an image may have thousands."""


class TiledPredictor(WrappingPredictor):
    """A ``Predictor``: another one that sees tiles of ``tile_px`` pixels, ``overlap_px`` over one another.

    What the seams cut is joined (``merge_tiles``). An overlap somewhat larger than most objects shows each of
    them whole in one tile. An image that is not larger than a tile goes straight through.
    """

    def __init__(self, inner: AblePredictor, *, tile_px: int, overlap_px: int) -> None:
        if tile_px < 1 or not 0 <= overlap_px < tile_px:
            raise ModelError(
                f"tiles of {tile_px} px that overlap by {overlap_px} px: set a tile of at least 1 px, "
                "and an overlap from 0 up to less than the tile"
            )
        self._tile_px, self._overlap_px = tile_px, overlap_px
        options = {"tile_px": tile_px, "overlap_px": overlap_px}
        super().__init__((inner,), kind="tiled", options=options)

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        """See ``Predictor.predict``. Small images run together, the tiles of a large one by themselves."""
        small = [image for image in batch if self._is_small(image)]
        straight = iter(ask(self._members[0], small))
        answers = [next(straight) if self._is_small(image) else self._in_tiles(image) for image in batch]
        return check_answer(self, batch, answers)

    def _is_small(self, image: DecodedImage) -> bool:
        return max(image.size.width, image.size.height) <= self._tile_px

    def _in_tiles(self, image: DecodedImage) -> tuple[Instance, ...]:
        tiles = tiles_of(image.size, tile_px=self._tile_px, overlap_px=self._overlap_px)
        answers = [
            answer
            for some in pages(tiles, _TILES_AT_ONCE)
            for answer in ask(self._members[0], [_cut(image, tile) for tile in some])
        ]
        return merge_tiles(tiles, answers, image.size)


def _cut(image: DecodedImage, tile: Tile) -> DecodedImage:
    """The tile's pixels as an image, named by a media fragment (W3C, "Media Fragments URI 1.0")."""
    rgb = image.rgb[tile.y0 : tile.y1, tile.x0 : tile.x1]
    return derived_image(image, rgb, f"xywh={tile.x0},{tile.y0},{tile.size.width},{tile.size.height}")
