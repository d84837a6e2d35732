"""A large image in overlapping tiles, and what was found in them back in one piece."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from detseg.geometry.boxes import box_iou_matrix, boxes_to_array
from detseg.geometry.extent import NOWHERE, extent
from detseg.geometry.masks import mask_iou, unite_masks
from detseg.geometry.matching import match_one_to_one
from detseg.geometry.runs import cut_mask, paste_mask
from detseg.types import Box, Instance, Mask, Size

_EDGE_PX = 4.0
"""A model's box may end that far before the edge that cuts its thing."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The pixels from (x0, y0) on, in pixels of the image."""

    x0: int
    y0: int
    size: Size

    @property
    def x1(self) -> int:
        return self.x0 + self.size.width

    @property
    def y1(self) -> int:
        return self.y0 + self.size.height


def tiles_of(size: Size, *, tile_px: int, overlap_px: int) -> tuple[Tile, ...]:
    """Square tiles that cover the image, row by row, each at least ``overlap_px`` over the one before.

    All have one size: the last of a row or column is moved inward, and a tile is never larger than the
    image. ValueError unless 0 <= overlap_px < tile_px.
    """
    if not 0 <= overlap_px < tile_px:
        raise ValueError(f"tiles of {tile_px} px cannot overlap by {overlap_px} px: 0 up to {tile_px - 1}")
    tile = Size(min(tile_px, size.width), min(tile_px, size.height))
    step = tile_px - overlap_px
    return tuple(
        Tile(x0, y0, tile)
        for y0 in _starts(size.height, tile.height, step)
        for x0 in _starts(size.width, tile.width, step)
    )


def merge_tiles(
    tiles: Sequence[Tile], answers: Sequence[Sequence[Instance]], size: Size, *, min_iou: float = 0.3
) -> tuple[Instance, ...]:
    """The instances of the image of that size, from those of each tile in the tile's coordinates.

    A thing that its tile's edge cuts, but that lies free in another tile, is left to that tile, whatever
    either calls it. Of the others, two are parts of one thing if they have one label and, in the pixels that
    both tiles show, an IoU of at least ``min_iou``: of the masks where both have one, else of the boxes (so
    the boxes of a long thin thing across a seam may stay two). Masks may join many to one (a fork in one tile
    is its prongs in the next); boxes, which may lie in one another, one to one.

    A joined thing has the box around all parts (if any has a box), all pixels, the best score, and was seen
    by whom its parts were. Stuff of one label is one. Tiles that do not overlap join no things. In no
    particular order.
    """
    if len(tiles) == 1:
        return tuple(answers[0])
    found = [
        [one for one in (_paste(part, tile, size) for part in answer) if not _is_left(one, tile, tiles, size)]
        for tile, answer in zip(tiles, answers, strict=True)
    ]
    flat = list(itertools.chain.from_iterable(found))
    before = np.cumsum([0, *(len(answer) for answer in found)])
    joins: list[tuple[int, int]] = []
    for a, b in itertools.combinations(range(len(tiles)), 2):
        window = _shared(tiles[a], tiles[b])
        if window is not None:
            pairs = _joins(_parts(found[a], window), _parts(found[b], window), min_iou)
            joins += [(int(before[a]) + i, int(before[b]) + j) for i, j in pairs]
    first: dict[str, int] = {}
    joins += [(first.setdefault(one.label, i), i) for i, one in enumerate(flat) if one.kind == "stuff"]
    return tuple(_merge([flat[i] for i in group]) for group in _groups(joins, len(flat)))


def _is_left(one: Instance, tile: Tile, tiles: Sequence[Tile], size: Size) -> bool:
    """Tell whether a thing of a tile is left to another one that does not cut it."""
    box = extent(one)
    return (
        one.kind == "thing"
        and not _lies_free(box, tile, size)
        and any(_lies_free(box, other, size) for other in tiles)
    )


def _lies_free(box: Box, tile: Tile, size: Size) -> bool:
    """Tell whether a box lies in a tile and away from those of its edges that are not the image's."""
    return (
        (box.x0 >= tile.x0 + _EDGE_PX or tile.x0 == 0)
        and (box.y0 >= tile.y0 + _EDGE_PX or tile.y0 == 0)
        and (box.x1 <= tile.x1 - _EDGE_PX or tile.x1 == size.width)
        and (box.y1 <= tile.y1 - _EDGE_PX or tile.y1 == size.height)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The part in a window of the thing at that position; the mask in the window's coordinates."""

    position: int
    label: str
    box: Box
    mask: Mask | None


def _parts(things: Sequence[Instance], window: Tile) -> list[_Part]:
    parts = []
    for i, one in enumerate(things):
        box = extent(one)
        x0, x1 = max(box.x0, window.x0), min(box.x1, window.x1)
        y0, y1 = max(box.y0, window.y0), min(box.y1, window.y1)
        if one.kind == "thing" and x0 < x1 and y0 < y1:
            parts.append(_Part(i, one.label, Box(x0, y0, x1, y1), _cut(one.mask, window)))
    return parts


def _cut(mask: Mask | None, window: Tile) -> Mask | None:
    return mask and cut_mask(mask, x0=window.x0, y0=window.y0, x1=window.x1, y1=window.y1)


def _joins(first: Sequence[_Part], second: Sequence[_Part], min_iou: float) -> list[tuple[int, int]]:
    """The positions of the parts that are one thing."""
    iou = box_iou_matrix(boxes_to_array([a.box for a in first]), boxes_to_array([b.box for b in second]))
    joins = []
    for i, j in np.argwhere(iou > 0.0):
        a, b = first[i], second[j]
        if a.label != b.label:
            iou[i, j] = 0.0
        elif a.mask is not None and b.mask is not None:
            iou[i, j] = 0.0
            if mask_iou(a.mask, b.mask) >= min_iou:
                joins.append((a.position, b.position))
    pairs = match_one_to_one(iou, min_iou=min_iou)
    return joins + [(first[i].position, second[j].position) for i, j in pairs]


def _groups(joins: Iterable[tuple[int, int]], n: int) -> Iterator[list[int]]:
    """The positions 0 to n-1 in groups: what is joined, also by way of others, is together."""
    pairs = np.array(list(joins), dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    n_groups, group_of = connected_components(graph, directed=False) if n else (0, np.zeros(0))
    for group in range(n_groups):
        yield np.flatnonzero(group_of == group).tolist()


def _merge(parts: Sequence[Instance]) -> Instance:
    """One instance of all parts; itself if there is one."""
    if len(parts) == 1:
        return parts[0]
    best = max(parts, key=lambda one: one.score or 0.0)
    masks = [one.mask for one in parts if one.mask is not None]
    seen = {one.seen_by for one in parts}
    return replace(
        best,
        box=_hull([extent(one) for one in parts]) if any(one.box for one in parts) else None,
        mask=unite_masks(masks) if masks else None,
        seen_by=best.seen_by if len(seen) == 1 else "both",
    )


def _paste(instance: Instance, tile: Tile, size: Size) -> Instance:
    """An instance of a tile in the coordinates of the image."""
    box, mask = instance.box, instance.mask
    if box is not None:
        box = Box(box.x0 + tile.x0, box.y0 + tile.y0, box.x1 + tile.x0, box.y1 + tile.y0)
    if mask is not None:
        mask = paste_mask(mask, size, x0=tile.x0, y0=tile.y0)
    return replace(instance, box=box, mask=mask)


def _hull(boxes: Sequence[Box]) -> Box:
    corners = boxes_to_array([box for box in boxes if box != NOWHERE])
    return Box(*corners[:, :2].min(axis=0).tolist(), *corners[:, 2:].max(axis=0).tolist())


def _shared(first: Tile, second: Tile) -> Tile | None:
    """The pixels that both show; None if there are none."""
    x0, y0 = max(first.x0, second.x0), max(first.y0, second.y0)
    x1, y1 = min(first.x1, second.x1), min(first.y1, second.y1)
    return Tile(x0, y0, Size(x1 - x0, y1 - y0)) if x0 < x1 and y0 < y1 else None


def _starts(length: int, tile: int, step: int) -> list[int]:
    """Return where tiles begin along one side, so that the last one ends with it."""
    n = math.ceil((length - tile) / step) + 1
    return [min(i * step, length - tile) for i in range(n)]
