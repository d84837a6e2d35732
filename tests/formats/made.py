"""Made datasets: holes, several pieces, touching borders, boxes alone, stuff, empty images, odd names."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from detseg.formats import ImageLabels
from detseg.geometry.masks import bitmap_to_mask
from detseg.taxonomy import LabelClass
from detseg.types import Box, Instance, Kind, Mask, Size

CLASSES = (
    LabelClass("bolt"),
    LabelClass("Mutter, groß"),
    LabelClass("belt", "stuff"),
    LabelClass("never there"),
)
KINDS: dict[str, Kind] = {cls.name: cls.kind for cls in CLASSES}
SPLITS = ("", "train", "val")


def make_mask(size: Size, seed: int) -> Mask:
    """One of: noise with many holes and pieces, a ring, a rectangle up to the borders, one pixel."""
    rng = np.random.default_rng(seed)
    bitmap = np.zeros((size.height, size.width), dtype=bool)
    rows, columns = np.mgrid[: size.height, : size.width]
    if seed % 4 == 0:
        bitmap = rng.random(bitmap.shape) < 0.4
    elif seed % 4 == 1:
        distance = np.hypot(columns - size.width / 2, rows - size.height / 2) / min(size.width, size.height)
        bitmap = (distance < 0.45) & (distance > 0.2)
    elif seed % 4 == 2:
        bitmap[rng.integers(size.height) :, : rng.integers(1, size.width + 1)] = True
    bitmap[rng.integers(size.height), rng.integers(size.width)] = True
    return bitmap_to_mask(bitmap)


@st.composite
def instances(draw: st.DrawFn, size: Size) -> Instance:
    label = draw(st.sampled_from(CLASSES[:3])).name
    seed = draw(st.integers(0, 10_000))
    if KINDS[label] == "stuff":
        return Instance(label, "stuff", mask=make_mask(size, seed))
    x0, y0 = draw(st.floats(0, size.width - 2)), draw(st.floats(0, size.height - 2))
    box = Box(x0, y0, draw(st.floats(x0 + 1, size.width)), draw(st.floats(y0 + 1, size.height)))
    shape = draw(st.sampled_from(("box", "mask", "both")))
    return Instance(
        label, "thing", None if shape == "mask" else box, None if shape == "box" else make_mask(size, seed)
    )


@st.composite
def datasets(draw: st.DrawFn) -> list[ImageLabels]:
    """Up to six images in the order of their ids; some have no region."""
    images = []
    for number in range(draw(st.integers(1, 6))):
        size = Size(draw(st.integers(3, 40)), draw(st.integers(3, 40)))
        found = draw(st.lists(instances(size), max_size=5))
        split = draw(st.sampled_from(SPLITS))
        images.append(ImageLabels(f"größe {number}.png", size, tuple(found), split))
    return images


def make_images(n_images: int, seed: int) -> list[ImageLabels]:
    """So many images, the same ones for a seed; every seventh is empty."""
    return [_make_image(number, np.random.default_rng((seed, number))) for number in range(n_images)]


def _make_image(number: int, rng: np.random.Generator) -> ImageLabels:
    size = Size(int(rng.integers(3, 90)), int(rng.integers(3, 90)))
    n_instances = int(rng.integers(1, 9)) if number % 7 else 0
    found = tuple(_make_instance(size, rng) for _ in range(n_instances))
    return ImageLabels(f"größe 图 {number}.png", size, found, SPLITS[number % len(SPLITS)])


def _make_instance(size: Size, rng: np.random.Generator) -> Instance:
    cls = CLASSES[rng.integers(3)]
    mask = make_mask(size, int(rng.integers(1 << 30)))
    if cls.kind == "stuff":
        return Instance(cls.name, "stuff", mask=mask)
    x, y = (np.sort(rng.uniform(0, side - 1, 2)) for side in (size.width, size.height))
    box = Box(*(float(edge) for edge in (x[0], y[0], x[1] + 1, y[1] + 1)))
    shape = rng.integers(3)
    return Instance(cls.name, "thing", None if shape == 0 else box, None if shape == 1 else mask)
