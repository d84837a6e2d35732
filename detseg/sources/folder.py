"""Folders of this machine, looked through with their subfolders."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from detseg.errors import ImageError, SourceError
from detseg.files import is_below, open_regular
from detseg.sources.protocol import DEFAULT_LIMITS, Limits, Listed, is_image_name, too_large
from detseg.types import Entry, Failure


@dataclass(frozen=True, slots=True)
class Folders:
    """Local files by their absolute paths.

    Hidden files and folders are left out, and so are closed ones. A link to a file inside the location is
    that file under another name; what links lead to outside of it is not read, and a link to a folder inside
    is no second folder.
    """

    limits: Limits = DEFAULT_LIMITS

    def entries(self, location: str) -> Iterator[Listed]:
        """The image files below a folder; a single file is listed whatever its name."""
        path = Path(location).absolute()
        if self._is_closed(str(path)):
            raise SourceError(f"{path} is {_CLOSED}: give another folder as --source, or in detseg.toml")
        if path.is_file():
            return iter((stat_entry(str(path)),))
        if not path.is_dir():
            raise SourceError(
                f"there is no folder {path}: give an existing one as --source, or in detseg.toml"
            )
        return self._walk(_scan(str(path)), os.path.realpath(path))

    def read(self, uri: str) -> bytes:
        """The bytes of a file."""
        if self._is_closed(uri):
            raise ImageError(f"is {_CLOSED}, of which nothing is read")
        try:
            with open_regular(uri) as file:
                n_bytes = os.fstat(file.fileno()).st_size
                if n_bytes > self.limits.max_bytes:
                    raise ImageError(too_large(n_bytes, self.limits))
                data = file.read(n_bytes + 1)
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}") from error
        if len(data) > n_bytes:  # or it is one of /proc, whose sizes are 0 and which may never end
            raise ImageError("grew while it was being read: run again")
        return data

    def close(self) -> None:
        """Nothing is kept open."""

    def _is_closed(self, path: str) -> bool:
        real = os.path.realpath(path)
        return any(is_inside(real, folder) for folder in self.limits.closed)

    def _walk(self, found: list[tuple[str, os.DirEntry[str]]], root: str) -> Iterator[Listed]:
        for name, one in found:
            if name.endswith("/"):
                if self._is_closed(one.path):
                    continue
                try:
                    below = _scan(one.path)
                except SourceError as error:
                    yield Failure(one.path, str(error.__cause__))
                    continue
                yield from self._walk(below, root)
            elif one.is_symlink():
                yield from _link(one, root)
            elif is_image_name(name) and one.is_file(follow_symlinks=False):  # not a pipe, socket or device
                yield stat_entry(one.path)


_CLOSED = "in a folder of detseg's own"


def stat_entry(path: str) -> Listed:
    """A file by its absolute path, or why it cannot be one of the images."""
    if not path.isprintable() and _is_broken(path):
        shown = path.encode("utf-8", "backslashreplace").decode("utf-8")
        return Failure(shown, "has a name that is not UTF-8: rename it")
    try:
        found = os.stat(path)
    except OSError as error:
        return Failure(path, f"cannot be read: {error.strerror or error}")
    if not stat.S_ISREG(found.st_mode):
        return Failure(path, "is no file, but a folder, pipe, socket or device")
    return Entry(path, found.st_size, str(found.st_mtime_ns))


def _scan(folder: str) -> list[tuple[str, os.DirEntry[str]]]:
    """List a folder, sorted so that its whole tree comes out in the order of the paths."""
    try:
        with os.scandir(folder) as found:
            visible = [one for one in found if not one.name.startswith(".")]
    except OSError as error:
        raise SourceError(f"the folder {folder} cannot be read: {error.strerror}") from error
    return sorted(
        ((one.name + "/" * one.is_dir(follow_symlinks=False), one) for one in visible), key=lambda one: one[0]
    )


def _link(one: os.DirEntry[str], root: str) -> Iterator[Listed]:
    target = os.path.realpath(one.path)
    inside = is_inside(target, root)
    if os.path.isdir(target):
        if not inside:
            yield Failure(one.path, _outside(target))
    elif is_image_name(one.name):
        if not os.path.exists(target):
            yield Failure(one.path, f"is a link to {target}, which is not there")
        elif not inside:
            yield Failure(one.path, _outside(target))
        elif os.path.isfile(target):
            yield stat_entry(one.path)


def is_inside(path: str, folder: str) -> bool:
    """Tell whether a path is a folder or lies in it; both without links."""
    return path == folder or is_below(path, folder)


def _outside(target: str) -> str:
    return f"is a link to {target}, outside of the source: copy it in, or make that a source of its own"


def _is_broken(path: str) -> bool:
    """Look for bytes in a path that are no text, which neither the catalog nor a URL can hold."""
    return any("\udc80" <= character <= "\udcff" for character in path)
