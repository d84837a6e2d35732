"""How images are held and how large they are: what we read is what the real Chromium shows."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page

from detseg.errors import ImageError
from detseg.images import BROWSER_FORMATS, decode_image, upright_size
from detseg.types import Size
from tests.e2e.page import browser
from tests.images.oriented import oriented_files, resized_files

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings(
        "ignore::UserWarning:PIL"
    ),  # of damage that it reads past, as detseg ignores it
]

_COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
_LOOK = """async files => Promise.all(files.map(async ([type, data]) => {
    const image = new Image()
    image.src = `data:image/${type};base64,${data}`
    await image.decode()
    const [width, height] = [image.naturalWidth, image.naturalHeight]
    const canvas = Object.assign(document.createElement("canvas"), {width, height})
    const context = canvas.getContext("2d")
    context.drawImage(image, 0, 0)
    const at = (x, y) => Array.from(context.getImageData(x * width, y * height, 1, 1).data.slice(0, 3))
    return [width, height, at(.25, .25), at(.75, .25), at(.25, .75), at(.75, .75)]
}))"""


@dataclass(frozen=True)
class Shown:
    """The size of an image, and its quarters' colours: top left, top right, bottom left, bottom right."""

    size: Size
    colours: tuple[str, ...]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as tabs:
        yield tabs.new_page()


def in_chromium(page: Page, files: Mapping[str, bytes]) -> dict[str, Shown]:
    """What an image element shows of each file."""
    sent = [[name.partition(",")[0], base64.b64encode(data).decode()] for name, data in files.items()]
    seen = page.evaluate(_LOOK, sent)
    return {
        name: Shown(Size(width, height), tuple(nearest(colour) for colour in colours))
        for name, (width, height, *colours) in zip(files, seen, strict=True)
    }


def read(data: bytes) -> Shown:
    """What we read of a file, by its pixels; its header says the same size."""
    image = decode_image(data, "x", formats=BROWSER_FORMATS)
    assert upright_size(data) == image.size
    height, width, _ = image.rgb.shape
    assert Size(width, height) == image.size
    places = ((1, 1), (1, 3), (3, 1), (3, 3))
    return Shown(image.size, tuple(nearest(image.rgb[height * y // 4, width * x // 4]) for y, x in places))


def nearest(colour: list[int]) -> str:
    """The name of the colour that one is nearest to; JPEG changes it a little."""
    return min(
        _COLOURS, key=lambda name: sum(abs(int(a) - b) for a, b in zip(colour, _COLOURS[name], strict=True))
    )


def test_files_are_held_as_chromium_holds_them(page: Page) -> None:
    files = oriented_files()
    assert len(files) >= 60
    ours, theirs = {name: read(data) for name, data in files.items()}, in_chromium(page, files)
    assert {name: (ours[name], theirs[name]) for name in files if ours[name] != theirs[name]} == {}
    assert len({theirs[f"jpeg, {n}"] for n in range(1, 9)}) == 8, "the eight ways look alike"


def test_files_that_chromium_shows_at_another_size_are_refused(page: Page) -> None:
    files = resized_files()
    assert all(shown.size not in (Size(64, 32), Size(32, 64)) for shown in in_chromium(page, files).values())
    for data in files.values():
        for read_it in (lambda: decode_image(data, "x"), lambda: upright_size(data)):  # noqa: B023
            with pytest.raises(ImageError, match=r"browsers show|show a part"):
                read_it()
