"""The stores, by the addresses that belong to them."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import IO, Self

from detseg.errors import ImageError, SourceError
from detseg.files import open_regular
from detseg.sources.folder import Folders
from detseg.sources.manifest import is_manifest, read_manifest
from detseg.sources.objects import CLOUDS, Objects
from detseg.sources.protocol import DEFAULT_LIMITS, Limits, Listed, Store
from detseg.sources.web import Web

LOCAL = "file"


class Sources:
    """The stores by scheme, each made when it is first asked for. Safe to use from several threads.

    ``stores`` are more of them by scheme, for places that this room does not know. ``schemes`` are those that
    may be opened (None: all), where strangers choose the addresses.
    """

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        stores: Mapping[str, Callable[[], Store]] | None = None,
        *,
        schemes: frozenset[str] | None = None,
    ) -> None:
        self.limits = limits
        self._schemes = schemes
        self._factories: dict[str, Callable[[], Store]] = {
            LOCAL: partial(Folders, limits),
            "http": partial(Web, limits),
            "https": partial(Web, limits),
            **{scheme: partial(Objects, scheme, limits) for scheme in CLOUDS},
            **(stores or {}),
        }
        self._stores: dict[str, Store] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections of all stores."""
        for store in self._stores.values():
            store.close()

    def entries(self, location: str) -> Iterator[Listed]:
        """The images at a location, as they are come by. Raises SourceError."""
        if is_manifest(location):
            return read_manifest(location, partial(self._open, location))
        return self._store(location).entries(location)

    def read(self, uri: str) -> bytes:
        """The encoded bytes of an image that was listed. Raises ImageError."""
        try:
            store = self._store(uri)
        except SourceError as error:
            raise ImageError(str(error)) from error
        return store.read(uri)

    def _open(self, location: str) -> IO[bytes]:
        try:
            return open_regular(location) if scheme_of(location) == LOCAL else io.BytesIO(self.read(location))
        except OSError as error:
            raise SourceError(f"the manifest {location} cannot be read: {error.strerror}") from error
        except ImageError as error:
            raise SourceError(f"the manifest {location} {error}") from error

    def _store(self, uri: str) -> Store:
        scheme = scheme_of(uri)
        if self._schemes is not None and scheme not in self._schemes:
            raise SourceError(f"cannot be read: {scheme} is none of {', '.join(sorted(self._schemes))}")
        if scheme not in self._stores:
            with self._lock:
                make = self._factories.get(scheme, partial(Objects, scheme, self.limits))
                self._stores.setdefault(scheme, make())
        return self._stores[scheme]


def scheme_of(uri: str) -> str:
    """The scheme of an address; a path has ``file``.

    >>> scheme_of("S3://bucket/a.png"), scheme_of("photos/a.png")
    ('s3', 'file')
    """
    scheme, separator, _ = uri.partition("://")
    return scheme.lower() if separator else LOCAL
