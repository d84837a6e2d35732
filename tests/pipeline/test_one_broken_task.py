"""One task at which a real Label Studio fails (HTTP 500), whenever it is asked: all others go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import BrokenAnswer
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from detseg.labelstudio.session import Json
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.push import PushReport, plan_push, push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import ModelVersion
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor
from tests.pipeline.hostile_answers import PERSONAL, LyingProxy, lying_proxy
from tests.pipeline.lies import Answer
from tests.pipeline.reviewing import fill_queue, predicted, submit, tasks_of

pytestmark = pytest.mark.usefixtures("soon")

NEXT = ModelVersion("next@00000002")
BROKEN = Answer(500, {}, b"<html><title>Server Error (500)</title></html>")
LONE: Json = {"meta": {"text": ["\ud800"]}}
"""Half a letter: the server keeps it, and fails whenever it is to show it."""


@pytest.fixture
def proxy(label_studio: Connection) -> Iterator[LyingProxy]:
    with lying_proxy(label_studio) as made:
        yield made


def through(proxy: LyingProxy, queue: Settings) -> Settings:
    proxy.begin()
    proxy.forget()
    changes: dict[str, Any] = {"label_studio__url": proxy.url, "label_studio__token": PERSONAL}
    return queue.updated(**changes)


def break_prediction(client: LabelStudioClient, task: Json) -> None:
    """Somebody's own model says what the server cannot show."""
    result = [predicted(task)[0] | LONE]
    body = json.dumps({"task": task["id"], "model_version": "theirs", "result": result}).encode()
    with suppress(BrokenAnswer):
        client.session.send("POST", "/api/predictions/", body=body)


def break_draft(client: LabelStudioClient, task: Json) -> None:
    body = json.dumps({"result": [predicted(task)[0] | LONE], "lead_time": 1.0}).encode()
    with suppress(BrokenAnswer):
        client.session.send("POST", f"/api/tasks/{task['id']}/drafts", body=body)


Between = Callable[[str, str, bytes, Callable[[], Answer]], Answer]


def failing(at: Callable[[str, str, bytes], bool]) -> Between:
    """A server that fails at such requests (method, path, body) before it does anything."""
    return lambda method, path, body, ask: BROKEN if at(method, path, body) else ask()


def push_next(queue: Settings, catalog: Catalog, how: str, version: ModelVersion = NEXT) -> PushReport:
    """Push without patience for requests of the run before."""
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(version=version), refs)
    settings = queue.updated(queue__predictions=how, label_studio__patience_s=0.0)
    return push(settings, catalog, refs=refs, version=version, taxonomy=TAXONOMY)


def statuses(report: PushReport) -> dict[str, int]:
    return {status: n for status, n in report.counts.items() if n}


def versions(client: LabelStudioClient, project: int) -> list[list[str]]:
    return [sorted(one["model_version"] for one in task["predictions"]) for task in tasks_of(client, project)]


@pytest.mark.parametrize("break_it", [break_prediction, break_draft])
@pytest.mark.parametrize("how", ["add", "replace"])
def test_a_task_whose_predictions_or_drafts_are_not_shown_keeps_no_other_from_the_next_model(
    queue: Settings,
    catalog: Catalog,
    client: LabelStudioClient,
    break_it: Callable[[LabelStudioClient, Json], None],
    how: str,
) -> None:
    project = fill_queue(queue, catalog)
    broken, *_ = tasks_of(client, project)
    break_it(client, broken)
    report = push_next(queue, catalog, how)
    assert statuses(report) == ({"added": 5} if how == "add" else {"added": 1, "replaced": 4})
    assert not report.failures
    assert statuses(push_next(queue, catalog, how)) == {"present": 5}


def test_collecting_goes_on_where_a_task_has_a_prediction_that_is_not_shown(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = fill_queue(queue, catalog)
    push_next(queue, catalog, "add")
    tasks = tasks_of(client, project)
    break_prediction(client, tasks[0])
    for task in tasks:
        submit(client, task)
    report = collect_reviews(queue, catalog)
    assert (report.new, report.failures) == (5, ())


def about(task: Json) -> Callable[[str, str, bytes], bool]:
    """Requests that change that task or its predictions."""
    numbers = {f"/api/predictions/{one['id']}/" for one in task["predictions"]}
    return lambda method, path, _: (
        method in ("PATCH", "DELETE")
        and (path in numbers or path.partition("?")[0] == f"/api/tasks/{task['id']}/")
    )


def test_a_prediction_that_cannot_be_replaced_is_said_and_replaced_by_the_next_run(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, proxy: LyingProxy
) -> None:
    project = fill_queue(queue, catalog)
    tasks = tasks_of(client, project)
    settings = through(proxy, queue)
    proxy.between = failing(about(tasks[1]))
    report = push_next(settings, catalog, "replace")
    assert statuses(report) == {"refused": 1, "replaced": 4}
    (failure,) = report.failures
    assert f"{proxy.url}/projects/{project}/data?task={tasks[1]['id']}" in failure.reason
    proxy.begin()
    assert statuses(push_next(settings, catalog, "replace")) == {"refused": 1, "present": 4}
    assert versions(client, project) == [[NEXT], [VERSION], [NEXT], [NEXT], [NEXT]]
    assert statuses(push_next(queue, catalog, "replace")) == {"replaced": 1, "present": 4}
    assert versions(client, project) == [[NEXT]] * 5


def naming(word: str) -> Callable[[str, str, bytes], bool]:
    """Requests that add something and say this word."""
    return lambda method, _, body: method == "POST" and word.encode() in body


@pytest.mark.parametrize("kind", ["tasks", "predictions"])
def test_what_one_image_breaks_is_sent_without_it(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, proxy: LyingProxy, kind: str
) -> None:
    settings, version = through(proxy, queue), NEXT
    if kind == "tasks":
        version = VERSION
        refs = scan(queue, catalog).images
        proxy.between = failing(naming(refs[1].id))
        report = push_next(settings, catalog, "add", version)
        project = report.project_id
        assert statuses(report) == {"pushed": 4, "refused": 1}
    else:
        project = fill_queue(queue, catalog)
        broken = tasks_of(client, project)[1]["id"]
        proxy.between = failing(
            lambda _, path, body: (
                path.endswith("/import/predictions")
                and any(one["task"] == broken for one in json.loads(body))
            )
        )
        report = push_next(settings, catalog, "add", version)
        assert statuses(report) == {"added": 4, "refused": 1}
        (failure,) = report.failures
        assert f"{proxy.url}/projects/{project}/data?task={broken}" in failure.reason
    again = push_next(queue, catalog, "add", version)
    assert (again.counts["present"], again.counts["refused"]) == (4, 0)
    assert versions(client, project) == [[VERSION] if kind == "tasks" else [VERSION, NEXT]] * 5


def test_what_is_added_after_the_server_failed_at_everything_is_there_once(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, proxy: LyingProxy
) -> None:
    project = fill_queue(queue, catalog)
    settings = through(proxy, queue)
    proxy.between = failing(lambda method, path, _: method == "POST" and path.endswith("/import/predictions"))
    assert statuses(push_next(settings, catalog, "add")) == {"refused": 5}
    assert push_next(queue, catalog, "add").counts["added"] == 5
    assert versions(client, project) == [[VERSION, NEXT]] * 5


def hiding(task: int) -> Between:
    """A server that shows nothing of that task but its number and moment."""

    def between(_: str, path: str, __: bytes, ask: Callable[[], Answer]) -> Answer:
        true = ask()
        document = json.loads(true.body) if path.startswith("/api/tasks/?") else {}
        shown = any(
            one["id"] == task and one.keys() - {"id", "updated_at"} for one in document.get("tasks", ())
        )
        return BROKEN if shown or path.startswith(f"/api/tasks/{task}/") else true

    return between


def test_a_task_that_is_not_shown_at_all_is_said_by_every_collect_until_it_is(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, proxy: LyingProxy
) -> None:
    project = fill_queue(queue, catalog)
    tasks = tasks_of(client, project)
    submit(client, tasks[1])
    collect_reviews(queue, catalog)
    for task in tasks:
        submit(client, task)
    settings = through(proxy, queue)
    proxy.between = hiding(tasks[1]["id"])
    for full in (False, False, True):
        proxy.begin()
        report = collect_reviews(settings, catalog, full=full)
        assert report.deleted == 0
        (failure,) = report.failures
        assert failure.uri == f"{report.url}?task={tasks[1]['id']}"
        assert "HTTP 500" in failure.reason
    assert report.states == {**report.states, "labeled": 5}  # what was known of it stays
    assert collect_reviews(queue, catalog).new == 1
    assert collect_reviews(queue, catalog).failures == ()


def test_a_task_of_somebody_that_is_not_shown_keeps_no_other_from_its_prediction(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, proxy: LyingProxy
) -> None:
    """A project of others, whose tasks are the source: one was read before it broke."""
    project = fill_queue(queue, catalog)
    theirs = queue.updated(queue__project=f"{queue.queue.project} theirs")
    config = client.project(project).label_config
    made = client.create_project(theirs.queue.project, config).id
    data = [{"data": {"image": task["data"]["image"]}} for task in tasks_of(client, project)]
    ids = client.import_tasks(made, data)
    client.create_local_storage(made, str(client.local_storages(project)[0]))
    settings = through(proxy, theirs).updated(source__location=f"labelstudio://{made}")
    refs = scan(settings, catalog).images
    predict_shard(settings, catalog, FixedPredictor(version=NEXT), refs)
    proxy.begin()
    proxy.between = failing(lambda _, path, __: path.startswith(f"/api/tasks/{ids[1]}/"))
    planned = plan_push(settings, catalog, refs=refs, version=NEXT, taxonomy=TAXONOMY)
    report = push(settings, catalog, refs=refs, version=NEXT, taxonomy=TAXONOMY)
    assert statuses(report) == statuses(planned) == {"added": 4, "refused": 1}
    assert f"/projects/{made}/data?task={ids[1]}" in report.failures[0].reason
    proxy.begin()
    proxy.between = failing(lambda *_: False)
    again = push(settings, catalog, refs=refs, version=NEXT, taxonomy=TAXONOMY)
    assert statuses(again) == {"added": 1, "present": 4}
