"""Masks: bitmaps to and from COCO run lengths, overlaps without decoding twice.

Bitmaps are bool arrays of shape (H, W). Run lengths are column-major and start with background, as in
COCO's ``maskApi``; the compressed string is its 6-bit form (LEB128-like, difference to the run two before).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError
from detseg.types import Box, Mask, Size

Bitmap = npt.NDArray[np.bool_]


def bitmap_to_mask(bitmap: Bitmap) -> Mask:
    """The run lengths of a bitmap of shape (H, W), both at least 1."""
    height, width = bitmap.shape
    flat = np.asarray(bitmap, dtype=bool).ravel(order="F")  # (W*H,) column-major
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], changes, [flat.size]))
    counts = np.diff(edges).tolist()
    return Mask(Size(width, height), tuple([0, *counts] if flat[0] else counts))


def mask_to_bitmap(mask: Mask) -> Bitmap:
    """The bitmap of shape (H, W)."""
    values = np.arange(len(mask.counts)) % 2 == 1
    flat = np.repeat(values, mask.counts)
    return flat.reshape((mask.size.height, mask.size.width), order="F")


def empty_mask(size: Size) -> Mask:
    """A mask of that size without foreground."""
    return Mask(size, (size.area,))


def mask_to_box(mask: Mask) -> Box | None:
    """The tight half-open box of the foreground; None for an empty mask."""
    bitmap = mask_to_bitmap(mask)
    columns, rows = np.flatnonzero(bitmap.any(axis=0)), np.flatnonzero(bitmap.any(axis=1))
    if columns.size == 0:
        return None
    return Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def mask_iou(a: Mask, b: Mask) -> float:
    """Intersection over union in [0, 1]; 0 when both are empty."""
    if a.size != b.size:
        raise ValueError(f"masks of one image have one size, not {a.size} and {b.size}")
    bitmap_a, bitmap_b = mask_to_bitmap(a), mask_to_bitmap(b)
    intersection = int(np.count_nonzero(bitmap_a & bitmap_b))
    union = a.area + b.area - intersection
    return intersection / union if union else 0.0


def counts_to_string(counts: Sequence[int]) -> str:
    """COCO's compressed form of run lengths (``maskApi.c``, ``rleToString``)."""
    out = bytearray()
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        while True:
            chunk = value & 0x1F
            value >>= 5
            more = value != -1 if chunk & 0x10 else value != 0
            out.append((chunk | 0x20 if more else chunk) + 48)
            if not more:
                break
    return out.decode("ascii")


def string_to_counts(text: str) -> tuple[int, ...]:
    """The run lengths of COCO's compressed form (``maskApi.c``, ``rleFrString``)."""
    counts: list[int] = []
    data = text.encode("ascii", errors="replace")
    position = 0
    while position < len(data):
        value, shift, more = 0, 0, True
        while more:
            if position >= len(data) or not 48 <= data[position] < 112:
                raise FormatError(f"not a compressed COCO mask: character {position} of {text[:40]!r}")
            chunk = data[position] - 48
            value |= (chunk & 0x1F) << shift
            more = bool(chunk & 0x20)
            position += 1
            shift += 5
            if not more and chunk & 0x10:
                value |= -1 << shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
    return tuple(counts)


def encode_mask(mask: Mask) -> dict[str, Any]:
    """A mask as COCO's JSON has it: ``{"size": [height, width], "counts": compressed string}``."""
    return {"size": [mask.size.height, mask.size.width], "counts": counts_to_string(mask.counts)}


def decode_mask(entry: Mapping[str, Any]) -> Mask:
    """The mask of ``encode_mask``'s answer."""
    height, width = entry["size"]
    return Mask(Size(width, height), string_to_counts(entry["counts"]))
