"""An HTTP client for URLs that others chose: no private addresses, no endless answers.

Every hop of a redirect is looked up and checked, and the connection goes to the address that was checked, so
a name that changes its address in between leads nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx

from detseg.bounded_http import (
    MAX_BYTES,
    AnswerTooLarge,
    BoundedClient,
    Bounds,
    trusted_certificates,
    with_deadlines,
)
from detseg.errors import ImageError, SourceError
from detseg.sources.addresses import resolve_public
from detseg.sources.protocol import Limits, too_large

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_TOTAL_S = 300.0
_MAX_REDIRECTS = 5


class PrivateAddress(httpx.TransportError):
    """A URL, or a redirect of it, leads to an address that is not allowed."""


class GuardedTransport(httpx.BaseTransport):
    """Connects to public addresses only. Connections are kept per host name, since certificates are.

    ``resolve`` gives the address of a host and port that may be connected to, or raises SourceError.
    """

    def __init__(self, resolve: Callable[[str, int], str] = resolve_public) -> None:
        self._resolve = resolve
        self._transports: dict[str, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        try:
            address = self._resolve(host, request.url.port or (443 if request.url.scheme == "https" else 80))
        except SourceError as error:
            raise PrivateAddress(str(error), request=request) from error
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,  # Host among them, which is the name
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        if host not in self._transports:
            transport = httpx.HTTPTransport(verify=trusted_certificates(), retries=1)
            self._transports[host] = with_deadlines(transport)
        return self._transports[host].handle_request(pinned)

    def close(self) -> None:
        for transport in self._transports.values():
            transport.close()


def web_client(limits: Limits) -> httpx.Client:
    """A client that follows a few redirects, guarded unless the limits allow private addresses.

    A guarded one goes straight to the host; where a proxy has to be used, it is the one that decides.
    """
    transport = None if limits.allow_private else GuardedTransport()
    return BoundedClient(
        Bounds(limits.max_bytes, _TOTAL_S),
        transport=transport,
        timeout=_TIMEOUT,
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
    )


def fetch(client: httpx.Client, url: str, limits: Limits, **headers: str) -> tuple[httpx.Response, bytes]:
    """The answer to a GET and its body, of at most ``max_bytes``.

    Raises ImageError with what is wrong: no answer, not allowed, not a success, too large.
    """
    try:
        bound = {MAX_BYTES: limits.max_bytes}
        with client.stream("GET", url, headers=headers, extensions=bound) as response:
            if not response.is_success:
                raise ImageError(f"cannot be read: HTTP {response.status_code} {response.reason_phrase}")
            announced = response.headers.get("Content-Length", "")
            if announced.isdigit() and int(announced) > limits.max_bytes:
                raise ImageError(too_large(int(announced), limits))
            return response, response.read()
    except AnswerTooLarge as error:
        raise ImageError(
            f"has more bytes than source.max_image_bytes allows ({limits.max_bytes:,})"
        ) from error
    except httpx.TooManyRedirects as error:
        raise ImageError(f"cannot be read: more than {_MAX_REDIRECTS} redirects") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, PrivateAddress) and error.request.url != httpx.URL(url):
            words = f"it leads elsewhere, and {words}"
        raise ImageError(f"cannot be read: {words}") from error
