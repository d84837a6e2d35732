"""A dataset version as a folder in one of the field's formats, with its images, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from detseg.datasets.sample import decode_sample, image_bytes
from detseg.errors import DatasetError, ImageError
from detseg.files import replacing
from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Format, Loss, check_names
from detseg.images import image_id
from detseg.images.upright import upright_copy
from detseg.pipeline.datasets import open_store
from detseg.pipeline.formats import find_format
from detseg.pipeline.reading import open_sources
from detseg.plurals import format_count
from detseg.sources.registry import LOCAL, scheme_of

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.datasets.store import DatasetStore
    from detseg.datasets.version import Version
    from detseg.sources.registry import Sources
    from detseg.types import ImageId

ImageMode = Literal["copy", "link", "none"]

_UNSAFE = re.compile(r"[^\w.-]+")
_MOST_STEM = 80
_MOST_NAMED = 3
_DIGITS = 12
"""Of an image's hash in its file name: two images in 10^7 share them once in five."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """``images``: copied, linked to (local files) or left where they are. ``split``: of one side alone.
    ``strict``: refuse what the format cannot hold in full. ``skip_missing``: leave images out whose bytes
    cannot be read or are not what they were."""

    images: ImageMode = "copy"
    split: str | None = None
    strict: bool = False
    skip_missing: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """The outcome of an export. ``lost`` counts what the format cannot hold, ``missing`` names images left
    out."""

    images: int
    regions: int
    written: tuple[Path, ...]
    lost: Mapping[Loss, int]
    missing: tuple[str, ...] = ()
    turned: int = 0


def export_version(
    settings: Settings,
    name: str,
    format_name: str,
    out: Path,
    *,
    options: ExportOptions,
    warn: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write a version into a folder, which must not be there or be empty.

    ``warn`` is told in a line what will be lost, before anything is written. Whatever is raised, the folder
    is as it was. Raises DatasetError for a folder that holds something, with ``strict`` for anything that
    would be lost, and for images that cannot be read or have changed, unless they are to be skipped;
    ConfigError for a format that there is not.
    """
    chosen = find_format(format_name)
    source = _Source.of(settings, name, options.split)
    splits = Counter(source.splits.values())
    check_names(chosen, source.version.recipe.classes, splits)
    for note in chosen.notes(splits):
        warn(f"{format_name}: {note}")
    lost = _count_losses(chosen, source)
    if lost:
        line = f"{format_name} cannot hold all of {name}: {_describe_losses(lost)}"
        if options.strict:
            raise DatasetError(line)
        warn(line)
    with _new_folder(out) as folder, open_sources(settings) as sources:
        images = _Images(source, sources, folder, options.images)
        if chosen.image_path is not None and options.images != "none":
            for image in source.images():
                images.place(image, chosen.image_path(image))
        images.check(skip_missing=options.skip_missing)
        classes = source.version.recipe.classes
        contents = Contents(classes, images.there, images.read, images_inside=options.images == "copy")
        written = list(chosen.write(contents, folder))
        images.check(skip_missing=options.skip_missing)
        if options.images == "none":
            written.append(_write_manifest(source, folder / "manifest.jsonl"))
    return Exported(
        images.n_images,
        images.n_regions,
        tuple(out / path.relative_to(folder) for path in written),
        dict(lost),
        tuple(images.missing.values()),
        images.n_turned,
    )


def _count_losses(chosen: Format, source: _Source) -> Counter[Loss]:
    lost: Counter[Loss] = Counter()
    if chosen.losses is not None:
        for image in source.images():
            lost.update(chosen.losses(image))
    return lost


def _describe_losses(lost: Mapping[Loss, int]) -> str:
    """One line that says what is lost."""
    return ", ".join(f"{loss}: {n:,}" for loss, n in sorted(lost.items()) if n)


@dataclass(frozen=True, slots=True)
class _Source:
    """A version, or one side of it, as the images of a format."""

    store: DatasetStore
    version: Version
    splits: Mapping[bytes, str]

    @classmethod
    def of(cls, settings: Settings, name: str, split: str | None) -> _Source:
        store = open_store(settings)
        version = store.version(name)
        splits = {row.image: row.split for row in store.index(version) if split in (None, row.split)}
        if not splits:
            there = ", ".join(version.counts.splits) or "none"
            raise DatasetError(f"{version.name} has no split {split!r}; it has {there}")
        return cls(store, version, splits)

    def images(self) -> Iterator[ImageLabels]:
        for row in self.store.rows(self.version, self.splits):
            sample = decode_sample(row)
            yield ImageLabels(
                file_name(sample.image, sample.uri),
                sample.size,
                tuple(region.instance for region in sample.annotation().regions),
                split=self.splits[image_bytes(sample.image)],
                uri=sample.uri,
                image=sample.image,
            )


@dataclass
class _Images:
    """The images' files of an export. ``missing`` are those that cannot be had, with the reason.

    ``n_images`` and ``n_regions`` are those of the last time that ``there`` went through all.
    """

    source: _Source
    sources: Sources
    folder: Path
    mode: ImageMode
    missing: dict[str, str] = field(default_factory=dict)
    n_images: int = 0
    n_regions: int = 0
    n_turned: int = 0

    def there(self) -> Iterator[ImageLabels]:
        n_images = n_regions = 0
        for image in self.source.images():
            if image.name not in self.missing:
                yield image
            if image.name not in self.missing:
                n_images, n_regions = n_images + 1, n_regions + len(image.instances)
        self.n_images, self.n_regions = n_images, n_regions

    def place(self, image: ImageLabels, path: str) -> None:
        """Copy or link an image's file; what cannot be had becomes one of ``missing``."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        n_turned = self.n_turned
        data = self.read(image)
        if data is None:
            return
        if self.mode == "link" and self.n_turned == n_turned:
            target.symlink_to(_local_path(image.uri))
        else:
            with replacing(target, binary=True) as file:
                file.write(data)

    def read(self, image: ImageLabels) -> bytes | None:
        """The encoded bytes of an image, its pixels upright; None for what becomes one of ``missing``."""
        try:
            data = self._bytes(image)
            upright = upright_copy(data, image.uri)
        except ImageError as error:
            self.missing[image.name] = f"{image.uri or image.name} {error}"
            return None
        self.n_turned += upright is not None
        return data if upright is None else upright

    def check(self, *, skip_missing: bool) -> None:
        """Raises DatasetError for images that are missing, unless they are to be left out."""
        if self.missing and not skip_missing:
            raise DatasetError(_describe_missing(self.missing))

    def _bytes(self, image: ImageLabels) -> bytes:
        if not image.uri:
            raise ImageError("has no place any more where it can be read: list its source again")
        data = self.sources.read(image.uri)
        if image_id(data) != image.image:
            raise ImageError("has other bytes than the ones that were labeled")
        return data


def file_name(image: ImageId, uri: str) -> str:
    """The name of an image's file in a dataset: its own, and a part of its hash, so that none is there twice.

    >>> file_name(ImageId("sha256:0123456789abcdef"), "s3://bucket/day 1/IMG_7.JPG?versionId=3")
    'IMG_7-0123456789ab.jpg'
    """
    path = PurePosixPath(unquote(urlsplit(uri).path) if "://" in uri else uri)
    stem = _UNSAFE.sub("_", path.stem).strip("._-")[:_MOST_STEM] or "image"
    suffix = _UNSAFE.sub("", path.suffix.lower())
    return f"{stem}-{image.removeprefix('sha256:')[:_DIGITS]}{suffix}"


def _local_path(uri: str) -> Path:
    if scheme_of(uri) != LOCAL:
        raise DatasetError(f"{uri} is no file of this machine, so nothing can link to it: --images copy")
    return Path(uri.removeprefix("file://")).absolute()


def _describe_missing(missing: Mapping[str, str]) -> str:
    named = "; ".join(list(missing.values())[:_MOST_NAMED])
    more = f"; and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    return (
        f"{format_count(len(missing), 'image')} cannot be exported: {named}{more}: bring them back, or leave "
        "them out with --skip-missing"
    )


def _write_manifest(source: _Source, path: Path) -> Path:
    """Write where the images are that were not copied."""
    with replacing(path) as file:
        for image in source.images():
            entry = {"file_name": image.name, "id": image.image, "uri": image.uri}
            file.write(json.dumps(entry | ({"split": image.split} if image.split else {})) + "\n")
    return path


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes ``out`` at the end of the block, and is removed if the block raises."""
    out = Path(os.path.abspath(out))
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise DatasetError(f"{out} is there and not an empty folder: name another one with --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}-{secrets.token_hex(8)}.partial")
    beside.mkdir()
    try:
        yield beside
        beside.replace(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
