"""Object stores behind fsspec: S3, Google Cloud Storage, Azure.

Credentials and endpoints are each library's own affair: its variables, its configuration, the machine's role.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import fsspec
from fsspec.asyn import sync

from detseg.errors import ImageError, SourceError, short_reason
from detseg.sources.protocol import Limits, Listed, is_image_name, too_large
from detseg.types import Entry, Failure


@dataclass(frozen=True, slots=True)
class _Library:
    """The needs of a scheme: the extra of this package that installs it, and its errors that are no
    OSErrors."""

    extra: str
    errors: tuple[str, ...]


_S3 = _Library("s3", ("botocore.exceptions.BotoCoreError", "botocore.exceptions.ClientError"))
_GCS = _Library("gcs", ("google.auth.exceptions.GoogleAuthError", "gcsfs.retry.HttpError"))
_AZURE = _Library("azure", ("azure.core.exceptions.AzureError",))
CLOUDS = {"s3": _S3, "gs": _GCS, "gcs": _GCS, "az": _AZURE, "abfs": _AZURE, "abfss": _AZURE}
"""The schemes that are tested, or as good as; others of fsspec want arguments that a URL cannot give."""

_IN_MEMORY = "memory"
_TOTAL_S = 300.0  # for one image, or the listing of one folder

_STAMPS = ("ETag", "etag", "generation", "md5Hash", "LastModified", "last_modified", "updated", "mtime")


class Objects:
    """The objects of one scheme, by their URLs."""

    def __init__(self, scheme: str, limits: Limits, *, total_s: float = _TOTAL_S) -> None:
        self._scheme = scheme
        self._limits = limits
        self._files, self._errors = _open(scheme)
        # What runs in fsspec's loop ends there; the clouds' own limits are on each byte, not on all.
        self._bounds = {"timeout": total_s} if self._files.async_impl else {}

    def entries(self, location: str) -> Iterator[Listed]:
        """The image objects below a URL, a folder at a time; one object is listed whatever its name."""
        path = self._path(location).rstrip("/")
        try:
            found = self._files.ls(path, detail=True, **self._bounds)
        except FileNotFoundError as error:
            raise SourceError(
                f"there is nothing at {location}: name a bucket, a folder or an object"
            ) from error
        except self._errors as error:
            raise SourceError(f"{location} cannot be listed: {short_reason(error)}") from error
        if [info["name"].rstrip("/") for info in found if info["type"] == "file"] == [path]:
            return iter((self._entry(found[0]),))
        return self._walk(path, found)

    def read(self, uri: str) -> bytes:
        """The bytes of an object."""
        try:
            data = self._begin(self._path(uri), self._limits.max_bytes + 1)
        except FileNotFoundError as error:
            raise ImageError("is not there any more") from error
        except self._errors as error:
            raise ImageError(f"cannot be read: {short_reason(error)}") from error
        if len(data) > self._limits.max_bytes:
            raise ImageError(
                f"has more bytes than source.max_image_bytes allows ({self._limits.max_bytes:,})"
            )
        return data

    def close(self) -> None:
        """fsspec keeps its file systems for the whole process."""

    def _begin(self, path: str, n_bytes: int) -> bytes:
        """The first bytes of an object. Of S3, which many programs speak, they are counted on arrival.

        fsspec's ``cat_file`` asks for a range and keeps whatever comes, from a server that knows none, too.
        """
        if self._scheme == "s3":
            read = partial(_begin_s3, self._files, path, n_bytes)
            data: bytes = sync(self._files.loop, read, **self._bounds)
        else:
            data = self._files.cat_file(path, start=0, end=n_bytes, **self._bounds)
        return data

    def _walk(self, folder: str, found: list[dict[str, Any]]) -> Iterator[Listed]:
        for name, info in sorted(((_sort_key(info), info) for info in found), key=lambda one: one[0]):
            path = info["name"].rstrip("/")
            if path == folder or name.startswith("."):
                continue
            if info["type"] == "directory":
                yield from self._below(path)
            elif is_image_name(name):
                yield self._entry(info)

    def _below(self, folder: str) -> Iterator[Listed]:
        try:
            found = self._files.ls(folder, detail=True, **self._bounds)
        except self._errors as error:
            yield Failure(self._uri(folder), f"cannot be listed: {short_reason(error)}")
            return
        yield from self._walk(folder, found)

    def _entry(self, info: dict[str, Any]) -> Listed:
        uri, size = self._uri(info["name"]), info.get("size")
        n_bytes = -1 if size is None else int(size)
        if n_bytes == 0:
            return Failure(uri, "is empty (0 bytes)")
        if n_bytes > self._limits.max_bytes:
            return Failure(uri, too_large(n_bytes, self._limits))
        stamp = next((str(info[name]) for name in _STAMPS if info.get(name)), "")
        return Entry(uri, n_bytes, stamp)

    def _path(self, uri: str) -> str:
        path: str = self._files._strip_protocol(uri)
        return path

    def _uri(self, path: str) -> str:
        return f"{self._scheme}://{path.lstrip('/')}"


def _open(scheme: str) -> tuple[Any, tuple[type[Exception], ...]]:
    """The file system of a scheme, and what it raises. Raises SourceError that says what to install."""
    library = CLOUDS.get(scheme)
    if scheme not in (*CLOUDS, _IN_MEMORY):
        raise SourceError(
            f"{scheme}:// is no source of images: give a folder, a manifest, or a URL of "
            f"{', '.join(CLOUDS)}, http, https or labelstudio"
        )
    try:
        files = fsspec.filesystem(scheme, use_listings_cache=False)
        foreign = foreign_errors(scheme)
    except ImportError as error:
        install = f"detseg[{library.extra}]" if library else "what fsspec asks for"
        raise SourceError(f"{scheme}:// needs another package: pip install '{install}'") from error
    except ValueError as error:
        raise SourceError(f"{scheme}:// cannot be opened: {short_reason(error)}") from error
    return files, (OSError, ValueError, *foreign)


async def _begin_s3(files: Any, path: str, n_bytes: int) -> bytes:
    s3fs: Any = import_module("s3fs.core")
    bucket, key, version = files.split_path(path)
    asked = {"Bucket": bucket, "Key": key, "Range": f"bytes=0-{n_bytes - 1}", **s3fs.version_id_kw(version)}

    async def read() -> bytes:
        body = (await files._call_s3("get_object", **asked))["Body"]
        data = bytearray()
        try:
            while len(data) < n_bytes and (piece := await body.read(n_bytes - len(data))):
                data += piece
        finally:
            body.close()
        return bytes(data)

    data: bytes = await s3fs._error_wrapper(read, retries=files.retries)
    return data


def foreign_errors(scheme: str) -> tuple[type[Exception], ...]:
    """The errors of a scheme's library that are no OSErrors. Raises ImportError where it is not installed."""
    library = CLOUDS.get(scheme)
    return tuple(_named(error) for error in library.errors) if library else ()


def _named(path: str) -> type[Exception]:
    module, _, name = path.rpartition(".")
    error: type[Exception] = getattr(import_module(module), name)
    return error


def _sort_key(info: dict[str, Any]) -> str:
    name = str(info["name"]).rstrip("/").rpartition("/")[2]
    return f"{name}/" if info["type"] == "directory" else name
