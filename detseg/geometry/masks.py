"""Masks: bitmaps, boxes, overlaps and unions of COCO run lengths, and their compressed form.

Bitmaps are bool arrays of shape (H, W). Run lengths are column-major and start with background, as in
COCO's ``maskApi``; the compressed string is its 6-bit form (LEB128-like, difference to the run two before).
hotcoco (Rust, MIT) does what it does faster than numpy; it takes masks of fewer than 2**32 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import hotcoco
import numpy as np
import numpy.typing as npt

from detseg import run_lengths
from detseg.errors import FormatError
from detseg.types import Box, Mask, Size

Bitmap = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_TILE = 256
_MOST_AREA = 2**32
"""hotcoco counts pixels in 32 bits."""


def bitmap_to_mask(bitmap: Bitmap) -> Mask:
    """Convert a bitmap, bool of shape (H, W) with both at least 1, to run lengths."""
    height, width = bitmap.shape
    flat = _column_major(np.asarray(bitmap, dtype=bool))  # (W*H,)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], changes, [flat.size]))
    counts = np.diff(edges).tolist()
    return Mask(Size(width, height), tuple([0, *counts] if flat[0] else counts))


def mask_to_bitmap(mask: Mask) -> Bitmap:
    """Convert run lengths to a bitmap, bool of shape (H, W)."""
    return hotcoco.mask.decode(_rle(mask)).view(np.bool_)


def empty_mask(size: Size) -> Mask:
    """A mask of that size without foreground."""
    return Mask(size, (size.area,))


def mask_to_box(mask: Mask) -> Box | None:
    """The tight half-open box of the foreground; None for an empty mask."""
    x, y, width, height = hotcoco.mask.to_bbox(_rle(mask)).tolist()
    return Box(x, y, x + width, y + height) if width else None


def mask_iou(a: Mask, b: Mask) -> float:
    """Intersection over union in [0, 1]; 0 when both are empty."""
    _check_sizes((a, b))
    return float(mask_iou_matrix([a], [b])[0, 0])


def mask_iou_matrix(a: Sequence[Mask], b: Sequence[Mask]) -> Floats:
    """Intersection over union of every mask of ``a`` with every mask of ``b``: (N, M), in [0, 1].

    0 where both are empty, and for masks of different sizes.
    """
    if not a or not b:
        return np.zeros((len(a), len(b)))
    iou = hotcoco.mask.iou([_rle(mask) for mask in a], [_rle(mask) for mask in b], [False] * len(b))
    return np.maximum(iou, 0.0)  # hotcoco says -1 for masks of different sizes


def unite_masks(masks: Sequence[Mask]) -> Mask:
    """The pixels that any of the masks has. At least one mask, all of one size."""
    _check_sizes(masks)
    united = hotcoco.mask.merge([_rle(mask) for mask in masks])
    return Mask(masks[0].size, united["counts"].decode())


def string_to_counts(text: str) -> tuple[int, ...]:
    """The run lengths of COCO's compressed form, as ``run_lengths.string_to_counts``; raises FormatError."""
    try:
        return run_lengths.string_to_counts(text)
    except ValueError as error:
        raise FormatError(str(error)) from error


def string_to_mask(text: str, size: Size) -> Mask:
    """The mask of that size by its compressed run lengths, which are decoded when somebody asks for them.

    Raises FormatError for text that is none, ValueError for runs of another size.
    """
    return Mask(size, text if is_mask_string(text, size.area) else string_to_counts(text))


@lru_cache(maxsize=1)  # who checks an entry asks, and then who decodes it
def is_mask_string(text: str, n_pixels: int) -> bool:
    """Tell whether a text is the compressed run lengths of so many pixels, fewer than 2**32.

    Ten times faster than decoding it: hotcoco refuses negative runs, and those that are longer than a mask's
    size in sum. So runs are as long as those pixels if they fit, and do not with one pixel less.
    """
    if not (0 < n_pixels < _MOST_AREA and run_lengths.COMPRESSED.fullmatch(text)):
        return False
    return _fits(text, n_pixels) and not _fits(text, n_pixels - 1)


def _fits(text: str, n_pixels: int) -> bool:
    try:
        hotcoco.mask.area({"size": [n_pixels, 1], "counts": text})
    except ValueError:
        return False
    return True


def encode_mask(mask: Mask) -> dict[str, Any]:
    """Encode a mask as COCO's JSON has it: ``{"size": [height, width], "counts": compressed string}``."""
    rle = _rle(mask)
    return {**rle, "counts": hotcoco.mask.rle_to_string(rle)}


def decode_mask(entry: Mapping[str, Any]) -> Mask:
    """Decode COCO's JSON of a mask: ``encode_mask``'s, or one whose counts are a list of run lengths.

    Raises FormatError for text that is not compressed run lengths, ValueError for counts of another size.
    """
    height, width = entry["size"]
    size, counts = Size(width, height), entry["counts"]
    return string_to_mask(counts, size) if isinstance(counts, str) else Mask(size, tuple(counts))


def mask_area(mask: Mask) -> int:
    """Number of foreground pixels, as ``Mask.area``, without decoding the mask."""
    return int(hotcoco.mask.area(_rle(mask)))


def _column_major(bitmap: Bitmap) -> Bitmap:
    """The pixels column by column, shape (W*H,). Tile by tile, which is 7 times faster on 12 megapixels."""
    height, width = bitmap.shape
    out = np.empty((width, height), dtype=bool)
    for x in range(0, width, _TILE):
        for y in range(0, height, _TILE):
            out[x : x + _TILE, y : y + _TILE] = bitmap[y : y + _TILE, x : x + _TILE].T
    return out.reshape(-1)


def _rle(mask: Mask) -> dict[str, Any]:
    return {"size": [mask.size.height, mask.size.width], "counts": mask.runs}


def _check_sizes(masks: Sequence[Mask]) -> None:
    if any(mask.size != masks[0].size for mask in masks):
        raise ValueError(f"masks of one image have one size, not {sorted({str(m.size) for m in masks})}")
