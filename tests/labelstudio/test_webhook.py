"""The receiver of webhooks: rung by who knows the secret, quickly, and by nobody else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import httpx
import pytest

from detseg.errors import ServiceError
from detseg.labelstudio.webhook import HEADER, HookReceiver


@dataclass
class Rings:
    n: int = 0

    def ring(self) -> None:
        self.n += 1


@pytest.fixture
def rings() -> Rings:
    return Rings()


@pytest.fixture
def receiver(rings: Rings) -> Iterator[HookReceiver]:
    with HookReceiver("127.0.0.1", 0, "secret", rings.ring) as receiver:
        yield receiver


def address(receiver: HookReceiver) -> tuple[str, int]:
    return "127.0.0.1", int(receiver.url.rstrip("/").rpartition(":")[2])


def test_who_knows_the_secret_rings(receiver: HookReceiver, rings: Rings) -> None:
    for content in (b'{"action": "ANNOTATION_CREATED"}', b"", b"\xff no JSON"):
        assert httpx.post(receiver.url, content=content, headers={HEADER: "secret"}).status_code == 204
    assert rings.n == 3


@pytest.mark.parametrize("headers", [{}, {HEADER: ""}, {HEADER: "secre"}, {HEADER: "secret2"}, {HEADER: "é"}])
def test_who_does_not_is_refused(receiver: HookReceiver, rings: Rings, headers: dict[str, str]) -> None:
    given = {name: value.encode() for name, value in headers.items()}
    assert httpx.post(receiver.url, json={}, headers=given).status_code == 403
    assert rings.n == 0


def test_large_endless_and_other_requests_are_refused(receiver: HookReceiver, rings: Rings) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x"

    large = f"POST / HTTP/1.1\r\n{HEADER}: secret\r\nContent-Length: 1000001\r\n\r\n"
    with socket.create_connection(address(receiver)) as connection:
        connection.sendall(large.encode())
        assert b" 413 " in connection.recv(100)
    with httpx.Client(headers={HEADER: "secret"}) as client:
        assert client.post(receiver.url, content=chunks()).status_code == 411
        assert client.get(receiver.url).status_code == 501
    assert rings.n == 0


def send_until_it_ends(connection: socket.socket) -> bytes:
    """What the receiver answers to a caller that goes on sending until the connection is ended."""
    connection.settimeout(0.05)
    answer = b""
    with suppress(ConnectionError):
        while True:
            with suppress(TimeoutError):
                connection.sendall(b"x")
                piece = connection.recv(100)
                if not piece:
                    break
                answer += piece
    return answer


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"POST / HTTP/1.1\r\nX: ",
        b"POST / HTTP/1.1\r\nX-Detseg-Secret: secret\r\nContent-Length: 900000\r\n\r\n",
    ],
    ids=["request line", "headers", "body"],
)
def test_a_caller_that_goes_on_slowly_is_cut_off(rings: Rings, begun: bytes) -> None:
    with HookReceiver("127.0.0.1", 0, "secret", rings.ring, patience_s=0.3) as receiver:
        with socket.create_connection(address(receiver)) as connection:
            connection.sendall(begun)
            assert send_until_it_ends(connection) == b""
        while not rings.n:  # a machine that is busy may cut off an honest caller, too
            with suppress(httpx.TransportError):
                httpx.post(receiver.url, json={}, headers={HEADER: "secret"}, timeout=60)


def test_however_many_say_nothing_the_next_caller_is_served(rings: Rings) -> None:
    """With all the patience in the world: the connections that are open longest make room."""
    with (
        ExitStack() as stack,
        HookReceiver("127.0.0.1", 0, "secret", rings.ring, patience_s=3600.0) as receiver,
    ):
        silent = [
            stack.enter_context(socket.create_connection(address(receiver), timeout=60)) for _ in range(200)
        ]
        assert httpx.post(receiver.url, json={}, headers={HEADER: "secret"}, timeout=60).status_code == 204
        for connection in silent[:130]:  # the newest 63 of them stay beside the caller
            assert connection.recv(1) == b""
        assert rings.n == 1


def test_an_address_that_is_taken_is_one_line(receiver: HookReceiver) -> None:
    _, port = address(receiver)
    with pytest.raises(ServiceError, match=f"nothing can listen on 127.0.0.1:{port}.*--port"):
        HookReceiver("127.0.0.1", port, "secret", lambda: None)
