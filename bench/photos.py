"""The photos that every contender gets: files of 640x480 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (640, 480)
_SMALL = (96, 96)


class NoPhotos(Exception):
    """The folder of photos is not there, or empty."""


def make_photos(source: Path, folder: Path) -> list[str]:
    """The JPEG files of a folder, sorted by name, scaled to 640x480; upright ones are turned first."""
    paths = sorted(source.glob("*.jpg"))
    if not paths:
        raise NoPhotos(f"there are no .jpg photos in {source}: name a folder that has some with --photos")
    folder.mkdir()
    made = []
    for path in paths:
        with Image.open(path) as image:
            photo = image.convert("RGB")
        if photo.height > photo.width:
            photo = photo.transpose(Image.Transpose.ROTATE_90)
        made.append(folder / path.name)
        photo.resize(SIZE).save(made[-1], quality=92)
    return [str(path) for path in made]


def make_small_images(n: int, folder: Path) -> Path:
    """A folder of n images of 96x96 pixels, no two alike."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    for i in range(n):
        coarse = noise.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(_SMALL).save(folder / f"{i:05d}.jpg")
    return folder
