"""Copies of images whose pixels lie in the file as they are shown, for programs that do not read EXIF."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from detseg.images.decoding import decode_image, image_format, looks_turned

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95},
}


def upright_copy(data: bytes, uri: str) -> bytes | None:
    """The image anew, in its format and without EXIF; None where its pixels lie as everybody shows them.

    Raises ImageError for what cannot be decoded.
    """
    if not looks_turned(data):
        return None
    written = io.BytesIO()
    name = image_format(data)
    name = "JPEG" if name == "MPO" else name
    Image.fromarray(decode_image(data, uri).rgb).save(written, name, **_OPTIONS.get(name, {}))
    return written.getvalue()
