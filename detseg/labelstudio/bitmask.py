"""Masks to and from the PNG of ``bitmasklabels``: what is opaque is foreground.

The page draws such an image stretched over the picture, so it may have a size of its own, and gives it back
with anti-aliased edges once a person has painted in it: foreground is where alpha is above 127.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from detseg.errors import FormatError, ImageError
from detseg.geometry.edges import edges_to_mask, ring_edges, rows_to_columns
from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap
from detseg.geometry.runs import resize_mask
from detseg.images import bands, open_png
from detseg.labelstudio.brush import RING
from detseg.types import Mask, Size

_PREFIX = "data:image/png;base64,"
_SHOWN = 127
_MOST_PIXELS = 4  # times those of the picture: a mask has no reason to be finer


def encode_bitmask(mask: Mask, *, outline_px: int = 0) -> str:
    """A data URL with a PNG of the mask's size, black where it is foreground: all opaque, or with
    ``outline_px`` all but a ring, as ``encode_brush`` does it."""
    pixels = mask_to_bitmap(mask).astype(np.uint8)
    if outline_px:
        ring = edges_to_mask(rows_to_columns(ring_edges(mask, outline_px), mask.size), mask.size)
        pixels += mask_to_bitmap(ring)
    image = Image.fromarray(pixels, mode="P")
    image.putpalette(bytes(9))
    png = io.BytesIO()
    image.save(png, "PNG", bits=2 if outline_px else 1, transparency=bytes((0, 255, RING)))
    return _PREFIX + base64.b64encode(png.getvalue()).decode("ascii")


def decode_bitmask(url: str, size: Size) -> Mask:
    """The mask of a data URL, stretched to that size. Raises FormatError for anything but a PNG in it.

    Nothing is decoded of a PNG that is far larger than the image.
    """
    if not url.startswith(_PREFIX):
        raise FormatError(f"a bitmask is a data URL with a PNG ({_PREFIX}...)")
    try:
        with open_png(base64.b64decode(url[len(_PREFIX) :], validate=True)) as image:
            own = Size(*image.size)
            if own.area > _MOST_PIXELS * size.area:
                raise FormatError(f"the bitmask is {own}, far larger than the image of {size}")
            opaque = np.empty((own.height, own.width), dtype=bool)
            for rows, band in bands(image):
                opaque[rows] = np.asarray(band.convert("RGBA").getchannel("A")) > _SHOWN
    except (ValueError, ImageError) as error:
        raise FormatError(
            "the bitmask's PNG cannot be read: it is damaged, cut off, too large, or no PNG"
        ) from error
    return resize_mask(bitmap_to_mask(opaque), size)
