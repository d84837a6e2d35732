"""Images behind http and https: one URL, or a page of links as web servers make them of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

import httpx

from detseg.errors import ImageError, SourceError
from detseg.sources.guarded import fetch, web_client
from detseg.sources.protocol import Limits, Listed, is_image_name
from detseg.types import Entry

_MAX_PAGE_BYTES = 50_000_000


class Web:
    """Images by URL. What a URL answered once is not asked for again: new bytes need a new URL."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._client = web_client(limits)

    def entries(self, location: str) -> Iterator[Listed]:
        """The image at a URL, or those that a page of links leads to, below it on the same server."""
        check_no_password(location)
        if is_image_name(_name(location)):
            return iter((Entry(location),))
        return self._walk(location.partition("#")[0], seen=set())

    def read(self, uri: str) -> bytes:
        """The bytes behind a URL."""
        try:
            check_no_password(uri)
        except (SourceError, ValueError) as error:
            raise ImageError(f"cannot be read: {error}") from error
        return fetch(self._client, uri, self._limits)[1]

    def close(self) -> None:
        """Ends the connections to all servers."""
        self._client.close()

    def _walk(self, page: str, *, seen: set[str]) -> Iterator[Listed]:
        seen.add(page)
        response, body = self._page(page)
        page = str(response.url)  # where a redirect led, for instance to the same name with a slash
        for link in sorted(set(_joined(page, _links(body, response)))):
            if not _is_below(link, page) or link in seen:
                continue
            if urlsplit(link).path.endswith("/"):
                yield from self._walk(link, seen=seen)
            elif is_image_name(_name(link)):
                yield Entry(link)

    def _page(self, url: str) -> tuple[httpx.Response, bytes]:
        try:
            response, body = fetch(self._client, url, Limits(_MAX_PAGE_BYTES, self._limits.allow_private))
        except ImageError as error:
            raise SourceError(f"the source {url} {error}") from error
        if "html" not in response.headers.get("Content-Type", ""):
            raise SourceError(
                f"the source {url} is neither an image by its name nor a page of links "
                f"({response.headers.get('Content-Type', 'no content type')}): list its images in a manifest"
            )
        return response, body


def check_no_password(url: str) -> None:
    """Raises SourceError for a URL with a user or password in it, which would be kept in the catalog."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise SourceError(f"the URL of {parts.hostname} holds a user or password: leave them out")


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _links(body: bytes, response: httpx.Response) -> list[str]:
    parser = _Links()
    parser.feed(body.decode(response.encoding or "utf-8", "replace"))
    return parser.found


def _joined(page: str, links: list[str]) -> Iterator[str]:
    """The links as addresses, without those that are none."""
    for link in links:
        with suppress(ValueError):  # half an IPv6 address
            yield urljoin(page, link).partition("#")[0]


def _is_below(link: str, page: str) -> bool:
    one, other = urlsplit(link), urlsplit(page)
    folder = other.path[: other.path.rfind("/") + 1]
    return one[:2] == other[:2] and one.path.startswith(folder) and one.path != folder


def _name(url: str) -> str:
    return unquote(urlsplit(url).path).rpartition("/")[2]
