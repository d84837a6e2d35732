"""A dataset written as a folder in one of the field's formats, with its images, whole or not at all."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from detseg.errors import DatasetError, ImageError
from detseg.files import replacing, replacing_folder
from detseg.formats import ImageLabels
from detseg.formats.dataset import (
    Contents,
    Format,
    Loss,
    check_names,
    check_new,
    count_left_out,
    describe_splits,
)
from detseg.images.decoding import upright_copy
from detseg.plurals import format_count
from detseg.sources.registry import LOCAL, scheme_of
from detseg.taxonomy import LabelClass

ImageMode = Literal["copy", "link", "none"]

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """``images``: copied, linked to (local files) or left where they are. ``strict``: refuse what the format
    cannot hold in full. ``skip_missing``: leave images out whose bytes cannot be read or are not what they
    were."""

    images: ImageMode = "copy"
    strict: bool = False
    skip_missing: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What was written. ``regions`` are those that are in the files, ``lost`` counts what the format cannot
    hold, ``missing`` names images left out."""

    images: int
    regions: int
    written: tuple[Path, ...]
    lost: Mapping[Loss, int]
    missing: tuple[str, ...] = ()
    turned: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset to be written: what messages call it, its classes, and its images, anew at each call.

    ``read`` gives the bytes of an image, or raises ImageError. ``splits`` has how many images are in each;
    None where that is counted.
    """

    name: str
    classes: Sequence[LabelClass]
    images: Callable[[], Iterable[ImageLabels]]
    read: Callable[[ImageLabels], bytes]
    splits: Mapping[str, int] | None = None


def write_dataset(
    chosen: Format, source: Source, out: Path, *, options: WriteOptions, warn: Callable[[str], None]
) -> Written:
    """Write a dataset into a folder, which must not be there or be empty.

    ``warn`` is told in a line what will be lost, before anything is written. Whatever is raised, the folder
    is as it was. Raises DatasetError for a folder that holds something, with ``strict`` for anything that
    would be lost, and for images that cannot be read or have changed, unless they are to be skipped.
    """
    splits, lost = _count(chosen, source)
    check_names(chosen, source.classes, splits)
    for note in describe_splits(chosen, splits):
        warn(f"{chosen.name}: {note}")
    if options.images == "none" and chosen.without_images:
        warn(f"{chosen.name}: {chosen.without_images}")
    if lost:
        line = f"{chosen.name} cannot hold all of {source.name}: {_describe_losses(lost)}"
        if options.strict:
            raise DatasetError(line)
        warn(line)
    with _new_folder(out) as folder:
        images = _Images(source, folder, options.images)
        if chosen.image_path is not None and options.images != "none":
            for image in source.images():
                images.place(image, chosen.image_path(image))
        images.check(skip_missing=options.skip_missing)
        inside = options.images == "copy"
        contents = Contents(tuple(source.classes), images.there, images.read, images_inside=inside)
        with images.listed(folder / "manifest.jsonl") if options.images == "none" else nullcontext():
            written = list(chosen.write(contents, folder))
        images.check(skip_missing=options.skip_missing)
        if options.images == "none":
            written.append(folder / "manifest.jsonl")
    return Written(
        images.n_images,
        images.n_regions - count_left_out(lost) + images.count_missing_left_out(chosen),
        tuple(out / path.relative_to(folder) for path in written),
        dict(lost),
        tuple(images.missing.values()),
        images.n_turned,
    )


def _count(chosen: Format, source: Source) -> tuple[Mapping[str, int], Counter[Loss]]:
    """Images by split, and what will be lost; one pass over the images, if any."""
    splits: Counter[str] = Counter()
    lost: Counter[Loss] = Counter()
    if source.splits is None or chosen.losses is not None:
        for image in source.images():
            splits[image.split] += 1
            if chosen.losses is not None:
                lost.update(chosen.losses(image))
    return splits if source.splits is None else source.splits, lost


def _describe_losses(lost: Mapping[Loss, int]) -> str:
    """One line that says what is lost."""
    return ", ".join(f"{loss}: {n:,}" for loss, n in sorted(lost.items()) if n)


@dataclass
class _Images:
    """The images' files of a dataset. ``missing`` are those that cannot be had, with the reason.

    ``n_images`` and ``n_regions`` are those of the last time that ``there`` went through all.
    """

    source: Source
    folder: Path
    mode: ImageMode
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    n_images: int = 0
    n_regions: int = 0
    n_turned: int = 0
    manifest: IO[str] | None = None

    @contextmanager
    def listed(self, path: Path) -> Iterator[None]:
        """In here, the first time through all images writes where they are, as they are not copied."""
        with replacing(path) as self.manifest:
            yield

    def there(self) -> Iterator[ImageLabels]:
        n_images = n_regions = 0
        manifest, self.manifest = self.manifest, None
        for image in self.source.images():
            if manifest is not None:
                manifest.write(_manifest_line(image))
            if (image.split, image.name) not in self.missing:
                yield image
            if (image.split, image.name) not in self.missing:
                n_images, n_regions = n_images + 1, n_regions + len(image.instances)
        self.n_images, self.n_regions = n_images, n_regions

    def place(self, image: ImageLabels, path: str) -> None:
        """Copy or link an image's file; what cannot be had becomes one of ``missing``."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        check_new(target)
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
            data = self.source.read(image)
            upright = upright_copy(data, image.uri)
        except ImageError as error:
            self.missing[image.split, image.name] = f"{image.uri or image.name} {error}"
            return None
        self.n_turned += upright is not None
        return data if upright is None else upright

    def count_missing_left_out(self, chosen: Format) -> int:
        """The regions of missing images that the format would have left out anyway."""
        if not self.missing or chosen.losses is None:
            return 0
        gone = (one for one in self.source.images() if (one.split, one.name) in self.missing)
        return sum(count_left_out(chosen.losses(image)) for image in gone)

    def check(self, *, skip_missing: bool) -> None:
        """Raises DatasetError for images that are missing, unless they are to be left out."""
        if self.missing and not skip_missing:
            raise DatasetError(_describe_missing(self.missing))


def _local_path(uri: str) -> Path:
    if scheme_of(uri) != LOCAL:
        raise DatasetError(f"{uri} is no file of this machine, so nothing can link to it: --images copy")
    return Path(uri.removeprefix("file://")).absolute()


def _describe_missing(missing: Mapping[tuple[str, str], str]) -> str:
    named = "; ".join(list(missing.values())[:_MOST_NAMED])
    more = f"; and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    return (
        f"{format_count(len(missing), 'image')} cannot be exported: {named}{more}: bring them back, or leave "
        "them out with --skip-missing"
    )


def _manifest_line(image: ImageLabels) -> str:
    entry = {"file_name": image.name, "id": image.image, "uri": image.uri}
    return json.dumps(entry | ({"split": image.split} if image.split else {})) + "\n"


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes ``out`` at the end of the block, and is removed if the block raises.

    Raises DatasetError where something is or nothing can be written.
    """
    out = Path(os.path.abspath(out))
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise DatasetError(f"{out} is there and not an empty folder: name another one with --out")
    try:
        with replacing_folder(out) as folder:
            yield folder
    except OSError as error:
        raise DatasetError(
            f"{out} cannot be written: {error.strerror or error}: make room, also for temporary files, or "
            "name another place with --out"
        ) from error
