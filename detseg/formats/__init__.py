"""Files of labels: a module for each format, between what it holds and our own nouns."""

from __future__ import annotations

from dataclasses import dataclass

from detseg.types import ImageId, Instance, Size


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """The labels of one image in a file; without instances, nothing is there.

    ``name`` is the file's word for the image: a file name, path or address. ``split`` is its side (train,
    val), empty where there is none. Where they are known, ``uri`` is where the bytes are, and ``image`` which
    image it is.
    """

    name: str
    size: Size
    instances: tuple[Instance, ...] = ()
    split: str = ""
    uri: str = ""
    image: ImageId | None = None
