"""HTTP whose answers are bounded: in bytes, packed and unpacked, and in seconds from the first to the last.

    with BoundedClient(Bounds(max_bytes=1_000_000, total_s=60.0)) as http:
        http.get(url)                                            # AnswerTooLarge, AnswerTooSlow
        http.get(url, extensions={MAX_BYTES: 5_000})             # another bound for this one

httpx bounds the wait for each piece alone, so that a server that sends a byte now and then is listened to for
ever, and it unpacks what a server packed to whatever size that has. Redirects share the seconds of the first
request. All of detseg's HTTP goes through here.
"""

from __future__ import annotations

import os
import ssl
import time
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

from detseg.waits import waiting

MAX_BYTES = "max_bytes"
"""The extension of a request that gives it a bound of bytes of its own."""

_ENDS_AT = "ends_at"
_PIECE = 65_536
_GZIP = 31  # zlib's number for what has gzip's header


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of an answer. ``max_bytes`` are those of its body, unpacked."""

    max_bytes: int
    total_s: float


class AnswerTooLarge(httpx.RequestError):
    """An answer has more bytes than it may have."""


class AnswerTooSlow(httpx.TimeoutException):
    """An answer is not complete in the time that it has."""


class BoundedClient(httpx.Client):
    """A client of httpx with these bounds, also where requests go through a proxy of the environment."""

    def __init__(self, bounds: Bounds, *, trust_env: bool = True, **options: Any) -> None:
        self._bounds = bounds
        if options.get("transport") is None:
            options.setdefault("verify", trusted_certificates(trust_env=trust_env))
        super().__init__(trust_env=trust_env, **options)

    def _init_transport(self, **options: Any) -> httpx.BaseTransport:  # type: ignore[override]
        return _BoundedTransport(self._bounds, super()._init_transport(**options))

    def _init_proxy_transport(self, proxy: httpx.Proxy, **options: Any) -> httpx.BaseTransport:  # type: ignore[override]
        return _BoundedTransport(self._bounds, super()._init_proxy_transport(proxy, **options))


def trusted_certificates(*, trust_env: bool = True) -> ssl.SSLContext:
    """The certificates that a server has to show one of, as httpx chooses them; all connections share them.

    To read them takes 40 ms, which httpx spends on every client, also on one that asks without TLS.
    """
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR") if trust_env else ()
    return _certificates(tuple(os.environ.get(name) for name in names))


@cache
def _certificates(chosen: tuple[str | None, ...]) -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=bool(chosen))


def with_deadlines(transport: httpx.HTTPTransport) -> httpx.HTTPTransport:
    """The transport, which from now on waits for no piece of an answer beyond the request's end."""
    pool: Any = transport._pool  # httpx has no public place for what httpcore takes
    pool._network_backend = _Network(pool._network_backend)
    return transport


class _BoundedTransport(httpx.BaseTransport):
    def __init__(self, bounds: Bounds, inner: httpx.BaseTransport) -> None:
        self._bounds = bounds
        self._inner = with_deadlines(inner) if isinstance(inner, httpx.HTTPTransport) else inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        ends_at = request.extensions.setdefault(_ENDS_AT, time.monotonic() + self._bounds.total_s)
        end = _End(self._bounds.total_s, ends_at)
        max_bytes = request.extensions.get(MAX_BYTES, self._bounds.max_bytes)
        waits = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {name: _Wait.until(end, wait) for name, wait in waits.items()}
        request.headers["Accept-Encoding"] = "gzip"
        what = f"{request.url.scheme}://{request.url.netloc.decode('ascii')} to answer"
        longest_s = min(self._bounds.total_s, waits.get("read") or self._bounds.total_s)
        with end.told(), waiting(what, longest_s=longest_s):
            response = self._inner.handle_request(request)
        try:
            stream = _BoundedStream(response, end, max_bytes, what)
        except httpx.RequestError:
            response.close()
            raise
        headers = [
            (name, value) for name, value in response.headers.raw if name.lower() != b"content-encoding"
        ]
        return httpx.Response(
            response.status_code, headers=headers, stream=stream, extensions=response.extensions
        )

    def close(self) -> None:
        self._inner.close()


class _BoundedStream(httpx.SyncByteStream):
    """The body of an answer, unpacked as it comes."""

    def __init__(self, response: httpx.Response, end: _End, max_bytes: int, what: str) -> None:
        self._response, self._end, self._max_bytes = response, end, max_bytes
        self._what = what
        self._packing = response.headers.get("Content-Encoding", "identity").strip().lower()
        if self._packing not in ("identity", "gzip", ""):
            raise httpx.DecodingError(f"the answer is packed as {self._packing}, which was not asked for")

    def __iter__(self) -> Iterator[bytes]:
        assert isinstance(self._response.stream, httpx.SyncByteStream)
        n_bytes = 0
        with closing(self._packed(self._response.stream)) as packed:  # given up, it is waited for no longer
            for piece in _unzipped(packed) if self._packing == "gzip" else packed:
                n_bytes += len(piece)
                self._check(n_bytes)
                yield piece

    def close(self) -> None:
        self._response.close()

    def _packed(self, stream: httpx.SyncByteStream) -> Generator[bytes]:
        n_bytes = 0
        with self._end.told(), waiting(self._what, longest_s=self._end.total_s):
            for piece in stream:
                self._end.left_s()
                n_bytes += len(piece)
                self._check(n_bytes)
                yield piece

    def _check(self, n_bytes: int) -> None:
        if n_bytes > self._max_bytes:
            raise AnswerTooLarge(f"the answer has more than {self._max_bytes:,} bytes")


def _unzipped(packed: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack gzip in pieces that are small however well it was packed."""
    unzip = zlib.decompressobj(_GZIP)
    try:
        for piece in packed:
            left = piece
            while left:
                yield unzip.decompress(left, _PIECE)
                left = unzip.unconsumed_tail
        yield unzip.flush()
    except zlib.error as error:
        raise httpx.DecodingError(
            f"the answer says that it is packed by gzip, and is not: {error}"
        ) from error


@dataclass(frozen=True, slots=True)
class _End:
    """The moment, on the monotonic clock, at which a request has to be over."""

    total_s: float
    at: float

    def left_s(self) -> float:
        """The seconds until then. Raises AnswerTooSlow when there are none."""
        left_s = self.at - time.monotonic()
        if left_s <= 0:
            raise AnswerTooSlow(f"the answer was not complete after {self.total_s:g} s")
        return left_s

    @contextmanager
    def told(self) -> Iterator[None]:
        """In here, a wait that was cut short by the end is AnswerTooSlow."""
        try:
            yield
        except httpx.TimeoutException:
            self.left_s()
            raise


class _Wait(float):
    """The seconds that one piece may take, with the end of the whole, which httpcore hands through to us."""

    end: _End

    @classmethod
    def until(cls, end: _End, wait_s: float | None) -> _Wait:
        wait = cls(end.total_s if wait_s is None else min(wait_s, end.total_s))
        wait.end = end
        return wait


def _left_s(timeout: float | None) -> float | None:
    return min(timeout, timeout.end.left_s()) if isinstance(timeout, _Wait) else timeout


class _Network:
    """Opens connections as the backend within does, and lets nothing wait beyond the end of a request."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> _Connection:
        return _Connection(self._inner.connect_tcp(host, port, timeout=_left_s(timeout), **options))

    def connect_unix_socket(self, path: str, timeout: float | None = None, **options: Any) -> _Connection:
        return _Connection(self._inner.connect_unix_socket(path, timeout=_left_s(timeout), **options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Connection:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = self._inner.read(max_bytes, timeout=_left_s(timeout))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            self._inner.write(buffer[start : start + _PIECE], timeout=_left_s(timeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Connection:
        left_s = _left_s(timeout)
        return _Connection(self._inner.start_tls(ssl_context, server_hostname, timeout=left_s))

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
