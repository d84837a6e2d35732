"""Masks to and from the PNG of ``bitmasklabels``: what is opaque is foreground.

The page draws such an image stretched over the picture, so it may have a size of its own, and gives it back
with anti-aliased edges once a person has painted in it: foreground is where alpha is above 127.
"""

from __future__ import annotations

import base64
import binascii
import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from detseg.errors import FormatError
from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap
from detseg.geometry.runs import resize_mask
from detseg.types import Mask, Size

_PREFIX = "data:image/png;base64,"
_SHOWN = 127
_MOST_PIXELS = 4  # times those of the picture: a mask has no reason to be finer


def encode_bitmask(mask: Mask) -> str:
    """A data URL with a PNG of the mask's size: one bit per pixel, black where it is foreground."""
    image = Image.fromarray(mask_to_bitmap(mask).astype(np.uint8), mode="P")
    image.putpalette(bytes(6))
    png = io.BytesIO()
    image.save(png, "PNG", bits=1, transparency=b"\x00\xff")
    return _PREFIX + base64.b64encode(png.getvalue()).decode("ascii")


def decode_bitmask(url: str, size: Size) -> Mask:
    """The mask of a data URL, stretched to that size. Raises FormatError for anything but a PNG in it."""
    if not url.startswith(_PREFIX):
        raise FormatError(f"a bitmask is a data URL with a PNG ({_PREFIX}...), not {url[:40]!r}")
    try:
        data = base64.b64decode(url[len(_PREFIX) :], validate=True)
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            own = Size(*image.size)
            if own.area > _MOST_PIXELS * size.area:
                raise FormatError(f"the bitmask is {own}, far larger than the image of {size}")
            alpha = np.asarray(image.convert("RGBA"))[:, :, 3]
    except (binascii.Error, UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise FormatError(f"the bitmask's PNG cannot be read: {error}") from error
    return resize_mask(bitmap_to_mask(alpha > _SHOWN), size)
