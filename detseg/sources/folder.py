"""A folder of images, looked through with its subfolders."""

from __future__ import annotations

import os
from pathlib import Path

from detseg.errors import SourceError
from detseg.types import FileStamp

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)


def list_images(folder: Path) -> tuple[FileStamp, ...]:
    """The image files below a folder, sorted by path; hidden files and folders are left out.

    A single file is listed whatever its name. A link that leads nowhere is listed too, so that it is
    reported and not overlooked. Raises SourceError when there is no such folder or it cannot be read.
    """
    if folder.is_file():
        return (_stamp(folder),)
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}: give an existing one as --source, or in detseg.toml")
    found: list[FileStamp] = []
    for directory, subfolders, names in os.walk(folder, onerror=_raise):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            path = Path(directory, name)
            if not name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES and _is_candidate(path):
                found.append(_stamp(path))
    return tuple(sorted(found, key=lambda file: file.uri))


def _is_candidate(path: Path) -> bool:
    return path.is_file() or (path.is_symlink() and not path.exists())  # not a pipe, socket or device


def _stamp(path: Path) -> FileStamp:
    try:
        stat = path.stat()
    except OSError:  # a dead link: reading it says why
        return FileStamp(str(path.absolute()), -1, 0)
    return FileStamp(str(path.absolute()), stat.st_size, stat.st_mtime_ns)


def _raise(error: OSError) -> None:
    raise SourceError(f"the folder {error.filename} cannot be read: {error.strerror}") from error
