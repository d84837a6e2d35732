"""Label Studio's webhooks: an address that it calls when somebody annotates, and how it gets to know of it.

    with HookReceiver("127.0.0.1", 8765, secret, on_change) as receiver:
        webhook = register(session, project, receiver.url, secret)
        ...
        unregister(session, webhook)

A call is a hint and nothing more: what it says is not looked at, only that it came. The server makes it
inside the annotator's request, waits one second at most and never tries again: it is answered at once.
"""

from __future__ import annotations

import hmac
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from detseg.errors import LabelStudioError, ServiceError
from detseg.labelstudio.responses import expecting, read_id
from detseg.labelstudio.session import Session

HEADER = "X-Detseg-Secret"
"""Carries the secret. The server knows no signatures, only headers that are always the same."""

ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
    "TASKS_DELETED",
)
"""The actions of people; creating tasks is our own."""

_MOST_BYTES = 1_000_000
_PATIENCE_S = 5.0
_MOST_CONNECTIONS = 64
_POLL_S = 0.05  # how soon the end of the block is noticed


class HookReceiver:
    """Listens from the start of the block to its end; ``on_change`` is called from its threads.

    ``port`` 0 takes any free one. A request has ``patience_s`` seconds in all. Raises ServiceError if the
    address cannot be had.
    """

    def __init__(
        self,
        host: str,
        port: int,
        secret: str,
        on_change: Callable[[], None],
        *,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        try:
            self._server = _Server((host, port), _handler(secret, on_change), patience_s)
        except OSError as error:
            raise ServiceError(
                f"nothing can listen on {host}:{port} ({error.strerror}): name another --port or --host"
            ) from error
        self.url = f"http://{host}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def register(session: Session, project: int, url: str, secret: str) -> int:
    """Makes the project call that URL; the webhook's id. One that is there for it is set right.

    Raises LabelStudioError, with the mend where the server calls no private addresses.
    """
    webhook = {
        "project": project,
        "url": url,
        "send_payload": False,
        "send_for_all_actions": False,
        "actions": list(ACTIONS),
        "headers": {HEADER: secret},
        "is_active": True,
    }
    known = session.objects("/api/webhooks/", {"project": project})
    with expecting("webhooks", session.url):
        same = [int(entry["id"]) for entry in known if entry["url"] == url]
    try:
        if same:
            return read_id(session.json("PATCH", f"/api/webhooks/{same[0]}/", body=webhook), session.url)
        return read_id(session.json("POST", "/api/webhooks/", body=webhook), session.url)
    except LabelStudioError as error:
        if "reserved network address" not in str(error):
            raise
        raise LabelStudioError(
            f"Label Studio at {session.url} calls no private addresses such as {url}: for the embedded one "
            "set label_studio.hooks = true and start it anew (`detseg down`, `detseg up`), for one of your "
            "own set SSRF_PROTECTION_ENABLED=false there; without --register changes are asked for instead"
        ) from error


def unregister(session: Session, webhook: int) -> None:
    """Makes the server forget a webhook, so that no annotator waits for it."""
    session.send("DELETE", f"/api/webhooks/{webhook}/")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False  # a caller that sends nothing must not hold up the end
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], patience_s: float
    ) -> None:
        self._patience_s = patience_s
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves a connection in a thread; where there are too many, the one that is open longest is cut."""
        with self._lock:
            self._open.append(request)
            if len(self._open) > _MOST_CONNECTIONS:
                _cut(self._open.pop(0))
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves it, for so long at most, however slowly its caller goes on sending."""
        end = threading.Timer(self._patience_s, _cut, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection, which makes room for another."""
        with self._lock, suppress(ValueError):
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is nothing to be said; on_change raises nothing."""


def _cut(connection: socket.socket) -> None:
    """Ends a connection under the thread that reads from it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _handler(secret: str, on_change: Callable[[], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_S

        def do_POST(self) -> None:
            status = self._refusal()
            if status is None:
                length = int(self.headers["Content-Length"])
                if len(self.rfile.read(length)) < length:
                    return
                on_change()
                status = HTTPStatus.NO_CONTENT
            self.send_response_only(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _refusal(self) -> HTTPStatus | None:
            given = self.headers.get(HEADER, "")
            if not hmac.compare_digest(given.encode("latin-1"), secret.encode()):
                return HTTPStatus.FORBIDDEN
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal():
                return HTTPStatus.LENGTH_REQUIRED
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if int(length) > _MOST_BYTES else None

        def log_message(self, *_: object) -> None:
            """Nothing: a hint is not worth a line, and a stranger's words are not worth one either."""

    return Handler
