"""The protocol of every place that images come from, and the limits of reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from detseg.images import DEFAULT_MAX_PIXELS
from detseg.types import Entry, Failure

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)

Listed = Entry | Failure
"""An image of a listing, or why something that stands there cannot be one."""


class Store(Protocol):
    """The images of one scheme of addresses. Safe to use from several threads."""

    def entries(self, location: str) -> Iterator[Listed]:
        """The images at a location and below, in the order of their addresses, as they are come by.

        Raises SourceError when nothing is there or it cannot be listed.
        """

    def read(self, uri: str) -> bytes:
        """The encoded bytes of one image. Raises ImageError when it cannot be read or is too large."""

    def close(self) -> None:
        """Ends the connections that it keeps."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of reading: what it may cost and where it may lead.

    ``allow_private`` lets URLs lead to private addresses. Nothing is listed or read below ``closed`` folders
    (real paths): they are detseg's own. ``max_pixels`` is for those who decode what was read.
    """

    max_bytes: int = 256_000_000
    allow_private: bool = False
    closed: tuple[str, ...] = ()
    max_pixels: int = DEFAULT_MAX_PIXELS


DEFAULT_LIMITS = Limits()


def is_image_name(name: str) -> bool:
    """Tell by its name whether a file or an object is an image; hidden ones are not.

    >>> is_image_name("a.JPG"), is_image_name(".a.jpg"), is_image_name("a.txt")
    (True, False, False)
    """
    dot = name.rfind(".")
    return dot > 0 and name[dot:].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def too_large(n_bytes: int, limits: Limits) -> str:
    """The reason why so many bytes are not read."""
    return f"has {n_bytes:,} bytes, source.max_image_bytes allows {limits.max_bytes:,}"
