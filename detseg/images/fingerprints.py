"""Fingerprints of images: equal but for a few bits where images are resized, compressed anew, or brighter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from detseg.types import Fingerprint

THUMBNAIL_PX = 32
"""The sides of a thumbnail, whatever the shape of its image."""

_REDUCED_PX = 4 * THUMBNAIL_PX  # by whole numbers of pixels, at a tenth of the cost of a filter


def fingerprint(rgb: npt.NDArray[np.uint8]) -> Fingerprint:
    """Return the fingerprint of an upright image (H, W, 3): ImageHash's pHash of 64 bits, and a thumbnail."""
    import imagehash  # and with it scipy

    image = Image.fromarray(rgb)
    factors = (max(1, image.width // _REDUCED_PX), max(1, image.height // _REDUCED_PX))
    grey = (image.reduce(factors) if max(factors) > 1 else image).convert("L")
    bits = imagehash.phash(grey).hash
    thumbnail = grey.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    return Fingerprint(np.packbits(bits).tobytes(), thumbnail.tobytes())
