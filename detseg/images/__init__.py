"""Bytes in, upright RGB pixels out; everything that cannot be used becomes an ImageError with the reason."""

from detseg.images.decoding import (
    BROWSER_FORMATS,
    DEFAULT_MAX_PIXELS,
    bands,
    decode_image,
    image_format,
    image_id,
    open_png,
    read_bytes,
    read_image,
    upright_size,
)

__all__ = [
    "BROWSER_FORMATS",
    "DEFAULT_MAX_PIXELS",
    "bands",
    "decode_image",
    "image_format",
    "image_id",
    "open_png",
    "read_bytes",
    "read_image",
    "upright_size",
]
