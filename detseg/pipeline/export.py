"""A dataset version as a folder in one of the field's formats, with its images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from detseg.datasets.sample import decode_sample, image_bytes
from detseg.datasets.store import DatasetStore
from detseg.errors import DatasetError
from detseg.formats import ImageLabels
from detseg.pipeline.dataset_folders import Source, WriteOptions, Written, write_dataset
from detseg.pipeline.datasets import describe_taxonomy
from detseg.pipeline.formats import find_format
from detseg.pipeline.reading import open_sources, read_labeled
from detseg.types import ImageId

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.datasets.version import Version

_UNSAFE = re.compile(r"[^\w.-]+")
_MOST_STEM = 80
_DIGITS = 12
"""Of an image's hash in its file name: two images in 10^7 share them once in five."""


def export_version(
    settings: Settings,
    name: str,
    format_name: str,
    out: Path,
    *,
    split: str | None = None,
    options: WriteOptions,
    warn: Callable[[str], None] = lambda _: None,
) -> Written:
    """Write a version, or one side of it, into a folder, as ``write_dataset`` does.

    Raises DatasetError for a version or split that there is not, and what ``write_dataset`` raises;
    ConfigError for a format that there is not.
    """
    chosen = find_format(format_name)
    version = _VersionImages.of(DatasetStore(settings.datasets_location), name, split)
    if other := describe_taxonomy(version.version, settings.changes):
        warn(other)
    with open_sources(settings) as sources:
        source = Source(
            name,
            version.version.recipe.classes,
            version.images,
            lambda image: read_labeled(sources, image.uri, image.image),
            Counter(version.splits.values()),
        )
        return write_dataset(chosen, source, out, options=options, warn=warn)


@dataclass(frozen=True, slots=True)
class _VersionImages:
    """A version, or one side of it, as the images of a format."""

    store: DatasetStore
    version: Version
    splits: Mapping[bytes, str]

    @classmethod
    def of(cls, store: DatasetStore, name: str, split: str | None) -> _VersionImages:
        version = store.version(name)
        splits = {image: side for image, side in store.splits(version).items() if split in (None, side)}
        if not splits:
            raise DatasetError(f"{version.name} has no split {split!r}; it has {version.counts.split_names}")
        return cls(store, version, splits)

    def images(self) -> Iterator[ImageLabels]:
        names = {one.name for one in self.version.recipe.classes}
        for row in self.store.rows(self.version, self.splits):
            sample = decode_sample(row)
            instances = tuple(region.instance for region in sample.annotation().regions)
            if unknown := {one.label for one in instances} - names:
                raise DatasetError(
                    f"{self.version.name} has no class {min(unknown)!r}, which {sample.uri} has: restore it "
                    "from a copy"
                )
            yield ImageLabels(
                file_name(sample.image, sample.uri),
                sample.size,
                instances,
                split=self.splits[image_bytes(sample.image)],
                uri=sample.uri,
                image=sample.image,
            )


def file_name(image: ImageId, uri: str) -> str:
    """The name of an image's file in a dataset: its own, and a part of its hash, so that none is there twice.

    >>> file_name(ImageId("sha256:0123456789abcdef"), "s3://bucket/day 1/IMG_7.JPG?versionId=3")
    'IMG_7-0123456789ab.jpg'
    """
    path = PurePosixPath(unquote(urlsplit(uri).path) if "://" in uri else uri)
    stem = _UNSAFE.sub("_", path.stem).strip("._-")[:_MOST_STEM] or "image"
    suffix = _UNSAFE.sub("", path.suffix.lower())
    return f"{stem}-{image.removeprefix('sha256:')[:_DIGITS]}{suffix}"
