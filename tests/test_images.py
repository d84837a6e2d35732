"""Images: whatever people have in their folders is shown upright or refused with a reason."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detseg.errors import ImageError
from detseg.images import BROWSER_FORMATS, decode_image, image_id, read_image, upright_size
from detseg.types import Size
from tests.exif import turned


def encoded(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.fixture
def quadrants() -> Image.Image:
    """64x32: red top left, green top right, blue bottom left, white bottom right."""
    pixels = np.zeros((32, 64, 3), dtype=np.uint8)
    pixels[:16, :32], pixels[:16, 32:] = (255, 0, 0), (0, 255, 0)
    pixels[16:, :32], pixels[16:, 32:] = (0, 0, 255), (255, 255, 255)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(quadrants: Image.Image, orientation: int) -> None:
    stored, exif = turned(quadrants, orientation)
    decoded = decode_image(encoded(stored, exif=exif), "x.png")
    assert decoded.size == upright_size(encoded(stored, exif=exif)) == Size(64, 32)
    np.testing.assert_array_equal(decoded.rgb, np.asarray(quadrants))


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA", "RGBA", "YCbCr", "PA"])
def test_every_mode_becomes_rgb(quadrants: Image.Image, mode: str) -> None:
    source = quadrants.convert("P").convert("PA") if mode == "PA" else quadrants.convert(mode)
    format_ = {"CMYK": "TIFF", "YCbCr": "TIFF", "PA": "TIFF"}.get(mode, "PNG")
    if mode == "PA":  # no format stores it: a palette with transparency is what files hold
        source, format_ = quadrants.convert("P"), "PNG"
        source.info["transparency"] = 0
    decoded = decode_image(encoded(source, format_), "x")
    assert decoded.rgb.shape == (32, 64, 3)
    assert decoded.rgb[0, 0].tolist() != decoded.rgb[-1, -1].tolist()


def test_max_pixels_is_a_setting() -> None:
    data = encoded(Image.new("L", (20, 10)))
    assert decode_image(data, "x", max_pixels=200).size == Size(20, 10)
    with pytest.raises(ImageError, match="20x10 pixels, max_pixels allows 199"):
        decode_image(data, "x", max_pixels=199)


def test_sixteen_bit_grey_keeps_its_upper_byte() -> None:
    ramp = np.linspace(0, 65_535, 256, dtype=np.uint16).reshape(16, 16)
    decoded = decode_image(encoded(Image.fromarray(ramp)), "x.png")
    np.testing.assert_array_equal(decoded.rgb[..., 0], (ramp >> 8).astype(np.uint8))


def test_transparency_lies_over_white() -> None:
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert decode_image(encoded(clear), "x.png").rgb.min() == 255


def png_of_zeros(width: int, height: int) -> bytes:
    """A small file that claims to be a large image."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


BAD = {
    "empty": (b"", "empty"),
    "text": (b"this is not an image", "not an image"),
    "bomb": (png_of_zeros(50_000, 50_000), "too large"),
    "large": (png_of_zeros(10_000, 9_000), "too large"),
    "truncated jpeg": (encoded(Image.effect_noise((200, 200), 50), "JPEG")[:2000], "damaged"),
    "truncated png": (encoded(Image.effect_noise((200, 200), 50))[:3000], "damaged"),
    "animated": (
        encoded(Image.new("L", (8, 8)), "GIF", save_all=True, append_images=[Image.new("L", (8, 8), 255)]),
        "2 frames",
    ),
    "float": (encoded(Image.fromarray(np.ones((4, 4), dtype=np.float32)), "TIFF"), "floating point"),
    "32 bit": (
        encoded(Image.fromarray(np.full((4, 4), 70_000, dtype=np.int32)), "TIFF"),
        "32-bit",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_refused_with_the_reason(name: str) -> None:
    data, reason = BAD[name]
    with pytest.raises(ImageError, match=reason):
        decode_image(data, "x")


@pytest.mark.parametrize("cut", range(0, 700, 7))
def test_a_file_cut_anywhere_is_an_image_error_or_an_image(quadrants: Image.Image, cut: int) -> None:
    data = encoded(quadrants, "JPEG", quality=80)[:cut]
    try:
        decoded = decode_image(data, "x.jpg")
    except ImageError:
        return
    assert decoded.size == Size(64, 32)


FRAMES = [Image.effect_noise((12, 8), 50).convert("P") for _ in range(3)]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("format_", ["GIF", "PNG", "TIFF", "WEBP"])
def test_an_animated_file_cut_anywhere_is_an_image_error_or_an_image(format_: str) -> None:
    data = encoded(FRAMES[0], format_, save_all=True, append_images=FRAMES[1:])
    for cut in range(0, len(data), max(1, len(data) // 200)):
        for read in (lambda part: decode_image(part, "x").size, upright_size):
            with suppress(ImageError):
                assert read(data[:cut]) == Size(12, 8)


def test_a_damaged_avif_is_an_image_error() -> None:
    whole = encoded(FRAMES[0].convert("RGB"), "AVIF")
    for place in range(len(whole) - 1, 0, -max(1, len(whole) // 60)):
        with suppress(ImageError):
            decode_image(whole[:place] + b"\xff" + whole[place + 1 :], "x.avif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "TIFF", "WEBP"])
def test_the_size_by_the_header_is_that_of_the_pixels(
    quadrants: Image.Image, format_: str, orientation: int
) -> None:
    stored, exif = turned(quadrants, orientation)
    data = encoded(stored, format_, exif=exif)
    assert upright_size(data) == decode_image(data, "x").size == Size(64, 32)


def test_formats_that_browsers_do_not_show_are_refused_where_that_matters() -> None:
    tiff = encoded(Image.new("RGB", (4, 4)), "TIFF")
    assert decode_image(tiff, "x.tif").size == Size(4, 4)
    with pytest.raises(ImageError, match="TIFF, which browsers do not show"):
        decode_image(tiff, "x.tif", formats=BROWSER_FORMATS)


@pytest.mark.parametrize("name", ["my photo (1).png", "żółć 🔩.png", "a'b\"c#%?.png", "-dash.png"])
def test_any_name_can_be_read(tmp_path: Path, quadrants: Image.Image, name: str) -> None:
    path = tmp_path / name
    quadrants.save(path)
    decoded = read_image(str(path))
    assert decoded.ref.id == image_id(path.read_bytes())
    assert decoded.ref.uri == str(path)


def test_a_missing_file_and_a_folder_are_image_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(ImageError, match="cannot be read"):
            read_image(str(path))
