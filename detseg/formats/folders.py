"""Files in folders of datasets that others made: images, their sizes, texts, and numbers in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from detseg.errors import FormatError, ImageError
from detseg.files import is_below, open_regular
from detseg.images import DEFAULT_MAX_PIXELS, read_bytes, upright_size
from detseg.types import Size

SUFFIXES = frozenset(
    (".avif", ".bmp", ".dng", ".gif", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")
)

_FARTHEST = 1e12
"""Pixels: what is farther away is no place in an image, and would become infinite in sums."""

_MOST_AREA = 2**31
"""Pixels of masks have numbers of 32 bits."""


def images_below(folder: Path) -> Iterator[Path]:
    """The image files in a folder and those below it, sorted within each; links to folders stay out."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise FormatError(f"{folder} cannot be listed: {error.strerror}") from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from images_below(Path(entry.path))
        elif Path(entry.name).suffix.lower() in SUFFIXES and not entry.name.startswith("."):
            yield Path(entry.path)


def find_below(folder: Path, name: str) -> str:
    """The path of a file in a folder, by the name that a dataset has for it; empty for none.

    A name that leads out of the folder is none of it: who copies a stranger's dataset copies nothing else.
    """
    root = os.path.abspath(folder)
    path = os.path.normpath(os.path.join(root, name))
    return path if is_below(path, root) and os.path.isfile(path) else ""


def size_of(path: Path) -> Size:
    """The upright size of an image file. Raises FormatError where that cannot be read."""
    try:
        return upright_size(read_bytes(str(path)))
    except ImageError as error:
        raise FormatError(f"{path} {error}") from error


def named_size(width: int, height: int, where: str) -> Size:
    """The size that a file says an image has, whose shapes are not painted. Raises FormatError for one
    that no mask can have."""
    size = Size(width, height)
    if size.area >= _MOST_AREA:
        raise FormatError(
            f"{where}: an image has fewer than {_MOST_AREA:,} pixels: correct its width and height"
        )
    return size


def stated_size(width: int, height: int) -> Size:
    """The size that a file says an image has, whose polygons or masks are painted. Raises ValueError
    for none, and for one that is too large for that."""
    size = Size(width, height)
    if size.area > DEFAULT_MAX_PIXELS:
        raise ValueError(f"an image has at most {DEFAULT_MAX_PIXELS:,} pixels, not {size.area:,}")
    return size


def place_of(value: Any) -> float:
    """A coordinate that a file has. Raises ValueError for what is none."""
    try:
        place = float(value)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"a place in an image is a number, not {value!r:.60}") from error
    if not abs(place) < _FARTHEST:
        raise ValueError(f"a place in an image is a number of pixels, not {place}")
    return place


def parse_yaml(text: str, path: Path) -> Any:
    """The value of YAML in a file. Raises FormatError for what is none, or nests without end."""
    try:
        return yaml.safe_load(text)
    except RecursionError as error:
        raise FormatError(
            f"{path} is not YAML that is read: its lists and objects nest too deeply"
        ) from error
    except (yaml.YAMLError, ValueError) as error:  # the latter for the 99th month
        raise FormatError(f"{path} is not YAML: {' '.join(str(error).split()):.200}") from error


def read_text(path: Path) -> str:
    """The text of a file. Raises FormatError for what cannot be read or is not UTF-8."""
    try:
        with open_regular(path) as file:
            return file.read().decode("utf-8-sig")
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not text in UTF-8: write it anew") from error
