"""Real servers on loopback for the tests of sources: one of files, and an S3."""

from __future__ import annotations

import mimetypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from detseg.processes import free_port
from tests.workers import first_port

START_S = 600.0
ENOUGH = 400_000_000
"""Bytes after which an endless answer ends all the same: whoever took so many has no bound."""


@dataclass(frozen=True)
class Answer:
    """What a path answers."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class WebServer:
    """Answers by path, with the content type of its name, or by how a path begins; ``asked`` are paths and
    their headers, in order."""

    url: str
    answers: dict[str, Answer]
    prefixes: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@contextmanager
def web_server(answers: Mapping[str, Answer] | None = None) -> Iterator[WebServer]:
    """A web server on loopback."""
    served = WebServer("", dict(answers or {}))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append((self.path, dict(self.headers)))
            begun = [answer for prefix, answer in served.prefixes.items() if self.path.startswith(prefix)]
            answer = served.answers.get(self.path, *(begun or [Answer(b"no such thing", 404)]))
            self.send_response(answer.status)
            kind = mimetypes.guess_type(self.path)[0] or ""
            headers = {"Content-Length": str(len(answer.body)), "Content-Type": kind, **answer.headers}
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    with _running(Handler) as url:
        served.url = url
        yield served


@dataclass
class EndlessServer:
    """Answers everything with bytes that do not end, whatever part was asked for; ``n_sent`` are those that
    somebody took."""

    url: str
    n_sent: int = 0


@contextmanager
def endless_server(*, says: int | None = None) -> Iterator[EndlessServer]:
    """Such a server on loopback, which says in ``Content-Length`` how many bytes it has, or nothing."""
    served = EndlessServer("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            if says is not None:
                self.send_header("Content-Length", str(says))
            self.end_headers()
            while served.n_sent < ENOUGH:
                try:
                    served.n_sent += self.wfile.write(bytes(65_536))
                except OSError:  # nobody takes more
                    return

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    with _running(Handler) as url:
        served.url = url
        yield served


@contextmanager
def _running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The URL of a server on loopback with that handler."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """The URL of an S3 of our own, in memory; its keys are anything."""
    port = free_port(first_port(15_055))
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=file, stderr=subprocess.STDOUT
        )
    try:
        _wait(lambda: _answers(f"{url}/moto-api/"), process, log)
        yield url
    finally:
        process.kill()
        process.wait()


def s3_variables(url: str) -> dict[str, str]:
    """The environment that leads to that S3 and nowhere else."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _wait(done: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while not done():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the S3 of the tests does not start: {log.read_text()}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except (URLError, TimeoutError, ConnectionError):
        return False
