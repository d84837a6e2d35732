"""A folder of images, looked through with its subfolders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from detseg.errors import SourceError

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that is named like an image. Size and time tell whether it changed since it was read."""

    uri: str
    byte_size: int
    mtime_ns: int


def list_images(folder: Path) -> tuple[FoundFile, ...]:
    """The image files below a folder, sorted by path; hidden files and folders are left out.

    A single file is listed whatever its name. A link that leads nowhere is listed too, so that it is
    reported and not overlooked. Raises SourceError when there is no such folder or it cannot be read.
    """
    if folder.is_file():
        return (_found(folder),)
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}: give an existing one as --source, or in detseg.toml")
    found: list[FoundFile] = []
    for directory, subfolders, names in os.walk(folder, onerror=_raise):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            path = Path(directory, name)
            if not name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES and _is_candidate(path):
                found.append(_found(path))
    return tuple(sorted(found, key=lambda file: file.uri))


def _is_candidate(path: Path) -> bool:
    return path.is_file() or (path.is_symlink() and not path.exists())  # not a pipe, socket or device


def _found(path: Path) -> FoundFile:
    try:
        stat = path.stat()
    except OSError:  # a dead link: reading it says why
        return FoundFile(str(path.absolute()), -1, 0)
    return FoundFile(str(path.absolute()), stat.st_size, stat.st_mtime_ns)


def _raise(error: OSError) -> None:
    raise SourceError(f"the folder {error.filename} cannot be read: {error.strerror}") from error
