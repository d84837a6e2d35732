"""``detseg doctor`` on a real Label Studio that is broken in every way that can be made there."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from detseg.config import Settings, load_settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.label_config import taxonomy_to_config
from detseg.labelstudio.served import ServedFolder
from detseg.labelstudio.server import Connection, EmbeddedLabelStudio
from detseg.pipeline.doctor import Check, look_at_label_studio
from detseg.pipeline.workspace import opened_catalog, record_project
from tests.pipeline.conftest import TAXONOMY
from tests.workers import first_port


@pytest.fixture(scope="module")
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of a server whose settings these tests may change."""
    state = tmp_path_factory.mktemp("doctor-state")
    server = EmbeddedLabelStudio(state, port=first_port(18280))
    server.up()
    try:
        yield state
    finally:
        server.down()


@pytest.fixture(scope="module")
def own(own_state: Path) -> Connection:
    connection = EmbeddedLabelStudio(own_state, port=first_port(18280)).connection()
    assert connection is not None
    return connection


@pytest.fixture(scope="module")
def owner(own: Connection) -> Iterator[LabelStudioClient]:
    with LabelStudioClient(own.url, own.token) as client:
        yield client


@pytest.fixture(scope="module")
def personal(owner: LabelStudioClient) -> str:
    return str(owner.session.json("POST", "/api/token/")["token"])


@pytest.fixture
def look(own: Connection, own_state: Path, tmp_path: Path) -> Callable[..., list[Check]]:
    """Looks at a Label Studio with these settings over good ones."""

    def look_with(**changes: Any) -> list[Check]:
        good = {
            "label_studio__url": own.url,
            "label_studio__files": own_state / "served",
            "label_studio__token": own.token,
            "queue__project": "doctor",
            "source__location": str(tmp_path),
            "state_dir": str(tmp_path / "state"),
        }
        settings = Settings(root=tmp_path).updated(**{**good, **changes})
        checks = list(look_at_label_studio(settings))
        assert all(check.ok or check.mend for check in checks)
        return checks

    return look_with


def failed(checks: list[Check]) -> Check:
    """The one check that failed, which is the last."""
    assert [check.ok for check in checks] == [True] * (len(checks) - 1) + [False]
    return checks[-1]


@contextmanager
def answering(body: str, *, status: int = 200) -> Iterator[str]:
    """A server that is no Label Studio, or an old one: it says the same to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if body.startswith("{") else "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_all_is_well(look: Callable[..., list[Check]]) -> None:
    assert [check.name for check in look()] == ["Label Studio", "token", "project"]
    assert all(check.ok for check in look())


def test_nobody_at_the_address(look: Callable[..., list[Check]]) -> None:
    check = failed(look(label_studio__url="http://127.0.0.1:9"))
    assert check.name == "Label Studio"
    assert "nobody answers at http://127.0.0.1:9" in check.found
    assert "label_studio.url" in check.mend


@pytest.mark.parametrize(("body", "status"), [("<html>hello</html>", 200), ("{}", 404)])
def test_somebody_else_at_the_address(look: Callable[..., list[Check]], body: str, status: int) -> None:
    with answering(body, status=status) as url:
        check = failed(look(label_studio__url=url))
    assert check.name == "Label Studio"
    assert "label_studio.url" in check.mend


def test_a_path_behind_the_address(look: Callable[..., list[Check]], own: Connection) -> None:
    assert "label_studio.url" in failed(look(label_studio__url=f"{own.url}/wrong")).mend


def test_an_old_server(look: Callable[..., list[Check]]) -> None:
    with answering('{"release": "1.13.1"}') as url:
        check = failed(look(label_studio__url=url))
    assert "version 1.13.1: an old one" in check.found
    assert check.mend.startswith("upgrade it to 1.")


def test_no_token(look: Callable[..., list[Check]]) -> None:
    check = failed(look(label_studio__token=None))
    assert (check.name, "there is no token" in check.found) == ("token", True)


def test_a_wrong_token(look: Callable[..., list[Check]]) -> None:
    check = failed(look(label_studio__token="0" * 40))
    assert "Invalid token" in check.found
    assert "Account & Settings" in check.mend
    assert "0" * 40 not in f"{check}"


def test_a_token_in_a_file(look: Callable[..., list[Check]], own: Connection, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(own.token)
    file.chmod(0o644)
    first, *others = look(label_studio__token=None, label_studio__token_file="token")
    assert (first.name, first.ok, first.mend) == ("token file", False, f"chmod 600 '{file}'")
    assert all(check.ok for check in others)
    file.chmod(0o600)
    assert all(check.ok for check in look(label_studio__token=None, label_studio__token_file="token"))


def test_a_disabled_legacy_token(
    look: Callable[..., list[Check]], own: Connection, owner: LabelStudioClient, personal: str
) -> None:
    with legacy_tokens_off(own, owner, personal):
        check = failed(look())
        assert all(one.ok for one in look(label_studio__token=personal))
    assert "legacy token authentication has been disabled" in check.found
    assert check.mend.startswith("make a personal access token")


@contextmanager
def legacy_tokens_off(own: Connection, owner: LabelStudioClient, personal: str) -> Iterator[None]:
    allow = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
    owner.session.json("POST", "/api/jwt/settings", body={**allow, "legacy_api_tokens_enabled": False})
    try:
        yield
    finally:
        with LabelStudioClient(own.url, personal) as client:
            client.session.json("POST", "/api/jwt/settings", body=allow)


def test_personal_access_tokens_that_the_organisation_does_not_allow(
    look: Callable[..., list[Check]], owner: LabelStudioClient, personal: str
) -> None:
    allow = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
    owner.session.json("POST", "/api/jwt/settings", body={**allow, "api_tokens_enabled": False})
    try:
        check = failed(look(label_studio__token=personal))
    finally:
        owner.session.json("POST", "/api/jwt/settings", body=allow)
    assert "its organisation does not allow personal access tokens" in check.found


def test_an_expired_and_a_foreign_personal_access_token(
    look: Callable[..., list[Check]], own_state: Path, personal: str
) -> None:
    """Signed with the server's own key, as it would be after its time."""
    environment = (own_state / "label-studio" / "data" / ".env").read_text()
    key = re.search(r"SECRET_KEY=(.*)", environment)
    assert key is not None
    claims = json.loads(base64.urlsafe_b64decode(personal.split(".")[1] + "=="))
    expired = _signed({**claims, "exp": 1}, key.group(1).strip().strip("'\""))
    assert "has expired" in failed(look(label_studio__token=expired)).found
    foreign = _signed(claims, "another server's key")
    assert "is not one of this server" in failed(look(label_studio__token=foreign)).found


def _signed(claims: dict[str, Any], key: str) -> str:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    words = f"{part(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{part(json.dumps(claims).encode())}"
    return f"{words}.{part(hmac.new(key.encode(), words.encode(), hashlib.sha256).digest())}"


def test_a_user_without_rights(
    look: Callable[..., list[Check]], owner: LabelStudioClient, own_state: Path
) -> None:
    user = owner.ensure_user("nobody@example.com", first_name="No", last_name="Body")
    database = own_state / "label-studio" / "data" / "label_studio.sqlite3"
    with sqlite3.connect(database) as connection:
        (token,) = connection.execute("SELECT key FROM authtoken_token WHERE user_id = ?", [user]).fetchone()
    connection.close()
    check = failed(look(label_studio__token=token))
    assert check.found == "nobody@example.com belongs to no organisation, so it sees no project"


def test_a_project_that_is_not_seen_any_more(
    look: Callable[..., list[Check]], owner: LabelStudioClient, tmp_path: Path
) -> None:
    project = owner.create_project("seen once", taxonomy_to_config(TAXONOMY))
    settings = load_settings(None, environ={}, state_dir=str(tmp_path / "state"))
    with opened_catalog(settings) as catalog:
        record_project(catalog, owner.url, project)
    assert all(check.ok for check in look(queue__project="seen once"))
    owner.update_project(project.id, title="seen twice")
    assert failed(look(queue__project="seen once")).found == "'seen once' is called 'seen twice' now"
    owner.delete_project(project.id)
    check = failed(look(queue__project="seen once"))
    assert f"'seen once' (id {project.id}) was there" in check.found


def test_images_that_the_server_cannot_read(
    look: Callable[..., list[Check]], owner: LabelStudioClient, own_state: Path, tmp_path: Path
) -> None:
    project = owner.create_project("images", taxonomy_to_config(TAXONOMY)).id
    *_, check = look(queue__project="images")
    assert (check.name, check.ok) == ("images", True)
    assert "is not there yet; `detseg preannotate` makes it" in check.found
    for root in (own_state / "served", tmp_path / "elsewhere"):
        ServedFolder(root).make()
    *_, check = look(queue__project="images")
    assert check.found == f"the server can serve {own_state / 'served' / 'detseg-images'}"
    assert owner.local_storages(project) == ()
    check = failed(look(queue__project="images", label_studio__files=tmp_path / "elsewhere"))
    assert check.name == "images"
    assert "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT" in check.mend
    check = failed(look(queue__project="images", label_studio__files=None))
    assert "there is no label_studio.files" in check.found
    assert look(queue__project="images", label_studio__files=None, queue__serve_images="upload")[-1].ok
