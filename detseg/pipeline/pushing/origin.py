"""The origin of an image in its task's data, for annotators and for whoever filters tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from detseg.files import parse_json
from detseg.types import Entry

KEY = "source"
"""The field of a task's data; a project's own fields never have to give way to a manifest's columns."""


def encode_origin(entries: Sequence[Entry], location: str) -> dict[str, Any]:
    """``names`` are where the image was found: paths below the source's location, or whole addresses.

    ``metadata`` are the other columns of a manifest, if there are any; of two rows for one image, the first
    says what both say. Queries of URLs are left out, since signatures are in them.

    >>> encode_origin([Entry("/photos/a/1.png", metadata='{"line":3}')], "/photos")
    {'names': ['a/1.png'], 'metadata': {'line': 3}}
    """
    root = location.rstrip("/") + "/"
    inside = [entry for entry in entries if entry.uri.startswith(root)] or entries
    metadata: dict[str, Any] = {}
    for entry in inside:
        if entry.metadata:
            metadata = parse_json(entry.metadata, entry.uri) | metadata
    names = [_without_query(entry.uri.removeprefix(root)) for entry in inside]
    return {"names": names, **({"metadata": metadata} if metadata else {})}


def has_origin(data: Mapping[str, Any]) -> bool:
    """Check that a task's data names the origin as we do. Tasks of somebody else that we only marked do
    not."""
    origin = data.get(KEY)
    return isinstance(origin, dict) and "names" in origin


def _without_query(uri: str) -> str:
    return urlunsplit(urlsplit(uri)._replace(query="", fragment="")) if "://" in uri else uri
