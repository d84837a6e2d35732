"""The receiver of webhooks: rung by who knows the secret, quickly, and by nobody else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
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


def test_an_answer_takes_milliseconds_even_beside_callers_that_say_nothing(
    receiver: HookReceiver, rings: Rings
) -> None:
    silent = [socket.create_connection(address(receiver)) for _ in range(20)]
    times = []
    with httpx.Client(headers={HEADER: "secret"}) as client:
        for _ in range(20):
            begun = time.perf_counter()
            assert client.post(receiver.url, json={}).status_code == 204
            times.append(time.perf_counter() - begun)
    for connection in silent:
        connection.close()
    assert sorted(times)[10] < 0.05  # the server waits one second
    assert rings.n == 20


def test_an_address_that_is_taken_is_one_line(receiver: HookReceiver) -> None:
    _, port = address(receiver)
    with pytest.raises(ServiceError, match=f"nothing can listen on 127.0.0.1:{port}.*--port"):
        HookReceiver("127.0.0.1", port, "secret", lambda: None)
