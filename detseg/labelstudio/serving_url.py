"""Images that the browser fetches from a web server, which has to allow it (CORS)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import httpx

from detseg.errors import FormatError, ImageError, LabelStudioError
from detseg.images import image_id
from detseg.labelstudio.serving import check_bytes
from detseg.labelstudio.session import Json
from detseg.sources.guarded import fetch, web_client
from detseg.sources.protocol import Limits
from detseg.types import ImageRef


@dataclass(slots=True)
class UrlServing:
    """Images by http and https URL: their own, or ``prefix`` and their path below the source.

    ``page_url`` is Label Studio's, whose pages ask for the images; ``root`` the address of the source.
    Remembers whether it has looked at an image.
    """

    page_url: str
    root: str
    prefix: str | None
    limits: Limits
    _looked: bool = field(default=False, repr=False)

    def prepare(self, refs: Iterable[ImageRef]) -> None:
        """Fetches the first image of all as the page would, before any task is sent.

        Raises LabelStudioError that says what the web server has to do.
        """
        for ref in refs:
            if self._looked:
                return
            try:
                url = self.url(ref)
            except FormatError:
                continue  # said where the task is made
            self._looked = True
            try:
                data = self._fetch(url)
            except ImageError as error:
                raise LabelStudioError(
                    f"{url} would not load in the annotator's browser: {error} (no task was sent)"
                ) from error
            if image_id(data) != ref.id:
                raise LabelStudioError(
                    f"{url} answers {len(data):,} bytes that are not those of {ref.uri}: check "
                    "queue.image_url_prefix, and that the server sends files as they are (no task was sent)"
                )

    def renew(self, refs: Iterable[ImageRef]) -> None:
        """Nothing: the images are where they were."""

    def url(self, ref: ImageRef) -> str:
        """The URL itself, or the prefix and the path below the source."""
        return plain_url(ref, self.root, self.prefix)

    def check(self, task: Json) -> None:
        """Fetches the image from where the page will."""
        mend = "mend the web server, or choose another queue.serve_images"
        check_bytes(task, lambda: self._fetch(str(task["data"]["image"])), mend=mend)

    def _fetch(self, url: str) -> bytes:
        with web_client(self.limits) as http:
            return fetch_as_page(http, url, self.page_url, self.limits)


def plain_url(ref: ImageRef, root: str, prefix: str | None) -> str:
    """The URL of an image that a web server has: its own, or ``prefix`` and its path below ``root``.

    Raises FormatError for an image that has none.
    """
    if prefix is not None:
        above = root.rstrip("/") + "/"
        if not ref.uri.startswith(above):
            raise FormatError(f"{ref.uri} is not below the source {root}: queue.image_url_prefix has no URL")
        return f"{prefix.rstrip('/')}/{quote(ref.uri.removeprefix(above))}"
    if urlsplit(ref.uri).scheme not in ("http", "https"):
        raise FormatError(
            f"{ref.uri} is no URL that a browser can open: set queue.image_url_prefix to the URL under which "
            "the source's images are to be had, or choose another queue.serve_images"
        )
    return ref.uri


def fetch_as_page(http: httpx.Client, url: str, page_url: str, limits: Limits) -> bytes:
    """Fetch an image on another server as a page of Label Studio would.

    Raises ImageError that says why the browser would show nothing.
    """
    page = urlsplit(page_url)
    if page.scheme == "https" and urlsplit(url).scheme == "http":
        raise ImageError("browsers load nothing by http into a page that came by https: give https URLs")
    origin = f"{page.scheme}://{page.netloc}"
    response, data = fetch(http, url, limits, Origin=origin)
    allowed = response.headers.get("Access-Control-Allow-Origin")
    if allowed not in ("*", origin):
        came = f"Access-Control-Allow-Origin: {allowed}" if allowed else "no Access-Control-Allow-Origin"
        raise ImageError(f"its server answers {came}: let it answer with {origin} or *")
    kind = response.headers.get("Content-Type", "")
    if not (kind.startswith("image/") or "octet-stream" in kind):  # then the page shows it now and then
        came = f"Content-Type: {kind}" if kind else "no Content-Type"
        raise ImageError(f"its server answers {came}: let it answer with the image's own, as image/png")
    return data
