"""Files of labels: a module for each format, between what it holds and our own nouns."""

from __future__ import annotations

from dataclasses import dataclass

from detseg.types import Instance, Size


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """What a file says about one image; ``name`` is the file's word for it: a file name, path or address."""

    name: str
    size: Size
    instances: tuple[Instance, ...] = ()
