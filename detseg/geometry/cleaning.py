"""Masks made smooth and whole: opening, closing, holes, specks. Worked out on the mask's own crop.

Foreground joins over corners (8 neighbours), background over edges only (4), so that a thin diagonal line is
one piece and what it encloses is a hole. Beyond the image nothing is known: an object that its edge cuts is
not eroded from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from detseg.errors import ConfigError
from detseg.geometry.masks import Bitmap, empty_mask, mask_to_box
from detseg.geometry.runs import cut_bitmap, paste_bitmap
from detseg.types import Mask

_EIGHT = np.ones((3, 3), dtype=bool)
_FOUR = ndimage.generate_binary_structure(2, 1)


@dataclass(frozen=True, slots=True)
class CleaningOptions:
    """The steps of cleaning, in this order; 0 leaves a step out.

    ``opening_px`` and ``closing_px`` are radii of a disc in pixels: an opening takes away what the disc does
    not fit into, a closing fills the gaps that it does not fit into. Holes of fewer than ``min_hole_px``
    pixels are filled, pieces of fewer than ``min_speck_px`` dropped, and a mask of fewer than
    ``min_area_px`` becomes empty. With ``keep_thin`` an opening leaves thin structures (``open_bitmap``).
    """

    opening_px: int = 0
    closing_px: int = 0
    min_hole_px: int = 0
    min_speck_px: int = 0
    min_area_px: int = 0
    keep_thin: bool = False

    def __post_init__(self) -> None:
        for name in ("opening_px", "closing_px", "min_hole_px", "min_speck_px", "min_area_px"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is a number of pixels from 0 on, not {getattr(self, name)}")

    @property
    def changes_nothing(self) -> bool:
        """Tell whether every step is left out."""
        return not (
            self.opening_px or self.closing_px or self.min_hole_px or self.min_speck_px or self.min_area_px
        )


def clean_mask(mask: Mask, options: CleaningOptions) -> Mask:
    """The mask after all steps; it may be empty."""
    box = mask_to_box(mask)
    if box is None or options.changes_nothing:
        return mask
    margin = 2 * max(options.opening_px, options.closing_px) + 1  # what is done here cannot reach further
    x0, y0 = max(int(box.x0) - margin, 0), max(int(box.y0) - margin, 0)
    x1, y1 = min(int(box.x1) + margin, mask.size.width), min(int(box.y1) + margin, mask.size.height)
    bitmap = np.ascontiguousarray(cut_bitmap(mask, x0=x0, y0=y0, x1=x1, y1=y1))
    bitmap = open_bitmap(bitmap, radius_px=options.opening_px, keep_thin=options.keep_thin)
    bitmap = close_bitmap(bitmap, radius_px=options.closing_px)
    bitmap = fill_holes(bitmap, min_px=options.min_hole_px)
    bitmap = drop_specks(bitmap, min_px=options.min_speck_px)
    if np.count_nonzero(bitmap) < options.min_area_px:
        return empty_mask(mask.size)
    return paste_bitmap(bitmap, mask.size, x0=x0, y0=y0)


def open_bitmap(bitmap: Bitmap, *, radius_px: int, keep_thin: bool = False) -> Bitmap:
    """Erosion, then dilation with a disc (the pixels whose centres lie within the radius of its own).

    With ``keep_thin``, a piece of what that takes away stays if its bounding box is longer than two discs in
    one direction: a wire, a crack or a bolt's shank, on its own or on a body, but not the roundings of
    corners, frayed edges or noise.
    """
    if radius_px == 0:
        return bitmap
    opened = _dilate(_erode(bitmap, radius_px), radius_px)
    if not keep_thin:
        return opened
    pieces, _ = ndimage.label(bitmap & ~opened, structure=_EIGHT)
    length = 2 * (2 * radius_px + 1)
    spans = ndimage.find_objects(pieces)
    long = [False, *(any(side.stop - side.start > length for side in span) for span in spans)]
    kept: Bitmap = opened | np.array(long)[pieces]
    return kept


def close_bitmap(bitmap: Bitmap, *, radius_px: int) -> Bitmap:
    """Dilation, then erosion with a disc."""
    return _erode(_dilate(bitmap, radius_px), radius_px) if radius_px else bitmap


def fill_holes(bitmap: Bitmap, *, min_px: int) -> Bitmap:
    """Without the holes of fewer than ``min_px`` pixels. What touches the bitmap's edge is no hole."""
    if min_px <= 1:
        return bitmap
    pieces, _ = ndimage.label(~bitmap, structure=_FOUR)
    small = _areas(pieces) < min_px
    for edge in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        small[edge] = False
    small[0] = False  # the foreground
    filled: Bitmap = bitmap | small[pieces]
    return filled


def drop_specks(bitmap: Bitmap, *, min_px: int) -> Bitmap:
    """Without the pieces of fewer than ``min_px`` pixels."""
    if min_px <= 1:
        return bitmap
    pieces, _ = ndimage.label(bitmap, structure=_EIGHT)
    large = _areas(pieces) >= min_px
    large[0] = False  # the background
    kept: Bitmap = large[pieces]
    return kept


def _areas(pieces: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """The pixels of piece 0, 1, 2, ..."""
    return np.bincount(pieces.reshape(-1))


def _erode(bitmap: Bitmap, radius_px: int) -> Bitmap:
    """The pixels with no background within the radius."""
    return ~_dilate(~bitmap, radius_px)


def _dilate(bitmap: Bitmap, radius_px: int) -> Bitmap:
    """The pixels with foreground within the radius: row by row of the disc, from its tip to its middle."""
    height, width = bitmap.shape
    padded = np.pad(bitmap, radius_px)
    widened = padded[:, radius_px : radius_px + width].copy()  # by so many pixels to both sides:
    reach = 0
    dilated = np.zeros_like(bitmap)
    for dy in range(radius_px, -1, -1):
        while (reach + 1) ** 2 + dy**2 <= radius_px**2:
            reach += 1
            for left in (radius_px - reach, radius_px + reach):
                widened |= padded[:, left : left + width]
        for top in (radius_px - dy, radius_px + dy):
            dilated |= widened[top : top + height]
    return dilated
