"""The folder that Label Studio's local files are served from: the images of tasks, and nothing else.

Label Studio hands out everything below a local storage's folder to everybody who can sign in, and everybody
who can sign in may add such storages anywhere below its document root. So neither is ever a folder of the
user's: images that were scanned are placed in a folder of our own, each under a name made of its id.

A file is a hard link where it can be one, which costs no room, and a copy elsewhere (another disk). What is
placed was read and has the bytes of its id. A source file that is replaced later (renamed over) changes
nothing here; one that is overwritten in its place changes here too, even if it was moved or is deleted
afterwards, and ``withdraw`` takes it out. To find those without reading all, a file's size and time of change
are compared with what the source's listing said, and files that are ours alone carry a time of our own.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from detseg.errors import ImageError, LabelStudioError
from detseg.files import open_regular, replacing
from detseg.images import image_format, image_id
from detseg.labelstudio.client import LOCAL_FILES
from detseg.types import Entry, ImageId, ImageRef

FOLDER = "detseg-images"
"""Below the document root, which Label Studio refuses to serve itself."""

SUFFIXES = {
    "AVIF": ".avif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
}
"""By Pillow's name of the format; servers tell browsers the type of an image by its name."""


@dataclass(slots=True)
class ServedFolder:
    """The images below a document root. Remembers what is there, once it was looked for."""

    document_root: Path
    _names: dict[ImageId, str] | None = field(default=None, repr=False)

    @property
    def path(self) -> Path:
        return self.document_root / FOLDER

    def make(self) -> None:
        """Makes the folder. Raises LabelStudioError if it cannot be made or written to."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._failed(error) from error

    def place(self, ref: ImageRef) -> None:
        """Makes a local image one of those that are served. Doing it again changes nothing.

        Raises ImageError for a file that is not what was predicted any more, LabelStudioError where the
        folder cannot be written to.
        """
        names = self._listed()
        if self.holds(ref.id):
            return
        try:
            with open_regular(ref.uri) as file:
                read, data = os.fstat(file.fileno()), file.read()
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}") from error
        if image_id(data) != ref.id:
            raise ImageError("changed since it was predicted: run again")
        name = ref.id.removeprefix("sha256:") + SUFFIXES[image_format(data)]
        try:
            self._put(name, data, Path(ref.uri), read)
        except OSError as error:
            raise self._failed(error) from error
        names[ref.id] = name

    def url(self, image: ImageId) -> str | None:
        """Return what a task's data holds for an image that is served, relative to the server; None for
        others."""
        name = self._listed().get(image)
        return None if name is None else f"{LOCAL_FILES}{FOLDER}/{name}"

    def images(self) -> tuple[ImageId, ...]:
        """Those that are here, sorted."""
        return tuple(sorted(self._listed()))

    def holds(self, image: ImageId, listed: Iterable[Entry] = ()) -> bool:
        """Check that what is served for an image is still the image.

        A file with the size and time of change of one of its ``listed`` entries is not read.
        """
        name = self._listed().get(image)
        if name is None:
            return False
        path = self.path / name
        try:
            found = path.stat()
            stamp = (found.st_size, str(found.st_mtime_ns))
            if found.st_mtime_ns == _own_time_ns(name) or stamp in {
                (one.byte_size, one.stamp) for one in listed
            }:
                return True
            if image_id(path.read_bytes()) != image:
                return False
        except FileNotFoundError:
            return False
        if found.st_nlink == 1:  # nobody else has it: it need not be read again
            with suppress(PermissionError):  # somebody else's file, before it was deleted
                os.utime(path, ns=(found.st_atime_ns, _own_time_ns(name)))
        return True

    def withdraw(self, image: ImageId) -> None:
        """Takes out what is served for an image, if anything is."""
        name = self._listed().pop(image, None)
        if name is not None:
            (self.path / name).unlink(missing_ok=True)

    def _listed(self) -> dict[ImageId, str]:
        if self._names is None:
            try:
                found = os.listdir(self.path)
            except FileNotFoundError:
                found = []
            digests = ((name.partition(".")[0], name) for name in found)
            self._names = {ImageId(f"sha256:{digest}"): name for digest, name in digests if digest}
        return self._names

    def _put(self, name: str, data: bytes, source: Path, read: os.stat_result) -> None:
        """Links the file that was read, or writes what was read of it, whole or not at all."""
        if _is_linked(source, self.path / name, read):
            return
        with replacing(self.path / name, binary=True) as file:
            file.write(data)
            os.fchmod(file.fileno(), read.st_mode & 0o666)  # who may read the source's file may read its copy
            file.flush()
            os.utime(file.fileno(), ns=(read.st_atime_ns, _own_time_ns(name)))
            os.fsync(file.fileno())

    def _failed(self, error: OSError) -> LabelStudioError:
        return LabelStudioError(
            f"no images can be put into {self.path} ({error.strerror or error}), from where Label Studio "
            "serves them: make room, let this user write there, or set label_studio.files (the document root "
            "of a Label Studio of your own, as seen from here) or queue.serve_images"
        )


def _own_time_ns(name: str) -> int:
    """The time of change of files that are ours alone: made of the name, so that no other file has it."""
    return int(name[:7], 16) * 1_000_000_000


def _is_linked(source: Path, path: Path, read: os.stat_result) -> bool:
    """Link ``path`` to the very file that was read, unchanged since, and return True; else leave it as it
    was."""
    beside = path.with_name(f".{secrets.token_hex(8)}.link")
    try:
        os.link(os.path.realpath(source), beside, follow_symlinks=False)
    except OSError:  # another file system, one without links, somebody else's file, too many links
        return False
    try:
        linked = beside.lstat()
        is_same = os.path.samestat(linked, read) and linked.st_size == read.st_size
        if is_same and linked.st_mtime_ns == read.st_mtime_ns:
            beside.replace(path)
            return True
        return False
    finally:
        beside.unlink(missing_ok=True)  # where both names were one file already, nothing was renamed
