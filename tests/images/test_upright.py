"""Copies for programs that do not read EXIF: the pixels that people saw, in a file that turns nothing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from detseg.errors import ImageError
from detseg.images import decode_image
from detseg.images.decoding import upright_copy
from tests.exif import ORIENTATIONS, save_turned


def picture() -> Image.Image:
    """No turn and no mirror image of it is itself; flat areas, so that a lossy format changes little."""
    made = Image.new("RGB", (48, 32), "navy")
    ImageDraw.Draw(made).rectangle((0, 0, 23, 15), fill="orange")
    ImageDraw.Draw(made).rectangle((24, 0, 47, 7), fill="white")
    return made


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_copy_shows_what_a_turned_file_shows(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"picture.{suffix}"
    save_turned(picture(), path, orientation)
    data = path.read_bytes()
    copy = upright_copy(data, "picture")
    if orientation == 1:
        assert copy is None
        return
    assert copy is not None
    shown = decode_image(data, "picture").rgb
    with Image.open(io.BytesIO(copy)) as plain:
        assert plain.getexif().get(0x0112, 1) == 1
        difference = np.abs(np.asarray(plain.convert("RGB"), dtype=int) - shown)
    assert difference.mean() < (2 if suffix == "jpg" else 1e-9)
    assert upright_copy(copy, "copy") is None


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ImageError):
        upright_copy(b"no image", "nothing")
