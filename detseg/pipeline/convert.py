"""A dataset of one format as another: file to file, without a project."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from detseg.errors import ConfigError, DatasetError, FormatError, ImageError
from detseg.formats import ImageLabels
from detseg.images import read_bytes
from detseg.pipeline.dataset_folders import Source, WriteOptions, Written, write_dataset
from detseg.pipeline.formats import find_format, readable_formats


@dataclass(frozen=True, slots=True)
class Converted:
    """``left_out`` counts what of the source is not in the new dataset."""

    written: Written
    left_out: Mapping[str, int]


def convert_dataset(
    path: Path,
    from_: str,
    to: str,
    out: Path,
    *,
    options: WriteOptions,
    warn: Callable[[str], None] = lambda _: None,
) -> Converted:
    """Write a folder or file of one format as a folder of another, as ``write_dataset`` does.

    The images are gone through several times, one by one. An image in a folder of its own gets that folder's
    name before its own. Raises FormatError for what cannot be read, ConfigError for a format that there is
    not, and what ``write_dataset`` raises.
    """
    read = find_format(from_).read
    if read is None:
        raise ConfigError(f"nothing here reads {from_}: convert from {', '.join(readable_formats())}")
    chosen = find_format(to)
    if not path.exists():
        raise FormatError(f"{path} does not exist: name a folder or file of {from_}")
    opened = read(path)
    if opened.read is not None and options.images == "link":
        raise DatasetError(
            f"the images of {path} are inside its files, so nothing can link to them: copy them"
        )

    def images() -> Iterator[ImageLabels]:
        return (replace(image, name=_flat_name(image.name, path)) for image in opened.images())

    source = Source(str(path), opened.classes, images, opened.read or _read)
    written = write_dataset(chosen, source, out, options=options, warn=warn)
    left_out = {what: n for what, n in sorted(opened.left_out.items()) if n}
    return Converted(written, left_out)


def _flat_name(name: str, path: Path) -> str:
    """The name of an image's file without folders.

    >>> _flat_name("day 1/a.jpg", Path("coco.json"))
    'day 1_a.jpg'
    """
    if "\0" in name:
        raise FormatError(f"{path}: no file can have the name of the image {name!r}: rename it there")
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or ".." in parts:
        raise FormatError(f"{path}: the name of the image {name!r} leads out of its folder")
    return "_".join(part for part in parts if part != "/")


def _read(image: ImageLabels) -> bytes:
    if not image.uri:
        raise ImageError("is not beside the labels: put it there, or leave images out with --images none")
    return read_bytes(image.uri)
