"""The embedded Label Studio, the real one: up, down, twice, at once, killed, with its port taken."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from detseg.errors import ServiceError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection, EmbeddedLabelStudio
from tests.labelstudio.scenes import push_scene
from tests.workers import first_port

UP = """
import sys
from pathlib import Path
from detseg.labelstudio.server import EmbeddedLabelStudio
connection = EmbeddedLabelStudio(Path(sys.argv[1]), port=int(sys.argv[2])).up()
print(connection.url, connection.token)
"""
PORT = first_port(18180)


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of a server that only these tests take down."""
    folder = tmp_path_factory.mktemp("state of its own")
    yield folder
    EmbeddedLabelStudio(folder).down()


@pytest.fixture
def server(state_dir: Path) -> EmbeddedLabelStudio:
    return EmbeddedLabelStudio(state_dir, port=PORT)


def test_a_folder_has_one_server_however_many_start_it_and_another_folder_another(
    server: EmbeddedLabelStudio, state_dir: Path, tmp_path: Path
) -> None:
    """All at once, and all want one port."""
    assert not server.status().running
    assert server.connection() is None
    other = EmbeddedLabelStudio(tmp_path, port=PORT)
    commands = [
        [sys.executable, "-c", UP, str(folder), str(PORT)] for folder in (state_dir, state_dir, tmp_path)
    ]
    try:
        starting = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
        said = [process.communicate()[0] for process in starting]
        connections = [server.up(), server.up(), other.up()]
        assert said == [f"{connection.url} {connection.token}\n" for connection in connections]
        assert connections[0].url != connections[2].url
    finally:
        other.down()
    status = server.status()
    assert (status.running, status.healthy, status.url) == (True, True, connections[0].url)
    assert server.connection() == connections[0]
    assert other.connection() is None


def test_it_listens_on_loopback_only(server: EmbeddedLabelStudio) -> None:
    server.up()
    pid = server.status().pid
    listening = [c for c in psutil.Process(pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}


def test_credentials_are_for_the_owner_alone_and_nowhere_else(server: EmbeddedLabelStudio) -> None:
    connection = server.up()
    assert stat.S_IMODE(server.credentials_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    readable = [path for path in server.folder.rglob("*") if path.lstat().st_mode & 0o077]
    assert [path for path in readable if not path.is_symlink()] == []
    kept = json.loads(server.credentials_file.read_text())
    assert kept == {
        "username": connection.username,
        "password": connection.password,
        "token": connection.token,
    }
    for secret in (kept["password"], kept["token"]):
        assert secret not in repr(connection)
        assert secret not in server.log.read_text()
        assert secret not in " ".join(psutil.Process(server.status().pid).cmdline())


def test_nothing_of_the_users_environment_reaches_it(
    server: EmbeddedLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.down()
    for name in (
        "HOST",
        "DEBUG",
        "DATABASE_NAME",
        "PASSWORD",
        "LABEL_STUDIO_HOST",
        "DJANGO_DB",
        "http_proxy",
    ):
        monkeypatch.setenv(name, "http://127.0.0.1:9/users-own")
    connection = server.up()
    environment = psutil.Process(server.status().pid).environ()
    assert not [name for name, value in environment.items() if "users-own" in value]
    with LabelStudioClient(connection.url, connection.token) as client:
        assert client.version() == "1.23.2"


def test_work_survives_a_kill_and_a_taken_port(
    server: EmbeddedLabelStudio, new_title: Callable[[], str], tmp_path: Path
) -> None:
    before = server.up()
    title = new_title()
    with LabelStudioClient(before.url, before.token) as client:
        pushed = push_scene(client, title, tmp_path / "images" / "a.png")
    pid = server.status().pid
    assert pid is not None
    process = psutil.Process(pid)
    os.kill(pid, signal.SIGKILL)
    process.wait()
    assert not server.status().running
    port = int(before.url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        after = server.up()
        assert after.url != before.url
        assert (after.token, after.password) == (before.token, before.password)
        with LabelStudioClient(after.url, after.token) as client:
            assert client.find_projects(title)[0].id == pushed.project
            assert client.task_ids(pushed.project) == (pushed.id,)
            assert client.fetch(pushed.sent["data"]["image"]) == (tmp_path / "images" / "a.png").read_bytes()


def test_down_twice_and_up_again_on_the_same_port(server: EmbeddedLabelStudio) -> None:
    first = server.up()
    assert server.down()
    assert not server.down()
    status = server.status()
    assert (status.running, status.healthy, status.url, status.pid) == (False, False, None, None)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{first.url}/health")
    assert server.up() == first


def test_a_cut_off_memory_of_the_port_costs_nothing_but_the_port(server: EmbeddedLabelStudio) -> None:
    server.up()
    server.down()
    for text in ("", "{", '{"port": null}'):
        (server.folder / "server.json").write_text(text)
        assert not server.status().running
        assert not server.down()
    connection = server.up()
    with LabelStudioClient(connection.url, connection.token) as client:
        client.whoami()


def test_other_credentials_than_the_data_was_made_with_are_named(server: EmbeddedLabelStudio) -> None:
    server.up()
    kept = server.credentials_file.read_text()
    server.credentials_file.write_text(json.dumps({**json.loads(kept), "token": "0" * 40}))
    with pytest.raises(ServiceError, match=r"does not know the token in .*credentials\.json"):
        server.up()
    server.credentials_file.write_text("{")
    with pytest.raises(ServiceError, match=r"credentials\.json does not hold username, password and token"):
        server.up()
    server.credentials_file.write_text(kept)
    server.up()


def test_a_server_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DETSEG_LABEL_STUDIO_BIN", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ServiceError, match=r"not installed: run `python -m detseg\.labelstudio\.install`"):
        EmbeddedLabelStudio(tmp_path / "state").up()


def test_a_state_folder_that_was_never_used_is_left_alone(tmp_path: Path) -> None:
    server = EmbeddedLabelStudio(tmp_path / "state")
    assert not server.down()
    assert not server.status().running
    assert server.connection() is None
    assert not (tmp_path / "state").exists()


NAMES = ["plain.png", "with a space.png", "🙂 ünïcode #1.png", "a&b=c%20d?e+f;g.png", "'quoted' \"name\".png"]


@pytest.mark.parametrize("name", NAMES)
def test_images_load_as_in_the_page_whatever_they_are_called(
    label_studio: Connection,
    client: LabelStudioClient,
    document_root: Path,
    new_title: Callable[[], str],
    tmp_path: Path,
    name: str,
) -> None:
    path = tmp_path / "folder of 🙂 & co" / name
    pushed = push_scene(client, new_title(), path, document_root=document_root)
    url = label_studio.url + client.task(pushed.id)["data"]["image"]
    with logged_in(label_studio) as browser:
        answer = browser.get(url)
        assert (answer.status_code, answer.content) == (200, path.read_bytes())
    assert httpx.get(url).status_code == 401


@contextmanager
def logged_in(connection: Connection) -> Iterator[httpx.Client]:
    """A session with the page's cookies instead of a token."""
    with httpx.Client(timeout=600, follow_redirects=True) as browser:
        browser.get(f"{connection.url}/user/login/")
        form = {
            "email": connection.username,
            "password": connection.password,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        assert browser.post(f"{connection.url}/user/login/", data=form).status_code == 200
        yield browser
