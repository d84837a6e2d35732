"""Pictures that are stored turned, in all eight ways that EXIF knows."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ORIENTATIONS = range(1, 9)

_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned(upright: Image.Image, orientation: int) -> tuple[Image.Image, Image.Exif]:
    """A picture as it is stored, and the tag that says how to hold it so that it is upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return (upright.transpose(_STORED[orientation]) if orientation in _STORED else upright), exif


def save_turned(upright: Image.Image, path: Path, orientation: int) -> None:
    """Writes a picture so that it is upright only for who minds its orientation."""
    stored, exif = turned(upright, orientation)
    stored.save(path, exif=exif)
