"""The client against the real server."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from detseg.errors import LabelStudioError, Unreachable
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import decode_task
from detseg.labelstudio.json_body import encode_json
from detseg.labelstudio.label_config import taxonomy_to_config
from detseg.labelstudio.predictions import add_predictions, look_up
from detseg.labelstudio.server import Connection
from tests.labelstudio.scenes import TAXONOMY, push_scene

CONFIG = taxonomy_to_config(TAXONOMY)


@pytest.fixture
def project(client: LabelStudioClient, new_title: Callable[[], str]) -> int:
    return client.create_project(new_title(), CONFIG).id


def tasks_of(keys: list[str]) -> list[dict[str, Any]]:
    return [{"data": {"image": "/data/x", "image_id": key, "width": 640, "height": 480}} for key in keys]


def test_the_server_knows_us(client: LabelStudioClient) -> None:
    assert client.whoami()["email"] == "detseg@localhost"
    assert client.version() == "1.23.2"


def test_a_wrong_token_is_named(label_studio: Connection) -> None:
    with (
        LabelStudioClient(label_studio.url, "0" * 40) as client,
        pytest.raises(LabelStudioError, match=r"HTTP 401: Invalid token.*set DETSEG_LABEL_STUDIO__TOKEN"),
    ):
        client.whoami()


def test_nobody_there_is_named() -> None:
    waits: list[float] = []
    with (
        LabelStudioClient("http://127.0.0.1:9", "token", sleep=waits.append) as client,
        pytest.raises(Unreachable, match=r"127\.0\.0\.1:9 did not answer"),
    ):
        client.whoami()


def test_a_personal_access_token_of_the_real_server(
    client: LabelStudioClient, label_studio: Connection
) -> None:
    headers = {"Authorization": f"Token {label_studio.token}"}
    made = httpx.post(f"{label_studio.url}/api/token/", headers=headers, timeout=600)
    token = made.json()["token"]
    with LabelStudioClient(label_studio.url, token) as personal:
        assert personal.whoami()["email"] == client.whoami()["email"]
    with (
        LabelStudioClient(label_studio.url, token[:-3] + "abc") as forged,
        pytest.raises(LabelStudioError, match="the personal access token is not one of this server"),
    ):
        forged.whoami()


def test_projects_are_found_by_their_whole_title(
    client: LabelStudioClient, new_title: Callable[[], str]
) -> None:
    title = new_title()
    first = client.create_project(title, CONFIG)
    client.create_project(f"{title} and more", CONFIG)
    second = client.create_project(title, CONFIG)
    assert client.find_projects(title) == (first, second)
    assert client.find_projects(f"no {title}") == ()
    client.delete_project(second.id)
    assert [project.id for project in client.find_projects(title)] == [first.id]


def test_tasks_are_found_by_their_keys(client: LabelStudioClient, project: int) -> None:
    keys = [f"sha256:{i:064x}" for i in range(230)]
    ids = client.import_tasks(project, tasks_of(keys))
    assert len(ids) == 230
    assert client.task_ids(project) == ids
    assert client.tasks_by_keys(project, [*keys, "sha256:none"]) == {
        key: (task,) for key, task in zip(keys, ids, strict=True)
    }
    (again,) = client.import_tasks(project, tasks_of(keys[:1]))
    assert client.tasks_by_keys(project, keys[:1]) == {keys[0]: (ids[0], again)}
    assert client.tasks_by_keys(project, []) == {}
    client.session.send("DELETE", f"/api/tasks/{ids[1]}/")
    assert client.tasks_by_keys(project, keys[1:2]) == {}


def test_a_refused_import_adds_nothing(client: LabelStudioClient, project: int) -> None:
    good, bad = tasks_of(["sha256:1", "sha256:2"])
    bad["predictions"] = [{"model_version": "m", "result": [{"type": "rectanglelabels"}]}]
    with pytest.raises(LabelStudioError, match="HTTP 400"):
        client.import_tasks(project, [good, bad])
    assert client.task_ids(project) == ()


def test_keys_with_everything_that_json_and_urls_escape(client: LabelStudioClient, project: int) -> None:
    keys = ['a "b" & c', "ü🙂", "100%", "a,b", "x" * 200]
    ids = client.import_tasks(project, tasks_of(keys))
    assert client.tasks_by_keys(project, keys) == {key: (task,) for key, task in zip(keys, ids, strict=True)}


def test_tasks_come_as_a_whole_by_their_ids(client: LabelStudioClient, project: int) -> None:
    ids = client.import_tasks(project, tasks_of([f"sha256:{i}" for i in range(12)]))
    client.create_annotation(ids[3], [], lead_time_s=2.0)
    client.create_annotation(ids[7], [], lead_time_s=3.0, was_cancelled=True)
    tasks = list(client.tasks(project))
    assert [task["id"] for task in tasks] == list(ids)
    states = {
        task["id"]: [one.annotation.state for one in decode_task(task, TAXONOMY).reviews] for task in tasks
    }
    assert states == {id_: [] for id_ in ids} | {ids[3]: ["empty"], ids[7]: ["skipped"]}


def test_annotations_are_updated_and_read_back(
    client: LabelStudioClient, new_title: Callable[[], str], tmp_path: Path
) -> None:
    pushed = push_scene(client, new_title(), tmp_path / "images" / "a.png")
    task = client.task(pushed.id)
    (prediction,) = task["predictions"]
    made = client.create_annotation(
        pushed.id, prediction["result"], lead_time_s=4.5, parent_prediction=prediction["id"]
    )
    (review,) = decode_task(client.task(pushed.id), TAXONOMY).reviews
    assert (review.annotation_id, review.annotation.lead_time_s) == (made, 4.5)
    assert {region.id for region in review.annotation.regions} == {region.id for region in pushed.regions}
    client.update_annotation(made, result=prediction["result"][:1], lead_time=6.0)
    (updated,) = decode_task(client.task(pushed.id), TAXONOMY).reviews
    assert (updated.annotation_id, updated.annotation.lead_time_s) == (made, 6.0)
    assert len(updated.annotation.regions) == 1
    assert updated.annotation.updated_at is not None
    assert review.annotation.updated_at is not None
    assert updated.annotation.updated_at > review.annotation.updated_at


def test_adding_predictions_counts_no_other_tasks_anew(
    client: LabelStudioClient, label_studio_state: Path, project: int
) -> None:
    """Else each request takes the longer, the more tasks the project has."""
    one, other = client.import_tasks(project, tasks_of(["one", "other"]))
    database = label_studio_state / "label-studio" / "data" / "label_studio.sqlite3"
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        connection.execute("UPDATE task SET total_predictions = 7 WHERE id = ?", [other])
    prediction = {"task": one, "model_version": "next@00000002", "score": 0.5, "result": []}
    add_predictions(client.session, project, encode_json([prediction]), 1)
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        query = "SELECT total_predictions FROM task WHERE project_id = ? ORDER BY id"
        assert [n for (n,) in connection.execute(query, [project])] == [1, 7]


READS: dict[str, Callable[[LabelStudioClient], object]] = {
    "a user": lambda client: client.whoami(),
    "a project": lambda client: client.project(1),
    "projects": lambda client: client.find_projects("parts"),
    "a new project": lambda client: client.create_project("parts", "<View/>"),
    "storages": lambda client: client.local_storages(1),
    "uploads": lambda client: client.uploads(1),
    "tasks": lambda client: client.tasks_by_keys(1, ["sha256:00"]),
    "ids": lambda client: client.task_ids(1),
    "a task": lambda client: client.task(1),
    "predictions": lambda client: look_up(client.session, 1, [1]),
}
NONSENSE: tuple[bytes, ...] = (
    b'{"unexpected": [1, 2, 3]}',
    b'[{"unexpected": 1}]',
    b"[1, 2]",
    b'[{"id": "x", "path": 5, "file": null, "email": {}}]',
    b'{"id": 1, "title": 5, "email": 3, "created_at": "2026-03-01T12:00:00Z", "data": []}',
    b'"text"',
    b"null",
    b'{"id": 1, "title": "par',
    b"<html><title>Log in</title></html>",
    b'{"tasks": [{"id": null}], "total": 1, "results": [{"title": "parts"}], "count": "x"}',
)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("content", NONSENSE)
def test_an_answer_of_nonsense_is_one_line(
    read: Callable[[LabelStudioClient], object], content: bytes
) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=content))
    with (
        LabelStudioClient("http://ls.example", "token", transport=transport) as client,
        pytest.raises(LabelStudioError, match=r"http://ls\.example") as caught,
    ):
        read(client)
    assert "\n" not in str(caught.value)
