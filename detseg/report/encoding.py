"""Pictures as data URIs of bounded size."""

from __future__ import annotations

import base64
import io

from PIL import Image

_PREFIX = "data:image/webp;base64,"


def webp_bytes(picture: Image.Image, *, quality: int) -> bytes:
    """The picture as WebP; the same bytes for the same picture."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def data_uri(webp: bytes) -> str:
    """A picture that needs no other file."""
    return _PREFIX + base64.b64encode(webp).decode("ascii")


def uri_size(webp: bytes) -> int:
    """How long its data URI is."""
    return len(_PREFIX) + (len(webp) + 2) // 3 * 4
