"""The token of Label Studio stays with its server, whatever tasks, redirects and addresses say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from detseg.errors import LabelStudioError
from detseg.images import image_id
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.served import ServedFolder
from detseg.labelstudio.serving import ImageServing, LocalFiles
from detseg.labelstudio.serving_upload import Uploads
from detseg.sources.registry import Sources
from tests.sources.servers import Answer, WebServer, web_server

TOKEN = "1234567890abcdef1234567890abcdef12345678"


@pytest.fixture
def own() -> Iterator[WebServer]:
    """A server that counts as Label Studio."""
    with web_server() as server:
        server.answers["/data/a.png"] = Answer(b"image")
        yield server


@pytest.fixture
def other() -> Iterator[WebServer]:
    """Another server, which takes down what it is sent."""
    with web_server({"/a.png": Answer(b"image"), "/": Answer(b"")}) as server:
        yield server


@pytest.fixture
def client(own: WebServer) -> Iterator[LabelStudioClient]:
    with LabelStudioClient(own.url, TOKEN) as client:
        yield client


URLS = {
    "another server": "{other}/a.png",
    "another port": "{other}/data/a.png",
    "the server's address as a user": "http://{own_host}@{other_host}/a.png",
    "an address that begins alike": "{own}1/a.png",
    "an address that goes on": "{own}.example/a.png",
    "no scheme": "//{other_host}/a.png",
    "backslashes": "\\\\{other_host}\\a.png",
    "a file": "file:///etc/passwd",
    "upper case": "HTTP://{other_host}/a.png",
    "https": "https://{own_host}/a.png",
    "a line break": "{other}/a.png\n{own}",
}


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("kind", ["local-files", "upload"])
def test_what_a_task_names_elsewhere_is_not_fetched(
    own: WebServer, other: WebServer, client: LabelStudioClient, tmp_path: Path, url: str, kind: str
) -> None:
    hosts = {"own": own.url, "other": other.url}
    named = URLS[url].format(**hosts, own_host=own.url[7:], other_host=other.url[7:])
    serving: ImageServing = Uploads(client, 1, Sources)
    if kind == "local-files":
        serving = LocalFiles(client, 1, ServedFolder(tmp_path))
    task = {"id": 1, "data": {"image": named, "image_id": image_id(b"image")}}
    with pytest.raises(LabelStudioError):
        serving.check(task)
    assert other.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_no_token_along(
    own: WebServer, other: WebServer, client: LabelStudioClient, status: int
) -> None:
    own.answers["/data/away.png"] = Answer(status=status, headers={"Location": f"{other.url}/a.png"})
    with pytest.raises(LabelStudioError):
        client.fetch("/data/away.png")
    assert client.redirect("/data/away.png") == f"{other.url}/a.png"
    assert other.asked == []


@pytest.mark.parametrize("path", ["{other}/", "http://{other_host}/", "{other}/api/version"])
def test_no_request_of_the_session_leaves_the_server(
    other: WebServer, client: LabelStudioClient, path: str
) -> None:
    with pytest.raises(LabelStudioError, match=r"is not .* the token of Label Studio goes nowhere"):
        client.session.send("GET", path.format(other=other.url, other_host=other.url[7:]))
    assert other.asked == []


def test_the_servers_own_images_are_fetched_with_it(own: WebServer, client: LabelStudioClient) -> None:
    assert client.fetch("/data/a.png") == client.fetch(f"{own.url}/data/a.png") == b"image"
    assert [headers["Authorization"] for _, headers in own.asked] == [f"Token {TOKEN}"] * 2
