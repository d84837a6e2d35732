"""What every format reads and writes: images with what is on them, and the classes that they use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detseg.formats import ImageLabels
from detseg.taxonomy import LabelClass

Loss = Literal[
    "masks left out",
    "regions without a box left out",
    "regions without a mask left out",
    "holes filled",
    "masks in several pieces",
    "boxes moved to whole pixels",
    "overlapping pixels",
    "images without a split",
]
"""What a format cannot hold; a count of regions, of pixels or of images goes with it."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A dataset to be written.

    ``images`` goes through its images, anew each time it is called; ``read`` gives the encoded bytes of one.
    """

    classes: tuple[LabelClass, ...]
    images: Callable[[], Iterable[ImageLabels]]
    read: Callable[[ImageLabels], bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a dataset into a folder.

    ``image_path`` is where an image's file is to be, relative to the folder; None where ``write`` holds the
    images itself. ``losses`` counts what the format cannot hold of an image; None where it holds everything.
    ``write`` gets a folder that is there and empty but for the images; it answers the files that it wrote.
    """

    name: str
    image_path: Callable[[ImageLabels], str] | None
    losses: Callable[[ImageLabels], Mapping[Loss, int]] | None
    write: Callable[[Contents, Path], tuple[Path, ...]]
