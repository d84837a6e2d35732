"""AVIF whose container lies about its frames: what its decoder would make counts."""

from __future__ import annotations

import io
import struct
from random import Random

import numpy as np
import pytest
from PIL import Image

from detseg.errors import ImageError
from detseg.images import decode_image, upright_size
from detseg.images.avif import _sequence_sizes, largest_frame
from detseg.types import Size
from tests.images.made import encoded


def avif(width: int, height: int, mode: str = "RGB", **options: object) -> bytes:
    return encoded(Image.new(mode, (width, height), 90), "AVIF", speed=10, **options)


def said_to_be(data: bytes, width: int, height: int) -> bytes:
    """The same file, whose container says another size."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (64, 48), (257, 129), (1030, 2050)])
def test_the_frame_is_the_image(size: tuple[int, int], mode: str) -> None:
    assert largest_frame(avif(*size, mode)) == Size(*size)


def test_a_frame_larger_than_is_said_is_refused_unread() -> None:
    data = said_to_be(avif(2000, 1500), 40, 30)
    assert Image.open(io.BytesIO(data)).size == (40, 30)
    for read in (
        lambda: decode_image(data, "a.avif", max_pixels=40_000),
        lambda: upright_size(data, max_pixels=40_000),
    ):
        with pytest.raises(ImageError, match="is too large: 2000x1500"):
            read()


def test_the_headers_of_films_are_read_and_films_refused() -> None:
    frames = [Image.fromarray(np.full((90, 120, 3), value, np.uint8)) for value in (0, 90, 200)]
    film = encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:])
    assert next(_sequence_sizes(film[film.index(b"mdat") + 4 :])) == Size(120, 90)
    with pytest.raises(ImageError, match="a film"):
        largest_frame(film)


def test_no_container_takes_long_or_raises_otherwise() -> None:
    whole, random = avif(64, 48), Random(1)
    n_read = 0
    for _ in range(3_000):
        data = bytearray(whole)
        for _ in range(random.randint(1, 4)):
            data[random.randrange(12, len(data))] = random.choice((0, 1, 2, 255, random.randrange(256)))
        try:
            largest_frame(bytes(data[: random.choice((len(data), random.randrange(12, len(data))))]))
            n_read += 1
        except ImageError:
            continue
    assert n_read > 0


@pytest.mark.parametrize("unit", [b"\x02\x00", b"\x0a\x00", b"\x12\x00"])
def test_pieces_are_counted(unit: bytes) -> None:
    with pytest.raises((ImageError, IndexError)):
        list(_sequence_sizes(unit * 1_000_000))
