"""A server that says that it stored predictions, and did not: found by the next look, and sent again once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import ModelVersion
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor
from tests.pipeline.hostile_answers import PERSONAL, LyingProxy, lying_proxy
from tests.pipeline.lies import Answer
from tests.pipeline.reviewing import submit, tasks_of

NEXT = ModelVersion("next@00000002")


@pytest.fixture
def liar(label_studio: Connection, client: LabelStudioClient) -> Iterator[LyingProxy]:
    """Takes predictions for stored that the server never hears of, and tasks without theirs."""

    def between(method: str, path: str, body: bytes, ask: Callable[[], Answer]) -> Answer:
        if method != "POST" or "/import" not in path:
            return ask()
        made = json.loads(body)
        if path.endswith("/import/predictions"):
            return answer({"created": len(made)})
        project, n_predictions = int(path.split("/")[3]), sum(len(one["predictions"]) for one in made)
        ids = client.import_tasks(project, [{"data": one["data"]} for one in made])
        proxy.forget()
        return answer({"task_ids": ids, "task_count": len(ids), "prediction_count": n_predictions})

    def answer(document: Any) -> Answer:
        return Answer(201, {}, json.dumps(document).encode())

    with lying_proxy(label_studio) as proxy:
        proxy.between = between
        yield proxy


def run(proxy: LyingProxy, queue: Settings, catalog: Catalog, version: ModelVersion) -> PushReport:
    proxy.begin()
    proxy.forget()
    changes: dict[str, Any] = {"label_studio__url": proxy.url, "label_studio__token": PERSONAL}
    settings = queue.updated(**changes, label_studio__patience_s=0.0)
    refs = scan(settings, catalog).images
    predict_shard(settings, catalog, FixedPredictor(version=version), refs)
    return push(settings, catalog, refs=refs, version=version, taxonomy=TAXONOMY)


def honest(proxy: LyingProxy) -> None:
    proxy.between = lambda *request: request[-1]()


def versions(client: LabelStudioClient, project: int) -> list[list[str]]:
    return [sorted(one["model_version"] for one in task["predictions"]) for task in tasks_of(client, project)]


@pytest.mark.parametrize("before", [(), (VERSION,)], ids=["new tasks", "second predictions"])
def test_predictions_that_were_not_stored_are_sent_again_by_the_next_run(
    queue: Settings,
    catalog: Catalog,
    client: LabelStudioClient,
    liar: LyingProxy,
    before: tuple[ModelVersion, ...],
) -> None:
    version, lie = (NEXT if before else VERSION), liar.between
    honest(liar)
    for one in before:
        run(liar, queue, catalog, one)
    liar.between = lie
    report = run(liar, queue, catalog, version)
    (line,) = report.warnings
    assert "said that it had stored 5 predictions" in line
    assert versions(client, report.project_id) == [[*before]] * 5
    honest(liar)
    again = run(liar, queue, catalog, version)
    assert (again.counts["added"], again.warnings) == (5, ())
    assert versions(client, report.project_id) == [[*before, version]] * 5
    last = run(liar, queue, catalog, version)
    assert (last.counts["present"], last.warnings) == (5, ())
    assert collect_reviews(queue, catalog).warnings == ()
    assert versions(client, report.project_id) == [[*before, version]] * 5


def test_a_server_that_never_stores_them_is_sent_them_twice_and_no_more(
    queue: Settings, catalog: Catalog, liar: LyingProxy
) -> None:
    assert run(liar, queue, catalog, VERSION).counts["pushed"] == 5
    second = run(liar, queue, catalog, VERSION)
    assert second.counts["added"] == 5
    (line,) = second.warnings
    assert "said that it had stored 5 predictions" in line
    third = run(liar, queue, catalog, VERSION)
    assert (third.counts["present"], third.warnings) == (5, ())


def test_predictions_that_somebody_deletes_later_are_not_sent_again(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, liar: LyingProxy
) -> None:
    """What was there at one look was stored; who deletes it knows why."""
    honest(liar)
    project = run(liar, queue, catalog, VERSION).project_id
    run(liar, queue, catalog, VERSION)
    for task in tasks_of(client, project):
        client.session.send("DELETE", f"/api/predictions/{task['predictions'][0]['id']}/")
    assert run(liar, queue, catalog, VERSION).counts["present"] == 5
    assert versions(client, project) == [[]] * 5


def test_what_somebody_did_without_the_prediction_was_not_assisted(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, liar: LyingProxy
) -> None:
    project = run(liar, queue, catalog, VERSION).project_id
    submit(client, tasks_of(client, project)[0], [])
    honest(liar)
    run(liar, queue, catalog, VERSION)
    collect_reviews(queue, catalog)
    (known,) = catalog.projects.all()
    shown = catalog.tasks.model_versions(known.key, [ref.id for ref in scan(queue, catalog).images])
    assert sum(version == VERSION for version in shown.values()) == 4
