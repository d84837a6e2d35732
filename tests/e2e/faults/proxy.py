"""A proxy between pipeline and server that breaks one request, or some, in a way that was asked for."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Trick = Literal[
    "cut before",  # the request never arrives
    "cut inside",  # half of it arrives
    "cut after",  # it is carried out, the answer is lost
    "half answer",  # it is carried out, the answer breaks off
    "truncated JSON",  # the same, as if that were all
    "wrong JSON",  # it is carried out, the answer is something else
    "web page",  # it is not carried out, the answer is a login page
    "500 before",
    "500 after",
    "502 after",
    "504 after",
    "429",
    "429 without Retry-After",
    "401",
    "slow",
    "late",  # it is carried out ``Rule.delay_s`` after its sender was told that it was not
    "twice",  # it is carried out once more ``Rule.delay_s`` after its answer
    "call",  # it is carried out while something happens: see ``Rule.call``
]
_SLOW_S = 0.25
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
_REFUSALS: dict[str, tuple[int, dict[str, str], object]] = {
    "500 before": (500, {}, {"detail": "made up"}),
    "500 after": (500, {}, {"detail": "made up"}),
    "502 after": (502, {}, {"detail": "made up"}),
    "504 after": (504, {}, {"detail": "made up"}),
    "late": (504, {}, {"detail": "made up"}),
    "429": (429, {"Retry-After": "1"}, {"detail": "slowly"}),
    "429 without Retry-After": (429, {}, {"detail": "slowly"}),
    "401": (401, {}, {"detail": "Invalid token."}),
    "wrong JSON": (200, {}, {"unexpected": [1, 2, 3]}),
}


@dataclass
class Rule:
    """The trick played on requests of that method and path part, from the ``nth`` on, ``times`` times.

    ``delay_s`` after the request is on its way, ``call`` is called.
    """

    trick: Trick
    method: str = ""
    part: str = ""
    nth: int = 1
    times: int = 1
    call: Callable[[], None] = lambda: None
    delay_s: float = 0.0
    n_seen: int = 0
    n_played: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _timers: list[threading.Timer] = field(default_factory=list)

    def after_delay(self, call: Callable[[], object]) -> None:
        self._timers.append(threading.Timer(self.delay_s, call))
        self._timers[-1].start()

    def wait(self) -> None:
        """Until everything is over that was to happen after a delay."""
        for timer in self._timers:
            timer.join()

    def plays(self, method: str, path: str) -> bool:
        """Counts a request and says whether the trick is played on it."""
        if self.method not in ("", method) or self.part not in path:
            return False
        with self._lock:
            self.n_seen += 1
            played = self.nth <= self.n_seen < self.nth + self.times
            self.n_played += played
        return played


class FaultProxy(ThreadingHTTPServer):
    """Passes everything on, but for what ``rule`` says."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "", parts.port or 80)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.rule: Rule | None = None
        self.behind_s = 0.0  # its clock, which its answers are dated by

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke is what we are here for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""

    def handle_any(self) -> None:
        rule = self.server.rule
        if rule is None or not rule.plays(self.command, self.path):
            self._answer(*self._forward(self._body()))
        else:
            self._break(rule)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_any  # noqa: N815

    def _break(self, rule: Rule) -> None:
        trick = rule.trick
        if trick == "cut before":
            return self._cut()
        if trick == "cut inside":
            return self._send_half()
        body = self._body()
        if trick in ("500 before", "429", "429 without Retry-After", "401"):
            return self._refuse(trick)
        if trick == "web page":
            return self._answer(200, [("Content-Type", "text/html")], b"<html><title>Log in</title></html>")
        if trick == "call":
            rule.after_delay(rule.call)
        if trick in ("late", "twice"):
            self.close_connection = True  # this handler is kept for the second delivery
        if trick == "slow":
            time.sleep(_SLOW_S)
        if trick == "late":
            rule.after_delay(partial(self._forward, body))
            return self._refuse(trick)
        status, headers, data = self._forward(body)
        if trick == "twice":
            rule.after_delay(partial(self._forward, body))
        if trick == "cut after":
            return self._cut()
        if trick in _REFUSALS:
            return self._refuse(trick)
        if trick == "half answer":
            self._answer(status, headers, data, n_sent=len(data) // 2)
            return self._cut()
        if trick == "truncated JSON":
            data = data[: len(data) // 2]
        return self._answer(status, headers, data, pause_s=_SLOW_S if trick == "slow" else 0.0)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(*self.server.upstream, timeout=120)
        try:
            kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            upstream.request(self.command, self.path, body or None, kept)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _send_half(self) -> None:
        """The head and half of the body go on, then both connections end."""
        n_bytes = int(self.headers.get("Content-Length", 0))
        head = f"{self.command} {self.path} HTTP/1.1\r\n{self.headers}".replace("\r\n", "\n").strip()
        with socket.create_connection(self.server.upstream) as upstream:
            upstream.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" * bool(n_bytes))
            upstream.sendall(self.rfile.read(n_bytes // 2))
            time.sleep(0.02)
        self._cut()

    def _refuse(self, trick: Trick) -> None:
        status, headers, words = _REFUSALS[trick]
        self._answer(
            status, [*headers.items(), ("Content-Type", "application/json")], json.dumps(words).encode()
        )

    def _answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        data: bytes,
        *,
        n_sent: int | None = None,
        pause_s: float = 0.0,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() == "date" and self.server.behind_s:
                self.send_header(name, formatdate(time.time() - self.server.behind_s, usegmt=True))
            elif name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        half = len(data) // 2
        self.wfile.write(data[:half] if n_sent is None else data[:n_sent])
        if n_sent is None:
            time.sleep(pause_s)
            self.wfile.write(data[half:])

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # the client was quicker
            self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """A proxy in front of that server."""
    proxy = FaultProxy(upstream)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
