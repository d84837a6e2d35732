"""Close-ups: the part of an image around a label under suspicion."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from PIL import Image

from detseg.errors import ImageError
from detseg.metrics.suspects.findings import Suspect
from detseg.report.data import Images
from detseg.report.drawing import draw_box, parse_colour
from detseg.report.encoding import data_uri, jpeg_bytes
from detseg.report.gallery import image_name, read_as_predicted
from detseg.report.views import Picture
from detseg.types import Box, DecodedImage, Size

_SIDE, _QUALITY = 240, 70
_LEAST_PX = 96
"""At least so much of the image is shown, so that people see what it is part of."""
_LEAST_MARK = 40
"""Pixels of the picture, so that a mark goes around what is small and does not lie on it."""
_MARK = parse_colour("#d55e00")


def close_ups(suspects: Sequence[Suspect], images: Images) -> dict[int, Picture]:
    """The picture of each suspect, by its place in the list; those that cannot be read have none.

    Every image is read once.
    """
    cases = images.cases(tuple(dict.fromkeys(suspect.image for suspect in suspects)))
    order = sorted(range(len(suspects)), key=lambda i: (suspects[i].image, i))
    pictures: dict[int, Picture] = {}
    for image_id, places in groupby(order, key=lambda i: suspects[i].image):
        if image_id not in cases:
            continue
        try:
            image = read_as_predicted(cases[image_id], images.read)
        except ImageError:
            continue
        name = image_name(cases[image_id].uri)
        pictures |= {i: _close_up(image, suspects[i], name=name) for i in places}
    return pictures


def _close_up(image: DecodedImage, suspect: Suspect, *, name: str) -> Picture:
    window = _window(suspect.box, image.size)
    left, top, right, bottom = window
    part = Image.fromarray(image.rgb[top:bottom, left:right])
    scale = min(_SIDE / part.width, _SIDE / part.height)
    width, height = max(1, round(part.width * scale)), max(1, round(part.height * scale))
    picture = part.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if suspect.box is not None:
        x0, x1 = _marked(suspect.box.x0 - left, suspect.box.x1 - left, scale, length=width)
        y0, y1 = _marked(suspect.box.y0 - top, suspect.box.y1 - top, scale, length=height)
        draw_box(picture, (x0, y0, x1, y1), _MARK, line=3)
    what = f"the {suspect.label} under suspicion" if suspect.label else "the image under suspicion"
    return Picture(
        "", data_uri(jpeg_bytes(picture, quality=_QUALITY)), width, height, f"{what} in {name}", ""
    )


def _marked(low: float, high: float, scale: float, *, length: int) -> tuple[int, int]:
    """Return where a side of the mark begins and ends: as the box, or around it where the box is small."""
    wide = max(_LEAST_MARK, (high - low) * scale)
    middle = (low + high) / 2 * scale
    start = min(max(0, round(middle - wide / 2)), length - 1)
    return start, min(length, max(start + 1, round(middle + wide / 2)))


def _window(box: Box | None, size: Size) -> tuple[int, int, int, int]:
    """The square part of the image around a box, as far as the image goes; all of it without a box."""
    if box is None:
        return 0, 0, size.width, size.height
    wide = max(1.5 * (box.x1 - box.x0), 1.5 * (box.y1 - box.y0), _LEAST_PX)
    x0, x1 = _side(box.x0, box.x1, wide, length=size.width)
    y0, y1 = _side(box.y0, box.y1, wide, length=size.height)
    return x0, y0, x1, y1


def _side(low: float, high: float, wide: float, *, length: int) -> tuple[int, int]:
    middle = min(max((low + high) / 2, 0.0), float(length))
    start = int(max(0.0, min(middle - wide / 2, length - wide)))
    return min(start, length - 1), min(length, max(start + 1, round(start + wide)))
