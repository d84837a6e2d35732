"""Images: whatever people have in their folders is shown upright or refused with a reason."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detseg.errors import ImageError
from detseg.images import BROWSER_FORMATS, decode_image, image_id, read_image, upright_size
from detseg.images.headers import read_header
from detseg.types import Size
from tests.exif import turned
from tests.images import made
from tests.images.made import encoded, flat_png


@pytest.fixture
def quadrants() -> Image.Image:
    """64x32 in four colours."""
    return made.quadrants()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(quadrants: Image.Image, orientation: int) -> None:
    stored, exif = turned(quadrants, orientation)
    decoded = decode_image(encoded(stored, exif=exif), "x.png")
    assert decoded.size == upright_size(encoded(stored, exif=exif)) == Size(64, 32)
    np.testing.assert_array_equal(decoded.rgb, np.asarray(quadrants))
    with pytest.raises(ValueError, match="read-only"):
        decoded.rgb[:] = 0  # by one model, and the next one would see it


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
    with pytest.raises(ImageError, match=r"20x10 pixels, source\.max_pixels allows 199"):
        decode_image(data, "x", max_pixels=199)


def test_sixteen_bit_grey_keeps_its_upper_byte() -> None:
    ramp = np.linspace(0, 65_535, 256, dtype=np.uint16).reshape(16, 16)
    decoded = decode_image(encoded(Image.fromarray(ramp)), "x.png")
    np.testing.assert_array_equal(decoded.rgb[..., 0], (ramp >> 8).astype(np.uint8))


def test_transparency_lies_over_white() -> None:
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert decode_image(encoded(clear), "x.png").rgb.min() == 255


def run_length_bmp(n_bytes: int) -> bytes:
    """A BMP of 2000x2000 pixels in runs of one pixel each, as far as they go."""
    head = struct.pack("<IiiHHIIiiII", 40, 2_000, 2_000, 1, 8, 1, n_bytes, 0, 0, 256, 0)
    return (
        b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + 40 + 1024) + head + bytes(1024) + b"\1\5" * (n_bytes // 2)
    )


def many_scans(n: int) -> bytes:
    """A progressive JPEG of 1000x1000 pixels that refines them n times more."""
    whole = encoded(Image.new("L", (1_000, 1_000)), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * n + whole[-2:]


def tiff_of_values(n: int) -> bytes:
    """A TIFF with so many rational numbers in its header."""
    return made.exif(made.Tag(700, 5, n, 26)) + bytes(8 * n)


LARGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "bomb": (lambda: flat_png(50_000, 50_000, n_rows=1), "too large"),
    "large": (lambda: flat_png(10_000, 9_000, n_rows=1), "too large"),
    "narrow": (lambda: flat_png(1, 70_000, n_rows=1), "too large: 1x70000, and no side may be above 65,535"),
    "large webp": (
        lambda: made.flat_webp(9_000, 9_000),
        "9000x9000 pixels; of WEBP, source.max_pixels allows 55,924,053",
    ),
    "many scans": (lambda: many_scans(3_000), "3006 scans of 1000x1000"),
    "many segments": (lambda: made.jpeg(made.segment(0xEF, b"") * 10_000), "far more header"),
    "much before the pixels": (lambda: made.jpeg(made.app1(bytes(65_000)) * 500), "far more header"),
    "junk between segments": (lambda: made.jpeg(bytes(1_000_001), before="DQT"), "far more header"),
    "fill bytes": (lambda: made.jpeg(b"\xff" * 1_000_001), "far more header"),
    "many chunks": (lambda: made.png(made.chunk(b"teSt", b"") * 200_000), "200,000 chunks"),
    "many pixel chunks": (lambda: made.png(made.chunk(b"IDAT", b"") * 200_000), "200,000 chunks"),
    "a packed text": (
        lambda: made.png(made.chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(9_000_000)))),
        "too large",
    ),
    "a packed profile": (
        lambda: made.png(made.chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(9_000_000)))),
        "too large",
    ),
    "a long GIF": (
        lambda: encoded(Image.new("L", (8, 8)), "GIF") + bytes(5_000_000),
        "more than a GIF of 8x8 needs",
    ),
    "many runs": (lambda: run_length_bmp(12_000_000), "run-length encoded BMP of 12,001,078 bytes"),
    "many values": (lambda: tiff_of_values(1_000_000), "more than 1,000,000 values"),
}
"""What would take long or much memory, and is refused by its header; reasons."""


@pytest.mark.parametrize("name", LARGE)
def test_what_would_cost_too_much_is_refused_by_its_header(name: str) -> None:
    make, reason = LARGE[name]
    data = make()
    for read in (upright_size, lambda data: decode_image(data, "x")):
        with pytest.raises(ImageError, match=reason):
            read(data)


def test_scans_are_counted_in_the_image_alone() -> None:
    restarts = encoded(Image.effect_noise((300, 200), 90), "JPEG", restart_marker_blocks=1)
    film = b"\xff\xda\0\2" * 100_000
    for data, n_passes in ((many_scans(5), 11), (made.jpeg(), 1), (restarts, 1), (made.jpeg() + film, 1)):
        assert read_header(data).n_passes == n_passes
        assert decode_image(data, "x").size == upright_size(data)


OTHER = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n",
    "PDF": encoded(Image.new("L", (8, 8)), "PDF"),
    **{
        name: encoded(Image.new("RGB", (8, 8)), name)
        for name in ("JPEG2000", "ICO", "PPM", "TGA", "PCX", "SGI")
    },
    "XBM": encoded(Image.new("1", (8, 8)), "XBM"),
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(40),
    "PSD": b"8BPS\0\1" + bytes(40),
    "MPEG": b"\0\0\1\xb3" + bytes(40),
    "FITS": b"SIMPLE  =                    T".ljust(2_880),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
}


@pytest.mark.parametrize("name", OTHER)
def test_formats_that_are_not_read_are_refused_before_a_program_is_asked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    ghostscript.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for read in (upright_size, lambda data: decode_image(data, "x")):
        with pytest.raises(ImageError, match="not an image of a format that is read: AVIF, BMP, GIF, JPEG, "):
            read(OTHER[name])
    assert not (tmp_path / "asked").exists()


BAD = {
    "empty": (b"", "empty"),
    "text": (b"this is not an image", "not an image"),
    "no pixels": (flat_png(0, 8), "not an image"),
    "no rows": (flat_png(8, 0), "not an image"),
    "as many pixels as a header can say": (
        encoded(Image.new("L", (8, 8)), "BMP").replace(struct.pack("<ii", 8, 8), b"\xff\xff\xff\x7f" * 2),
        "too large",
    ),
    "truncated jpeg": (encoded(Image.effect_noise((200, 200), 50), "JPEG")[:2000], "damaged"),
    "truncated png": (encoded(Image.effect_noise((200, 200), 50))[:3000], "damaged"),
    "animated": (
        encoded(Image.new("L", (8, 8)), "GIF", save_all=True, append_images=[Image.new("L", (8, 8), 255)]),
        "more than one frame",
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


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    "compression", ["jpeg", "packbits", "tiff_adobe_deflate", "tiff_lzw", "lzma", "zstd"]
)
def test_nothing_is_printed_about_damage(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    whole = encoded(made.quadrants(200, 100), "TIFF", compression=compression)
    for place in range(8, len(whole), max(1, len(whole) // 50)):
        with suppress(ImageError):
            decode_image(whole[:place] + b"\xff\x00" + whole[place + 2 :], "x.tif")
    with pytest.raises(ImageError):
        decode_image(
            whole.replace(struct.pack("<HHII", 277, 3, 1, 3), struct.pack("<HHII", 277, 3, 1, 65_535)), "x"
        )
    assert capfd.readouterr() == ("", "")


def test_a_damaged_avif_is_an_image_error() -> None:
    whole = encoded(FRAMES[0].convert("RGB"), "AVIF")
    for place in range(len(whole) - 1, 0, -max(1, len(whole) // 60)):
        with suppress(ImageError):
            decode_image(whole[:place] + b"\xff" + whole[place + 1 :], "x.avif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["AVIF", "JPEG", "PNG", "TIFF"])
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


def test_a_file_of_many_bytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(1 << 40)  # which takes no room on the disk
    with pytest.raises(ImageError, match="has 1,099,511,627,776 bytes, at most 256,000,000"):
        read_image(str(tmp_path / "a.png"))
