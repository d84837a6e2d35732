"""Servers that answer without end, slowly, or with bombs: each answer ends at its bounds, in one line."""

from __future__ import annotations

import gzip
import itertools
import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache

import httpx
import pytest

from detseg import waits
from detseg.bounded_http import MAX_BYTES, AnswerTooLarge, AnswerTooSlow, BoundedClient, Bounds
from detseg.errors import ImageError, LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.release import read_release
from detseg.processes import http_status, is_healthy
from detseg.sources.guarded import fetch, web_client
from detseg.sources.protocol import Limits

OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
PAUSE_S = 0.02
ZEROS = bytes(1_000_000)


@contextmanager
def server(answer: Callable[[], Iterable[bytes]], pause_s: float = 0.0) -> Iterator[str]:
    """A server whose answer to every request is these pieces, with a pause after each."""
    listener, ended = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65_536)
                for piece in answer():
                    connection.sendall(piece)
                    if ended.wait(pause_s) and pause_s:
                        return
            except OSError:
                return

    def accept() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def drip(*begin: bytes, piece: bytes = b"x") -> Callable[[], Iterable[bytes]]:
    return lambda: itertools.chain(begin, itertools.repeat(piece))


SLOW = {
    "body without a length": drip(OK + b"\r\n"),
    "body with a length": drip(OK + b"Content-Length: 1000000\r\n\r\n"),
    "chunks": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", piece=b"1\r\nx\r\n"),
    "a header": drip(OK + b"X-Long: "),
    "headers": drip(OK, piece=b"X: y\r\n"),
    "status": drip(b"HTTP/1.1 200 "),
    "informational answers": drip(piece=b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "packed": drip(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10], piece=b"\x00"),
    "nothing": lambda: itertools.repeat(b""),
}


def waited_for(url: str) -> list[str]:
    """What is still said to be waited for there, though it was given up."""
    return [wait.what for wait in waits._announcer._waits if url in wait.what]


@pytest.mark.parametrize("name", SLOW)
def test_a_drip_ends_with_its_time(name: str) -> None:
    with server(SLOW[name], PAUSE_S) as url, BoundedClient(Bounds(10**9, 0.4), trust_env=False) as http:
        with pytest.raises((AnswerTooSlow, httpx.DecodingError, httpx.RemoteProtocolError)) as raised:
            http.get(url)
        assert name in ("packed", "headers") or isinstance(raised.value, AnswerTooSlow)
        assert not waited_for(url)


def redirects() -> Iterable[bytes]:
    yield b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def test_redirects_share_the_time_of_the_first() -> None:
    with server(redirects, PAUSE_S) as url:
        options = {"trust_env": False, "follow_redirects": True, "max_redirects": 10_000}
        with BoundedClient(Bounds(10**9, 0.4), **options) as http, pytest.raises(AnswerTooSlow):
            http.get(url)


def patient_client(max_bytes: int) -> BoundedClient:
    """A client that only those bytes end: a machine may be busy."""
    return BoundedClient(Bounds(max_bytes, 600.0), timeout=600.0, trust_env=False)


def packed(data: bytes, *, times: int = 1) -> bytes:
    for _ in range(times):
        data = gzip.compress(data)
    return data


LARGE = {
    "without a length": drip(OK + b"\r\n", piece=ZEROS),
    "with a length": drip(OK + b"Content-Length: 100000000000\r\n\r\n", piece=ZEROS),
    "chunks": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", piece=b"f4240\r\n" + ZEROS + b"\r\n"),
    "a bomb": cache(lambda: [OK + b"Content-Encoding: gzip\r\n\r\n" + packed(ZEROS * 50)]),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_flood_ends_with_its_bytes(name: str) -> None:
    with server(LARGE[name]) as url, patient_client(5_000_000) as http:
        with pytest.raises(AnswerTooLarge, match="more than 5,000,000 bytes"):
            http.get(url)
        with pytest.raises(AnswerTooLarge, match="more than 1,000 bytes"):
            http.get(url, extensions={MAX_BYTES: 1_000})
        assert not waited_for(url)


@pytest.mark.parametrize("packing", ["br", "zstd", "deflate", "gzip, gzip", "compress", "x"])
def test_what_was_not_asked_for_is_not_unpacked(packing: str) -> None:
    body = OK + f"Content-Encoding: {packing}\r\n\r\n".encode() + packed(ZEROS, times=2)
    with (
        server(lambda: [body]) as url,
        patient_client(10**9) as http,
        pytest.raises(httpx.DecodingError, match="which was not asked for"),
    ):
        http.get(url)


def test_what_is_packed_well_arrives() -> None:
    data = zlib.compress(ZEROS[:1000], 0) * 300
    body = OK + b"Content-Encoding: gzip\r\n\r\n" + packed(data)
    with server(lambda: [body]) as url, patient_client(10**7) as http:
        assert http.get(url).content == data


def test_each_door_is_bounded() -> None:
    """Label Studio's client and its version, images of the web, and the health of our own servers."""
    with server(LARGE["a bomb"]) as url:
        with (
            web_client(Limits(1_000, allow_private=True)) as http,
            pytest.raises(ImageError, match="more bytes"),
        ):
            fetch(http, url, Limits(1_000, allow_private=True))
        with pytest.raises(LabelStudioError):
            read_release(url)
    with (
        server(LARGE["without a length"]) as url,
        LabelStudioClient(url, "0" * 40) as client,
        pytest.raises(LabelStudioError, match="more than 256,000,000 bytes"),
    ):
        client.version()
    for name in ("a header", "body without a length"):
        with server(SLOW[name], PAUSE_S) as url:
            assert http_status(url, timeout_s=0.4) is None
    with server(LARGE["a bomb"]) as url:
        assert not is_healthy(url)
