"""The queue on a real Label Studio: pushed once whatever breaks, collected completely, measured."""

from __future__ import annotations

from collections import Counter

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import LabelStudioError, Unreachable
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from detseg.labelstudio.session import Json
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, settings_for
from tests.pipeline.cut_proxy import cut_proxy


def push_all(queue: Settings, catalog: Catalog) -> PushReport:
    """Scans, predicts and pushes."""
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(), refs)
    return push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)


def tasks_of(client: LabelStudioClient, project: int) -> list[Json]:
    return sorted(client.changed_tasks(project), key=lambda task: int(task["id"]))


def test_every_content_becomes_one_task_with_its_image_and_regions(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    report = push_all(queue, catalog)
    assert (len(report.pushed), report.failures) == (5, ())
    tasks = tasks_of(client, report.project_id)
    assert {task["data"]["image_id"] for task in tasks} == set(report.pushed)
    for task in tasks:
        assert client.fetch(task["data"]["image"]).startswith(b"\x89PNG")
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == VERSION
        kinds = Counter(result["type"] for result in prediction["result"])
        assert kinds == {"rectanglelabels": 2, "brushlabels": 2}
    assert client.project(report.project_id).model_version == VERSION


def test_pushing_again_pushes_nothing(queue: Settings, catalog: Catalog, client: LabelStudioClient) -> None:
    report = push_all(queue, catalog)
    again = push_all(queue, catalog)
    assert (again.pushed, again.project_id) == ((), report.project_id)
    assert len(client.task_ids(report.project_id)) == 5


def test_a_push_whose_answer_is_lost_is_settled_and_not_repeated(
    settings: Settings, catalog: Catalog, label_studio: Connection, client: LabelStudioClient
) -> None:
    with cut_proxy(label_studio.url) as proxy:
        queue = settings_for(settings, proxy.url, label_studio.token, title="lost answer")
        proxy.armed = b"/import?"
        with pytest.raises(Unreachable, match="did not answer POST"):
            push_all(queue, catalog)
        assert proxy.n_cut == 1
        (project,) = client.find_projects("lost answer")
        assert len(client.task_ids(project.id)) == 5  # the server has them, we do not know it yet
        proxy.armed = None
        again = push_all(queue, catalog)
    assert again.pushed == ()
    assert len(client.task_ids(project.id)) == 5
    (known,) = [entry for entry in catalog.projects.all() if entry.server_id == project.id]
    assert {task.state for task in catalog.tasks.of_project(known.key)} == {"pushed"}


def test_a_push_that_never_arrived_is_made_again(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(), refs)
    first = push(queue, catalog, refs=refs[:1], version=VERSION, taxonomy=TAXONOMY)
    (project,) = [entry for entry in catalog.projects.all() if entry.server_id == first.project_id]
    claimed = catalog.tasks.open_push(project.key, [ref.id for ref in refs], VERSION)  # and then: killed
    assert len(claimed) == 4
    again = push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    assert set(again.pushed) == set(claimed)
    assert len(client.task_ids(first.project_id)) == 5


def test_a_server_that_is_not_there_is_one_line(settings: Settings, catalog: Catalog) -> None:
    queue = settings_for(settings, "http://127.0.0.1:9", "token", title="nobody")
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9 did not answer"):
        push_all(queue, catalog)
    assert catalog.projects.all() == ()


def test_a_wrong_token_is_one_line_and_claims_nothing(
    settings: Settings, catalog: Catalog, label_studio: Connection
) -> None:
    queue = settings_for(settings, label_studio.url, "0" * 40, title="wrong token")
    with pytest.raises(LabelStudioError, match="DETSEG_LABEL_STUDIO_TOKEN"):
        push_all(queue, catalog)
    assert catalog.projects.all() == ()
