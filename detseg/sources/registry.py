"""Which store an address belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from detseg.errors import ImageError, SourceError
from detseg.sources.folder import Folders
from detseg.sources.protocol import DEFAULT_LIMITS, Limits, Listed, Store

LOCAL = "file"


class Sources:
    """The stores by scheme, each made when it is first asked for. Safe to use from several threads.

    ``stores`` are more of them by scheme, for places that this room does not know.
    """

    def __init__(
        self, limits: Limits = DEFAULT_LIMITS, stores: Mapping[str, Callable[[], Store]] | None = None
    ) -> None:
        self._limits = limits
        self._factories: dict[str, Callable[[], Store]] = {
            LOCAL: lambda: Folders(self._limits),
            **(stores or {}),
        }
        self._stores: dict[str, Store] = {}

    def entries(self, location: str) -> Iterator[Listed]:
        """The images at a location, as they are come by. Raises SourceError."""
        return self._store(location).entries(location)

    def read(self, uri: str) -> bytes:
        """The encoded bytes of an image that was listed. Raises ImageError."""
        try:
            store = self._store(uri)
        except SourceError as error:
            raise ImageError(str(error)) from error
        return store.read(uri)

    def _store(self, uri: str) -> Store:
        scheme = scheme_of(uri)
        if scheme not in self._factories:
            known = ", ".join(f"{name}://" for name in sorted(self._factories))
            raise SourceError(f"{uri}: {scheme}:// is no source of images; there are folders and {known}")
        if scheme not in self._stores:
            self._stores[scheme] = self._factories[scheme]()
        return self._stores[scheme]


def scheme_of(uri: str) -> str:
    """The scheme of an address; a path has ``file``.

    >>> scheme_of("S3://bucket/a.png"), scheme_of("photos/a.png")
    ('s3', 'file')
    """
    scheme, separator, _ = uri.partition("://")
    return scheme.lower() if separator else LOCAL
