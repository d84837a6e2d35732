"""Pictures as data URIs of bounded size.

JPEG: browsers print it as it is, and write WebP out pixel by pixel: a page of 2 MB becomes a PDF of 14 MB.
"""

from __future__ import annotations

import base64
import io

from PIL import Image

_PREFIX = "data:image/jpeg;base64,"


def jpeg_bytes(picture: Image.Image, *, quality: int) -> bytes:
    """The picture as JPEG; the same bytes for the same picture."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def data_uri(jpeg: bytes) -> str:
    """A picture that needs no other file."""
    return _PREFIX + base64.b64encode(jpeg).decode("ascii")


def uri_size(jpeg: bytes) -> int:
    """Compute the length of its data URI."""
    return len(_PREFIX) + (len(jpeg) + 2) // 3 * 4
