"""Who else could ask the embedded Prefect server for something: web pages, other names, other programs.

A secret stands in one of its blocks. No request gets at it, makes another or learns the credential.
"""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from flows.server import prefect_api

SECRET = "planted-d41d8cd98f00b204"
ELSEWHERE = "made-from-elsewhere"
REFUSALS = {400, 401, 403, 404, 405}
BLOCKS, READ_BLOCKS = "/api/block_documents/", "/api/block_documents/filter"
VERSION = "/api/admin/version"
JSON, TEXT = {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}
WITH_SECRETS = {"include_secrets": True}
SOCKETS = (
    "/api/events/in",
    "/api/events/out",
    "/api/logs/out",
    "/api/task_runs/subscriptions/scheduled",
    "/api/work_pools/detseg/workers/connect",
)
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "prefect",
}


@dataclass(frozen=True)
class Target:
    """The server under attack: where it is and what it must keep."""

    url: str
    credential: str

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def known(self) -> dict[str, str]:
        return basic(self.credential)


def basic(credential: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(credential.encode()).decode()}"}


@pytest.fixture(scope="module")
def target(prefect_state: Path) -> Iterator[Target]:
    """The server with a secret in a block, which is still there, and alone, after all attacks."""
    credential = (prefect_state / "prefect" / "credential").read_text().strip()
    with prefect_api(prefect_state) as url:
        Secret(value=SECRET).save("planted", overwrite=True)
    yield Target(url.removesuffix("/api"), credential)
    with prefect_api(prefect_state):
        assert Secret.load("planted").get() == SECRET
        with get_client(sync_client=True) as client:
            names = {str(block.name) for block in client.read_block_documents()}
    assert ELSEWHERE not in names


def refused(answer: httpx.Response, target: Target) -> bool:
    """Whether the answer says no, to everybody, and nothing else."""
    said = answer.text + str(answer.headers)
    assert SECRET not in said
    assert target.credential not in said
    assert b64encode(target.credential.encode()).decode() not in said
    assert "access-control-allow-origin" not in answer.headers
    return answer.status_code in REFUSALS


WITHOUT_CREDENTIAL: dict[str, tuple[str, str, dict[str, str]]] = {
    "read secrets": ("POST", READ_BLOCKS, JSON),
    "make a secret": ("POST", BLOCKS, JSON),
    "make a secret as a form does": ("POST", BLOCKS, TEXT),
    "make a secret without a type": ("POST", BLOCKS, {}),
    "read one": ("GET", "/api/block_types/slug/secret/block_documents/name/planted?include_secrets=true", {}),
    "read flows": ("POST", "/api/flows/filter", JSON),
    "read settings": ("GET", "/api/admin/settings", {}),
    "empty the database": ("POST", "/api/admin/database/clear?confirm=true", JSON),
    "a token against forgery": ("GET", "/api/csrf-token?client=x", {}),
    "a variable called health": ("GET", "/api/variables/name/health", {}),
    "write to the one open address": ("POST", "/api/health", JSON),
    "two slashes": ("GET", "/api//admin/version", {}),
    "around the open address": ("GET", "/api/health/../admin/version", {}),
    "around it, encoded": ("GET", "/api/health/%2e%2e/admin/version", {}),
    "the API's description": ("GET", "/api/openapi.json", {}),
    "the API's pages": ("GET", "/api/docs", {}),
    "an empty user": ("GET", VERSION, basic(":")),
    "a wrong password": ("GET", VERSION, basic("detseg:detseg")),
    "the user alone": ("GET", VERSION, basic("detseg")),
    "no base64": ("GET", VERSION, {"Authorization": "Basic ???"}),
    "nothing after the scheme": ("GET", VERSION, {"Authorization": "Basic"}),
    "another scheme": ("GET", VERSION, {"Authorization": "Bearer x"}),
}


@pytest.mark.parametrize("attack", WITHOUT_CREDENTIAL)
def test_without_the_credential(target: Target, attack: str) -> None:
    method, path, headers = WITHOUT_CREDENTIAL[attack]
    body = json.dumps(WITH_SECRETS | {"name": ELSEWHERE, "data": {"value": "x"}})
    with httpx.Client(trust_env=False) as client:
        raw = httpx.URL(target.url).copy_with(raw_path=path.encode())
        answer = client.request(method, raw, headers=headers, content=body if method == "POST" else None)
    assert refused(answer, target), (answer.status_code, answer.text[:200])


def test_the_credential_opens_and_only_with_a_token_against_forgery(target: Target) -> None:
    """Also that the attacks above fail for want of it; a browser may have kept it and add it by itself."""
    with httpx.Client(base_url=target.url, headers=target.known, trust_env=False) as client:
        assert client.get(VERSION).status_code == 200
        assert client.post(READ_BLOCKS, json=WITH_SECRETS).status_code == 403
        assert client.post(BLOCKS, content="{}", headers=TEXT).status_code == 403
        token = client.get("/api/csrf-token", params={"client": "mine"}).json()["token"]
        mine = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "mine"}
        others = mine | {"Prefect-Csrf-Client": "another"}
        assert client.post(READ_BLOCKS, json=WITH_SECRETS, headers=others).status_code == 403
        read = client.post(READ_BLOCKS, json=WITH_SECRETS, headers=mine)
        assert (read.status_code, SECRET in read.text) == (200, True)
        settings = client.get("/api/admin/settings")
        assert settings.status_code == 200
        assert target.credential not in settings.text


ORIGINS = (
    "http://evil.example",
    "https://evil.example",
    "null",
    "",
    "file://",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://localhost:{port}",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1:{port}.evil.example",
    "http://127.0.0.1:{port}@evil.example",
    "HTTP://127.0.0.1:{port}",
)


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_page_of_another_origin_even_with_the_credential(target: Target, origin: str) -> None:
    """A read, a preflight, a request that needs none, and a socket."""
    sent = target.known | {"Origin": origin.format(port=target.address.partition(":")[2])}
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    with httpx.Client(base_url=target.url, trust_env=False) as client:
        assert refused(client.get(VERSION, headers=sent), target)
        assert refused(client.options(BLOCKS, headers=sent | preflight), target)
        assert refused(client.post(BLOCKS, headers=sent | TEXT, content=ELSEWHERE), target)
        assert refused(client.get(SOCKETS[0], headers=sent | UPGRADE), target)


NAMES = ("evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example:{port}")
NAMES += ("127.0.0.1@evil.example", "0.0.0.0:{port}", "127.1:{port}", "[::1]:{port}", "localhost.:{port}", "")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_here_is_not_ours(target: Target, name: str) -> None:
    """DNS rebinding: to the browser, the page and the server are one origin."""
    host = name.format(port=target.address.partition(":")[2])
    sent = target.known | {"Host": host, "X-Forwarded-Host": target.address}
    with httpx.Client(base_url=target.url, trust_env=False) as client:
        for headers in (sent, sent | {"Origin": f"http://{host}"}):
            assert refused(client.get(VERSION, headers=headers), target)
            assert refused(client.get("/", headers=headers), target)
            assert refused(client.get(SOCKETS[1], headers=headers | UPGRADE), target)


def test_a_request_without_a_host(target: Target) -> None:
    host, _, port = target.address.partition(":")
    with socket.create_connection((host, int(port))) as raw:
        login = target.known["Authorization"]
        raw.sendall(f"GET {VERSION} HTTP/1.0\r\nAuthorization: {login}\r\n\r\n".encode())
        assert raw.recv(1000).split()[1] == b"400"


def first_word(target: Target, path: str, message: dict[str, Any] | None, **options: Any) -> str:
    """What a socket answers to the first message, or that it closes."""
    try:
        with connect(f"ws://{target.address}{path}", **options) as connection:
            if message is not None:
                connection.send(json.dumps(message))
            return str(json.loads(connection.recv())["type"])
    except (ConnectionClosed, InvalidStatus):
        return "closed"


@pytest.mark.parametrize("path", SOCKETS)
def test_sockets_want_the_credential(target: Target, path: str) -> None:
    own: dict[str, Any] = {"subprotocols": ["prefect"], "proxy": None}
    assert first_word(target, path, None, proxy=None) == "closed"
    assert first_word(target, path, {"type": "auth", "token": target.credential}, proxy=None) == "closed"
    for message in ({"type": "auth"}, {"type": "auth", "token": "detseg:x"}, {"type": "events"}):
        assert first_word(target, path, message, **own) == "closed"
    known = {"type": "auth", "token": target.credential}
    assert first_word(target, path, known, **own, origin="http://evil.example") == "closed"
    assert first_word(target, path, known, **own) in ("auth_success", "ready")


def test_pages_elsewhere_cannot_hold_all_connections(target: Target) -> None:
    """Prefect takes 100 at once, and a socket that never signs in counts."""
    host, _, port = target.address.partition(":")
    lines = [f"GET {SOCKETS[0]} HTTP/1.1", f"Host: {target.address}", "Origin: http://evil.example"]
    lines += [f"{name}: {value}" for name, value in UPGRADE.items()]
    with (
        ExitStack() as stack,
        httpx.Client(base_url=target.url, headers=target.known, trust_env=False) as client,
    ):
        for _ in range(120):
            raw = stack.enter_context(socket.create_connection((host, int(port))))
            raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert client.get(VERSION).status_code == 200


def test_what_is_open_to_programs_tells_nothing(target: Target) -> None:
    """The page itself, its settings and the health check. It may not be framed, and asks nobody else."""
    with httpx.Client(base_url=target.url, trust_env=False) as client:
        for path in ("/", "/ui-settings", "/api/health", "/docs", "/redoc", "/openapi.json"):
            answer = client.get(path)
            assert answer.status_code in (200, 404)
            refused(answer, target)
            assert "block_documents" not in answer.text  # no description of the API
            policy = answer.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in policy
            assert "default-src 'self'" in policy
