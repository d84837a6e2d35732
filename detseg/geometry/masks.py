"""Masks: bitmaps, boxes, overlaps and unions of COCO run lengths, and their compressed form.

Bitmaps are bool arrays of shape (H, W). Run lengths are column-major and start with background, as in
COCO's ``maskApi``; the compressed string is its 6-bit form (LEB128-like, difference to the run two before).
hotcoco (Rust, MIT) does what it does faster than numpy; it takes masks of fewer than 2**32 pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import hotcoco
import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError
from detseg.types import Box, Mask, Size

Bitmap = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_TILE = 256
_VALUE = re.compile("[P-o]*[0-O]")
_COMPRESSED = re.compile("(?:[P-o]{0,10}[0-O])*")
"""No run length has more than 11 characters of 5 bits."""
_SHORT = 3
"""Letters of numbers that are kept: there are 32 ** 3 of such."""


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
    return Mask(masks[0].size, string_to_counts(united["counts"].decode()))


def string_to_counts(text: str) -> tuple[int, ...]:
    """The run lengths of COCO's compressed form (``maskApi.c``, ``rleFrString``)."""
    if not _COMPRESSED.fullmatch(text):
        raise FormatError(f"not a compressed COCO mask: {text[:40]!r}")
    values = [_VALUES[one] for one in _VALUE.findall(text)]
    values[1::2] = accumulate(values[1::2])
    values[2::2] = accumulate(values[2::2])
    return tuple(values)


class _Values(dict[str, int]):
    """The numbers that are written so: five bits a letter, the lowest first, the last one's first a sign."""

    def __missing__(self, text: str) -> int:
        value = -(ord(text[-1]) - 48 >> 4 & 1)
        for letter in reversed(text):
            value = value << 5 | ord(letter) - 48 & 0x1F
        if len(text) <= _SHORT:
            self[text] = value
        return value


_VALUES = _Values()


def encode_mask(mask: Mask) -> dict[str, Any]:
    """Encode a mask as COCO's JSON has it: ``{"size": [height, width], "counts": compressed string}``."""
    rle = _rle(mask)
    return {**rle, "counts": hotcoco.mask.rle_to_string(rle)}


def decode_mask(entry: Mapping[str, Any]) -> Mask:
    """Decode COCO's JSON of a mask: ``encode_mask``'s, or one whose counts are a list of run lengths.

    Raises FormatError for text that is not compressed run lengths, ValueError for counts of another size.
    """
    height, width = entry["size"]
    counts = entry["counts"]
    return Mask(Size(width, height), string_to_counts(counts) if isinstance(counts, str) else tuple(counts))


def _column_major(bitmap: Bitmap) -> Bitmap:
    """The pixels column by column, shape (W*H,). Tile by tile, which is 7 times faster on 12 megapixels."""
    height, width = bitmap.shape
    out = np.empty((width, height), dtype=bool)
    for x in range(0, width, _TILE):
        for y in range(0, height, _TILE):
            out[x : x + _TILE, y : y + _TILE] = bitmap[y : y + _TILE, x : x + _TILE].T
    return out.reshape(-1)


def _rle(mask: Mask) -> dict[str, Any]:
    return {"size": [mask.size.height, mask.size.width], "counts": mask.counts}


def _check_sizes(masks: Sequence[Mask]) -> None:
    if any(mask.size != masks[0].size for mask in masks):
        raise ValueError(f"masks of one image have one size, not {sorted({str(m.size) for m in masks})}")
