"""The worst suspects in a tab of the real server, and what may be in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.metrics.suspects.findings import Suspect
from detseg.pipeline.send_back import TITLE, send_back
from detseg.types import ImageId
from tests.pipeline.conftest import settings_for
from tests.pipeline.reviewing import fill_queue, submit, tasks_of


def suspect(image: str, task: int, score: float) -> Suspect:
    return Suspect(
        image=ImageId(image),
        task_id=task,
        task_url="",
        region=None,
        label=None,
        author="ann",
        rule="too_fast",
        score=score,
        reason="5 regions in 0.1 s",
        box=None,
    )


def shown(client: LabelStudioClient, project: int) -> list[int] | None:
    """The tasks of our tab; None without one."""
    views = client.session.send("GET", "/api/dm/views/", params={"project": project}).json()
    ours = [view["id"] for view in views if view["data"]["title"] == TITLE]
    if not ours:
        return None
    (view,) = ours
    answer = client.session.json("GET", "/api/tasks/", params={"view": view, "project": project})
    return [task["id"] for task in answer["tasks"]]


@pytest.fixture
def project(queue: Settings, catalog: Catalog, client: LabelStudioClient) -> int:
    """Five reviewed tasks."""
    made = fill_queue(queue, catalog)
    for task in tasks_of(client, made):
        submit(client, task)
    return made


@pytest.fixture
def suspects(client: LabelStudioClient, project: int) -> Sequence[Suspect]:
    """Two suspects in each of four tasks, the later tasks first."""
    tasks = tasks_of(client, project)[:4]
    return [
        suspect(task["data"]["image_id"], int(task["id"]), score)
        for score in (0.9, 0.1)
        for task in tasks[::-1]
    ]


def test_the_worst_go_back_and_the_next_run_renews_the_tab(
    queue: Settings, client: LabelStudioClient, project: int, suspects: Sequence[Suspect]
) -> None:
    before = tasks_of(client, project)
    ids = [int(task["id"]) for task in before]
    sent = send_back(queue.server, queue.queue.project, suspects, 2)
    assert (sent.n_sent, sent.n_gone, sent.problem) == (2, 0, None)
    assert shown(client, project) == ids[2:4]
    again = send_back(queue.server, queue.queue.project, suspects, 99)
    assert (again.n_sent, again.url) == (4, sent.url)
    assert shown(client, project) == ids[:4]
    assert tasks_of(client, project) == before  # annotations, predictions and times of change


def test_none_takes_the_tab_away(
    queue: Settings, client: LabelStudioClient, project: int, suspects: Sequence[Suspect]
) -> None:
    assert send_back(queue.server, queue.queue.project, suspects, 0).url is None
    assert shown(client, project) is None
    send_back(queue.server, queue.queue.project, suspects, 3)
    assert send_back(queue.server, queue.queue.project, [], 3).url is None
    assert shown(client, project) is None


def test_deleted_tasks_make_room_for_the_next(
    queue: Settings, client: LabelStudioClient, project: int, suspects: Sequence[Suspect]
) -> None:
    client.delete_task(suspects[0].task_id)
    replaced = [
        replace(one, task_id=one.task_id + 1000) if one.image == suspects[1].image else one
        for one in suspects
    ]
    sent = send_back(queue.server, queue.queue.project, replaced, 1)
    assert (sent.n_sent, sent.n_gone) == (1, 2)
    assert shown(client, project) == [suspects[2].task_id]


def test_what_is_in_the_way_is_said_in_one_line(
    queue: Settings, settings: Settings, client: LabelStudioClient, project: int, suspects: Sequence[Suspect]
) -> None:
    down = settings_for(settings, "http://127.0.0.1:9", "token", title=queue.queue.project)
    client.delete_project(project)
    for there, words in ((down, "did not answer"), (queue, "0 projects")):
        sent = send_back(there.server, there.queue.project, suspects, 2)
        assert sent.url is None
        assert sent.problem is not None
        assert words in sent.problem
        assert "\n" not in sent.problem
