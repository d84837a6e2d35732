"""An HTTP client for URLs that others chose: public addresses alone, no endless answers.

Every hop of a redirect is looked up and checked, and the connection goes to the address that was checked, so
a name that changes its address in between leads nowhere else.
"""

from __future__ import annotations

import ipaddress
import socket
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
from detseg.sources.protocol import Limits, too_large

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_UNICAST = ipaddress.ip_network("2000::/3")  # what of IPv6 is given out at all, RFC 4291
_TEREDO = ipaddress.ip_network("2001::/32")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_METADATA = frozenset(map(ipaddress.ip_address, ("168.63.129.16", "100.100.100.200", "192.0.0.192")))
"""Services of clouds for their own machines alone, whose addresses look public or nearly so."""


def is_public(address: str) -> bool:
    """Check that an IP address is one of the open internet, also where an IPv4 address is wrapped in IPv6.

    Of IPv6 only what is given out is, so that no form of an address that leads elsewhere has to be known.

    >>> is_public("93.184.216.34"), is_public("127.0.0.1"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    parsed: Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        wrapped = _wrapped(parsed)
        if wrapped is None and (parsed not in _UNICAST or parsed in _TEREDO):
            return False
        parsed = wrapped or parsed
    return parsed.is_global and not parsed.is_multicast and parsed not in _METADATA


def resolve_public(host: str, port: int) -> str:
    """The first address of a host, if all its addresses are public. Raises SourceError that says why not."""
    addresses = resolve(host, port)
    private = [address for address in addresses if not is_public(address)]
    if private:
        shown = host if host == private[0] else f"{host} ({private[0]})"
        raise SourceError(
            f"{shown} is on this machine or a private network: set source.allow_private_addresses if it "
            "is meant"
        )
    return addresses[0]


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host in the order of the system's preference. Raises SourceError for none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceError(f"there is no host {host} ({error})") from error
    return [str(address[0]) for *_, address in found]


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


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
