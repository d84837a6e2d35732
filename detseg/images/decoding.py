"""Bytes in, upright RGB pixels out; everything that cannot be used becomes an ImageError with the reason.

What a browser shows is what the models see: turned as its EXIF says, transparency over white, 16-bit grey by
its upper byte. What decoding would cost is known from the header, so a bomb is refused for nothing. Programs
that do not read EXIF get a copy whose pixels lie in the file as they are shown.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import logging
import os
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError, _imaging
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ExifTags import Base

from detseg.errors import ImageError, short_reason
from detseg.files import open_regular
from detseg.images.headers import Header, read_header
from detseg.types import DecodedImage, ImageId, ImageRef, Size

DEFAULT_MAX_PIXELS = 89_478_485

BROWSER_FORMATS = frozenset({"AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "WEBP"})
"""Formats (Pillow's names) that an annotator's browser can show."""

_READ_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Those that Pillow is let try: each has a decoder of its own, where others (EPS) start a program."""

_MOST_BYTES = 256_000_000  # of a file that is named by itself; those of a source have max_image_bytes
_MAX_SIDE = 65_535  # pixels: a JPEG's; row by row, 80 million rows of one pixel take a minute
_BYTES_PER_PIXEL = 10  # of ``max_pixels``: what decoding may need
_NEEDED = {"AVIF": 16, "TIFF": 16, "WEBP": 16}  # bytes per pixel at the peak, with the decoder's own; else 7
_COEFFICIENTS = 2  # bytes per pixel and component, of a JPEG that is decoded in several passes
_MOST_PASSES = 30  # over ``max_pixels``
_BAND_PIXELS = 1 << 20  # converted at once

_GIF_BYTES, _GIF_BYTES_PER_PIXEL = 4_000_000, 2
_RUN_LENGTH_BYTES = 10_000_000  # of a BMP, whose runs Pillow decodes one by one, in Python

Rgb = npt.NDArray[np.uint8]
_PIXEL = np.dtype("V3")  # red, green and blue, moved as one

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # max_pixels decides
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of damage that it reads past
logging.getLogger("PIL").setLevel(logging.CRITICAL)  # of damage that it raises an error for, too

_DECODE_ERRORS = (
    ArithmeticError,
    AssertionError,
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
"""The errors that Pillow's decoders raise on damaged files, while they read the header, count frames or
decode."""


def _silence_libtiff() -> None:
    """Keeps libtiff from writing about damage to stderr; what is damaged is said by the exception."""
    library = ctypes.CDLL(_imaging.__file__)  # which finds the names of the libraries it uses
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        if hasattr(library, name):
            getattr(library, name)(None)


_silence_libtiff()


def image_id(data: bytes) -> ImageId:
    """The id of an image: a tagged SHA-256 of its encoded bytes.

    >>> image_id(b"")[:14]
    'sha256:e3b0c44'
    """
    return ImageId("sha256:" + hashlib.sha256(data).hexdigest())


def image_format(data: bytes) -> str:
    """Pillow's name of the format of encoded bytes (PNG, JPEG, ...). Raises ImageError for none."""
    with _open(data)[0] as image:
        return str(image.format)


def read_bytes(uri: str) -> bytes:
    """The encoded bytes of a local file. Raises ImageError when it cannot be read or is too large."""
    try:
        with open_regular(uri) as file:
            n_bytes = os.fstat(file.fileno()).st_size
            if n_bytes > _MOST_BYTES:
                raise ImageError(f"has {n_bytes:,} bytes, at most {_MOST_BYTES:,} are read")
            return file.read(n_bytes)
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}") from error


def read_image(
    uri: str, *, max_pixels: int = DEFAULT_MAX_PIXELS, formats: frozenset[str] | None = None
) -> DecodedImage:
    """Read a local file as an upright RGB image: uint8 of shape (height, width, 3).

    Raises ImageError for what cannot be read or is too large, see ``decode_image``.
    """
    return decode_image(read_bytes(uri), uri, max_pixels=max_pixels, formats=formats)


def decode_image(
    data: bytes, uri: str, *, max_pixels: int = DEFAULT_MAX_PIXELS, formats: frozenset[str] | None = None
) -> DecodedImage:
    """The upright RGB image in encoded bytes.

    Raises ImageError for what is empty, not an image, damaged, animated, larger than ``max_pixels``, or
    not in one of ``formats`` (Pillow's names; None takes all that are read).
    """
    image, header = _open(data)
    with image, _decoding(image):
        _check(image, data, header, max_pixels=max_pixels, formats=formats)
        image.load()
        rgb = _upright_rgb(image, _orientation(image, header))
    rgb.flags.writeable = False  # several models and a picture are made of it
    height, width, _ = rgb.shape
    return DecodedImage(ImageRef(image_id(data), uri), Size(width, height), rgb)


def upright_size(
    data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, formats: frozenset[str] | None = None
) -> Size:
    """The size that ``decode_image`` would give, from the header alone; raises what the header shows."""
    image, header = _open(data)
    with image, _decoding(image):
        _check(image, data, header, max_pixels=max_pixels, formats=formats)
        if _orientation(image, header) >= 5:
            return Size(image.height, image.width)
        return Size(image.width, image.height)


def looks_turned(data: bytes) -> bool:
    """Tell whether a file asks to be turned, as browsers read it or as Pillow does. Raises ImageError for
    none."""
    image, header = _open(data)
    with image, _decoding(image):
        return _orientation(image, header) != 1 or image.getexif().get(Base.Orientation, 1) != 1


@contextmanager
def open_png(data: bytes) -> Iterator[Image.Image]:
    """A PNG that holds values rather than a picture, as it is stored.

    Raises ImageError for anything else, for one that costs too much, and for what fails in the block.
    """
    image, header = _open(data, ("PNG",))
    with image, _decoding(image):
        _check_cost(image, Size(image.width, image.height), header, max_pixels=DEFAULT_MAX_PIXELS)
        yield image


def _open(data: bytes, formats: tuple[str, ...] = _READ_FORMATS) -> tuple[Image.Image, Header]:
    if not data:
        raise ImageError("is empty (0 bytes)")
    header = read_header(data)
    try:
        return Image.open(io.BytesIO(data), formats=formats), header
    except UnidentifiedImageError as error:
        raise ImageError(f"is not an image of a format that is read: {', '.join(formats)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"is too large: {short_reason(error)}") from error
    except _DECODE_ERRORS as error:
        raise ImageError(f"is damaged: {short_reason(error)}") from error


@contextmanager
def _decoding(image: Image.Image) -> Iterator[None]:
    """In here what Pillow raises for this image becomes an ImageError with the reason."""
    try:
        yield
    except MemoryError as error:
        raise ImageError(f"needs more memory than there is ({image.width}x{image.height})") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"is too large: {short_reason(error)}") from error
    except _DECODE_ERRORS as error:
        raise ImageError(f"is damaged: {short_reason(error)}") from error


def _check(
    image: Image.Image, data: bytes, header: Header, *, max_pixels: int, formats: frozenset[str] | None
) -> None:
    """Raises ImageError for what the header shows: too costly, of several frames, or not as it is shown."""
    size = Size(image.width, image.height)
    _check_cost(image, size, header, max_pixels=max_pixels)
    if header.frame is not None and (header.frame.width > size.width or header.frame.height > size.height):
        _check_cost(image, header.frame, header, max_pixels=max_pixels)
    if image.format == "GIF" and len(data) > _GIF_BYTES + _GIF_BYTES_PER_PIXEL * size.area:
        raise ImageError(f"has {len(data):,} bytes, far more than a GIF of {size} needs: save it anew")
    is_run_length = isinstance(image, BmpImageFile) and image.tile[0].codec_name == "bmp_rle"
    if is_run_length and len(data) > _RUN_LENGTH_BYTES:
        raise ImageError(f"is a run-length encoded BMP of {len(data):,} bytes: convert it to PNG")
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a JPEG with a second view behind it
        raise ImageError("has more than one frame: save the one that is to be labeled as an image of its own")
    if formats is not None and image.format not in formats:
        raise ImageError(f"is {image.format}, which browsers do not show: convert it to PNG or JPEG")
    if header.is_cropped:
        raise ImageError("is an AVIF of which browsers show a part (clean aperture): save that part anew")
    if image.format in ("JPEG", "MPO") and (shown := header.exif.shown(size)) != size:
        raise ImageError(
            f"is {size}, but its EXIF has browsers show it as {shown}: remove its resolution there"
        )


def _check_cost(image: Image.Image, size: Size, header: Header, *, max_pixels: int) -> None:
    if size.area > max_pixels:
        raise ImageError(f"is too large: {size} pixels, source.max_pixels allows {max_pixels:,}")
    if max(size.width, size.height) > _MAX_SIDE:
        raise ImageError(f"is too large: {size}, and no side may be above {_MAX_SIDE:,}")
    if header.n_passes * size.area > _MOST_PASSES * max_pixels:
        raise ImageError(f"has {header.n_passes} scans of {size}, which take too long: save it anew")
    needed = _NEEDED.get(str(image.format), 7)
    if header.n_passes > 1:
        needed += _COEFFICIENTS * len(image.getbands())
    if needed * size.area > _BYTES_PER_PIXEL * max_pixels:
        limit = _BYTES_PER_PIXEL * max_pixels // needed
        raise ImageError(
            f"is too large: {size} pixels; of {image.format}, source.max_pixels allows {limit:,}"
        )


def _orientation(image: Image.Image, header: Header) -> int:
    """Return how the stored pixels have to be turned, as EXIF counts the eight ways."""
    if image.format != "AVIF":
        return header.exif.orientation
    exif = Image.Exif()  # Pillow's plugin writes into it what AVIF's own boxes say
    exif.load(image.info.get("exif", b""))
    return int(exif.get(Base.Orientation, 1))


def _upright_rgb(image: Image.Image, orientation: int) -> Rgb:
    """The pixels (H, W, 3), converted and turned a band at a time, so that no second image is in memory."""
    width, height = image.size
    upright = np.empty((width, height) if orientation >= 5 else (height, width), dtype=_PIXEL)
    stored = _as_stored(upright, orientation)
    for rows, band in bands(image):
        stored[rows] = np.asarray(_to_rgb(band)).view(_PIXEL)[..., 0]
    return upright.view(np.uint8).reshape(*upright.shape, 3)


def bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """An image in pieces of some rows, so that what is made of each is never in memory as a whole."""
    n_rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, n_rows):
        bottom = min(top + n_rows, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _as_stored(upright: npt.NDArray[np.void], orientation: int) -> npt.NDArray[np.void]:
    """A view of upright pixels that has them in the order of the file."""
    view = upright
    if orientation in (2, 3, 6, 7):
        view = view[:, ::-1]
    if orientation in (3, 4, 7, 8):
        view = view[::-1]
    return view.T if orientation >= 5 else view


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
