"""Bytes in, upright RGB pixels out; everything that cannot be used becomes an ImageError with the reason.

What a browser shows is what the models see: EXIF orientation applied, transparency over white, 16-bit
grey by its upper byte. Sizes are checked before pixels are decoded, so a bomb costs nothing.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from detseg.errors import ImageError
from detseg.types import DecodedImage, ImageId, ImageRef, Size

DEFAULT_MAX_PIXELS = 89_478_485
_ORIENTATION = 0x0112  # EXIF tag

BROWSER_FORMATS = frozenset({"AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "WEBP"})
"""Formats (Pillow's names) that an annotator's browser can show."""

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # max_pixels decides
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of damage that it reads past

_DECODE_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
"""What Pillow's decoders raise on damaged files, while they read the header, count frames or decode."""


def image_id(data: bytes) -> ImageId:
    """The id of an image: a tagged SHA-256 of its encoded bytes.

    >>> image_id(b"")[:14]
    'sha256:e3b0c44'
    """
    return ImageId("sha256:" + hashlib.sha256(data).hexdigest())


def image_format(data: bytes) -> str:
    """Pillow's name of the format of encoded bytes (PNG, JPEG, ...). Raises ImageError for none."""
    with _open(data) as image:
        return str(image.format)


def read_bytes(uri: str) -> bytes:
    """The encoded bytes of a local file. Raises ImageError when it cannot be read."""
    try:
        return Path(uri).read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}") from error


def read_image(
    uri: str, *, max_pixels: int = DEFAULT_MAX_PIXELS, formats: frozenset[str] | None = None
) -> DecodedImage:
    """The upright RGB image in a local file; ``decode_image`` says what is refused."""
    return decode_image(read_bytes(uri), uri, max_pixels=max_pixels, formats=formats)


def decode_image(
    data: bytes, uri: str, *, max_pixels: int = DEFAULT_MAX_PIXELS, formats: frozenset[str] | None = None
) -> DecodedImage:
    """The upright RGB image in encoded bytes.

    Raises ImageError for what is empty, not an image, damaged, animated, larger than ``max_pixels``, or
    not in one of ``formats`` (Pillow's names; None takes all that Pillow knows).
    """
    with _open(data) as image, _decoding(image):
        _check_header(image, max_pixels=max_pixels, formats=formats)
        image.load()
        upright = _to_rgb(ImageOps.exif_transpose(image))
    rgb = np.ascontiguousarray(np.asarray(upright, dtype=np.uint8))  # (H, W, 3)
    return DecodedImage(ImageRef(image_id(data), uri), Size(upright.width, upright.height), rgb)


def upright_size(
    data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, formats: frozenset[str] | None = None
) -> Size:
    """The size that ``decode_image`` would give, from the header alone; raises what the header shows."""
    with _open(data) as image, _decoding(image):
        _check_header(image, max_pixels=max_pixels, formats=formats)
        turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        if turned and image.format != "TIFF":  # whose plugin gives the upright size itself
            return Size(image.height, image.width)
        return Size(image.width, image.height)


def _open(data: bytes) -> Image.Image:
    if not data:
        raise ImageError("is empty (0 bytes)")
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise ImageError("is not an image that can be read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"is too large: {_one_line(error)}") from error
    except _DECODE_ERRORS as error:
        raise ImageError(f"is damaged: {_one_line(error)}") from error


@contextmanager
def _decoding(image: Image.Image) -> Iterator[None]:
    """In here what Pillow raises for this image becomes an ImageError with the reason."""
    try:
        yield
    except MemoryError as error:
        raise ImageError(f"needs more memory than there is ({image.width}x{image.height})") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"is too large: {_one_line(error)}") from error
    except _DECODE_ERRORS as error:
        raise ImageError(f"is damaged: {_one_line(error)}") from error


def _check_header(image: Image.Image, *, max_pixels: int, formats: frozenset[str] | None) -> None:
    if image.width * image.height > max_pixels:
        raise ImageError(
            f"is too large: {image.width}x{image.height} pixels, max_pixels allows {max_pixels:,}"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # MPO: a phone's JPEG with a second view behind it
        raise ImageError(f"has {frames} frames: save the one that is to be labeled as an image of its own")
    if formats is not None and image.format not in formats:
        raise ImageError(f"is {image.format}, which browsers do not show: convert it to PNG or JPEG")


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any mode, as a browser shows it."""
    if image.mode == "F":
        raise ImageError("has floating point pixels, which have no agreed range: convert it to 8 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65_535:
            raise ImageError("has 32-bit pixels, which have no agreed range: convert it to 8 bits")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
