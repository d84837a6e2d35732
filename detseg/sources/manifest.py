"""Files that list images: CSV, JSONL or Parquet with a ``uri`` column.

Every other column is metadata that travels into the task. An ``etag`` column says when an image's bytes
change; a local file shows it by itself, and of what is neither, new bytes need a new uri.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from importlib import import_module
from itertools import count
from typing import IO, Any
from urllib.parse import urlsplit

from detseg.errors import FormatError, SourceError
from detseg.files import is_below, parse_json
from detseg.sources.folder import stat_entry
from detseg.sources.objects import CLOUDS
from detseg.sources.protocol import Listed
from detseg.types import Entry, Failure

SUFFIXES = (".csv", ".jsonl", ".parquet")
URI, ETAG = "uri", "etag"

Row = Mapping[str, Any]
_LONGEST_LINE = 1_000_000
REMOTE = frozenset({*CLOUDS, "http", "https"})


def is_manifest(location: str) -> bool:
    """Tell by its suffix whether a location is a manifest.

    >>> is_manifest("s3://bucket/parts.CSV"), is_manifest("photos")
    (True, False)
    """
    path = urlsplit(location).path if "://" in location else location
    return path.lower().endswith(SUFFIXES)


def is_remote(uri: str) -> bool:
    """Tell whether an address is on a web server or in an object store: one that strangers may name.

    >>> is_remote("https://host/a.png"), is_remote("../a.png"), is_remote("file:///a.png")
    (True, False, False)
    """
    scheme, separator, _ = uri.partition("://")
    return bool(separator) and scheme.lower() in REMOTE


def read_manifest(location: str, open_file: Callable[[], IO[bytes]]) -> Iterator[Listed]:
    """The images that a manifest names, in its order; each row that cannot be used as a failure.

    Relative uris start at the manifest's folder and stay below it. Raises SourceError for a file that is not
    what its suffix says or has no ``uri`` column, naming the line.
    """
    seen: dict[bytes, int] = {}
    with open_file() as file:
        for line, row in _rows(location, file):
            where = f"{location}, row {line}"
            if isinstance(row, str):
                yield Failure(where, row)
                continue
            uri = str(row.get(URI) or "").strip()
            listed = _listed(uri, row, location=location, where=where)
            if isinstance(listed, Entry):
                digest = blake2b(listed.uri.encode(), digest_size=16).digest()
                first = seen.setdefault(digest, line)
                if first != line:
                    yield Failure(where, f"names {uri} again, after row {first}: it is taken once")
                    continue
            yield listed


def _listed(uri: str, row: Row, *, location: str, where: str) -> Listed:
    if not uri:
        return Failure(where, f"has nothing in the column {URI!r}")
    try:
        resolved = _resolve(uri, location)
    except ValueError as error:  # half an IPv6 address, NUL
        return Failure(where, f"names {uri}, which is no address ({error})")
    if resolved is None:
        return Failure(where, _refusal(uri))
    entry = Entry(resolved, stamp=str(row.get(ETAG) or "")) if "://" in resolved else stat_entry(resolved)
    if isinstance(entry, Failure):
        return Failure(where, f"names {uri}, which {entry.reason}")
    return Entry(entry.uri, entry.byte_size, entry.stamp, _metadata(row))


def _resolve(uri: str, location: str) -> str | None:
    """The address that a row means; None for one that it may not name."""
    scheme = urlsplit(uri).scheme.lower() if "://" in uri else ""
    is_local = "://" not in location
    if scheme in REMOTE:
        parts = urlsplit(uri)
        return None if scheme in ("http", "https") and (parts.username or parts.password) else uri
    if scheme == "file":
        return os.path.normpath(urlsplit(uri).path) if is_local else None
    if scheme or (os.path.isabs(uri) and not is_local):
        return None
    if os.path.isabs(uri):
        return os.path.normpath(uri)
    if is_local:
        return _below_folder(uri, os.path.dirname(os.path.abspath(location)))
    scheme, _, path = location.partition("://")
    return _below_url(uri, scheme, posixpath.dirname(path.partition("?")[0]))


def _below_folder(uri: str, folder: str) -> str | None:
    path = os.path.normpath(os.path.join(folder, uri))
    real, root = os.path.realpath(path), os.path.realpath(folder)
    return path if is_below(path, folder) and is_below(real, root) else None


def _below_url(uri: str, scheme: str, folder: str) -> str | None:
    path = posixpath.normpath(posixpath.join(folder, uri))
    return f"{scheme}://{path}" if is_below(path, folder) else None


def _refusal(uri: str) -> str:
    if "://" in uri:
        scheme = uri.partition("://")[0]
        known = ", ".join(sorted(REMOTE))
        if scheme.lower() in ("http", "https"):
            return "holds a user or password in its URL: leave them out"
        if scheme.lower() != "file":
            return f"names {uri}: {scheme}:// is not read from a manifest, only paths and {known}"
    if "://" in uri or os.path.isabs(uri):
        return f"names {uri}, a file of this machine, which a manifest from elsewhere may not"
    return f"names {uri}, which climbs out of the manifest's folder: give an absolute path if it is meant"


def _metadata(row: Row) -> str:
    values = {
        name: value for name, value in row.items() if name not in (URI, ETAG, "") and not _is_nothing(value)
    }
    if not values:
        return ""
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


def _is_nothing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))


def _rows(location: str, file: IO[bytes]) -> Iterator[tuple[int, Row | str]]:
    """Number (of the line where there are lines, else of the row; from 1) and row, or what is wrong."""
    suffix = location.partition("?")[0].lower().rpartition(".")[2]
    try:
        if suffix == "csv":
            with io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
                yield from _csv_rows(location, text)
        elif suffix == "jsonl":
            with io.TextIOWrapper(file, "utf-8-sig") as text:
                yield from _jsonl_rows(location, text)
        else:
            yield from _parquet_rows(location, file)
    except UnicodeDecodeError as error:
        raise SourceError(f"{location} cannot be read as {suffix.upper()} in UTF-8: {error}") from error


def _csv_rows(location: str, text: IO[str]) -> Iterator[tuple[int, Row | str]]:
    reader = csv.DictReader(_lines(location, text), strict=True)
    try:
        _check_columns(location, reader.fieldnames or ())
        for row in reader:
            if None in row:
                yield (
                    reader.line_num,
                    f"has more fields than the {len(reader.fieldnames or ())} of the header",
                )
            else:
                yield reader.line_num, row
    except csv.Error as error:
        raise SourceError(
            f"{location} cannot be read as CSV after line {reader.line_num} ({error}): is a quote not closed?"
        ) from error


def _jsonl_rows(location: str, text: IO[str]) -> Iterator[tuple[int, Row | str]]:
    known = False
    for line, written in enumerate(_lines(location, text), 1):
        if not written.strip():
            continue
        try:
            row = parse_json(written, "it")
        except FormatError as error:
            yield line, str(error).removeprefix("it ")
            continue
        if not isinstance(row, dict):
            yield line, f"is {type(row).__name__}, expected an object"
            continue
        if not known:  # the first row stands for a header
            known = True
            _check_columns(location, tuple(row))
        yield line, row


def _lines(location: str, text: IO[str]) -> Iterator[str]:
    """The lines, none of which may fill the memory."""
    for number in count(1):
        line = text.readline(_LONGEST_LINE)
        if not line:
            return
        if len(line) == _LONGEST_LINE and not line.endswith("\n"):
            raise SourceError(
                f"{location}, line {number}: has {_LONGEST_LINE:,} characters or more, expected a row of a "
                "manifest: give each image a line of its own"
            )
        yield line


def _parquet_rows(location: str, file: IO[bytes]) -> Iterator[tuple[int, Row | str]]:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise SourceError(f"{location} needs a package: pip install 'detseg[parquet]'") from error
    try:
        table = parquet.ParquetFile(file)
        _check_columns(location, table.schema_arrow.names)
        number = 0
        for batch in table.iter_batches(batch_size=1_000):
            for number, row in enumerate(batch.to_pylist(), number + 1):  # noqa: B020
                yield number, row
    except (arrow.ArrowException, OSError) as error:
        raise SourceError(f"{location} cannot be read as Parquet: {error}") from error


def _check_columns(location: str, columns: Sequence[str]) -> None:
    if URI not in columns:
        there = ", ".join(map(str, columns)) or "none at all"
        raise SourceError(
            f"{location} has no column {URI!r}, it has {there}: name the column of the images so"
        )
