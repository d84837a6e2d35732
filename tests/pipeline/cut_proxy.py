"""A TCP proxy that cuts connections like a bad network: the request got through, its answer is lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class CutProxy:
    """Passes everything on to ``upstream``. While ``armed`` is in the request, its answer is cut off.

    One request per connection is enough: a cut closes the connection, and clients open a new one.
    """

    upstream: tuple[str, int]
    url: str
    armed: bytes | None = None
    n_cut: int = 0
    _threads: list[threading.Thread] = field(default_factory=list)

    def serve(self, client: socket.socket) -> None:
        """One client connection, until either side ends it."""
        with client, socket.create_connection(self.upstream) as server:
            cut = threading.Event()
            back = threading.Thread(target=self._pass_back, args=(server, client, cut), daemon=True)
            back.start()
            while chunk := _receive(client):
                if self.armed is not None and self.armed in chunk:
                    cut.set()
                server.sendall(chunk)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def _pass_back(self, server: socket.socket, client: socket.socket, cut: threading.Event) -> None:
        while chunk := _receive(server):
            if cut.is_set():  # the server has answered, so what was asked is done; nobody hears of it
                self.n_cut += 1
                client.shutdown(socket.SHUT_RDWR)
                return
            client.sendall(chunk)
        with suppress(OSError):  # the client may have gone first
            client.shutdown(socket.SHUT_WR)  # some answers end with their connection


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except OSError:  # closed under us: the end of this connection
        return b""


@contextmanager
def cut_proxy(upstream_url: str) -> Iterator[CutProxy]:
    """A proxy in front of that server, on a free port of this machine."""
    parts = urlsplit(upstream_url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = CutProxy(
            (parts.hostname or "", parts.port or 80), f"http://127.0.0.1:{listener.getsockname()[1]}"
        )

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:  # the listener is closed: the test is over
                    return
                threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield proxy
        listener.shutdown(socket.SHUT_RDWR)
