"""The queue on a real Label Studio: pushed once whatever breaks, collected completely, measured."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import CatalogError, LabelStudioError, Unreachable
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from detseg.labelstudio.session import Json
from detseg.pipeline.collect import CollectReport, collect
from detseg.pipeline.evaluate import evaluate
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


def submit(client: LabelStudioClient, task: Json, *, dropping: int = 0) -> int:
    """Submits a task as it was predicted, without its last regions if so wished."""
    result = task["predictions"][0]["result"]
    return client.create_annotation(int(task["id"]), result[: len(result) - dropping], lead_time_s=5.0)


def counts(report: CollectReport) -> tuple[int, int, int]:
    return report.new, report.updated, report.deleted


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


def test_collect_finds_every_state_and_doing_it_again_changes_nothing(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    one, two, three, four, _ = tasks_of(client, project)
    submit(client, one)
    submit(client, two, dropping=1)
    client.create_annotation(int(three["id"]), [], lead_time_s=2.0)
    client.create_annotation(
        int(four["id"]), four["predictions"][0]["result"], lead_time_s=1.0, was_cancelled=True
    )
    report = collect(queue, catalog)
    assert counts(report) == (4, 0, 0)
    assert report.states == {"unlabeled": 1, "labeled": 2, "empty": 1, "skipped": 1}
    again = collect(queue, catalog)
    assert (counts(again), again.states) == ((0, 0, 0), report.states)


def test_collect_follows_updates_and_deletions(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    one, two, *_ = tasks_of(client, project)
    annotation = submit(client, one)
    submit(client, two)
    collect(queue, catalog)
    client.update_annotation(annotation, result=one["predictions"][0]["result"][:1])
    client.delete_task(int(two["id"]))
    report = collect(queue, catalog)
    assert counts(report) == (0, 1, 1)
    assert report.states == {"unlabeled": 3, "labeled": 1, "empty": 0, "skipped": 0}
    assert push_all(queue, catalog).pushed == ()  # what somebody deleted on the server stays deleted


def test_a_review_that_cannot_be_read_is_said_and_tried_again(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    one, two, *_ = tasks_of(client, project)
    ellipse = {
        "id": "odd",
        "type": "ellipselabels",
        "from_name": "ellipse",
        "to_name": "image",
        "value": {"x": 1, "y": 1, "radiusX": 1, "radiusY": 1, "ellipselabels": ["bolt"]},
    }
    annotation = client.create_annotation(int(one["id"]), [ellipse], lead_time_s=1.0)
    submit(client, two)
    report = collect(queue, catalog)
    assert counts(report) == (1, 0, 0)
    assert "ellipselabels" in report.failures[0].reason
    assert f"task={one['id']}" in report.failures[0].uri
    client.update_annotation(annotation, result=[])
    mended = collect(queue, catalog)
    assert (counts(mended), mended.failures) == ((1, 0, 0), ())


def test_collect_before_any_push_says_what_to_do(queue: Settings, catalog: Catalog) -> None:
    with pytest.raises(LabelStudioError, match="`detseg preannotate` makes it"):
        collect(queue, catalog)
    with pytest.raises(CatalogError, match="`detseg preannotate` makes it"):
        evaluate(queue, catalog, out=Path("unused.html"), now=datetime.now(UTC))


def test_evaluate_counts_what_people_changed(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, tmp_path: Path
) -> None:
    project = push_all(queue, catalog).project_id
    one, two, three, *_ = tasks_of(client, project)
    submit(client, one)
    moved = two["predictions"][0]["result"]
    alone = next(result for result in moved if result["id"].endswith("-box") and result["score"] == 0.8)
    alone["value"]["y"] += 25
    client.create_annotation(int(two["id"]), moved, lead_time_s=15.0)
    client.create_annotation(int(three["id"]), [], lead_time_s=1.0, was_cancelled=True)
    collect(queue, catalog)
    report = evaluate(queue, catalog, out=tmp_path / "out" / "report.html", now=datetime.now(UTC))
    figures = report.to_json()
    assert figures["images"] == 2
    assert figures["edits"] == {
        "kept": 5,
        "moved": 1,
        "reshaped": 0,
        "relabeled": 0,
        "deleted": 0,
        "added": 0,
    }
    assert figures["acceptance_rate"] == pytest.approx(5 / 6)
    assert figures["seconds_per_image"] == 10.0
    assert figures["mask"] == {"iou": 1.0, "dice": 1.0}
    assert figures["simulated"] is False
    assert figures["per_class"]["belt"]["edits"]["kept"] == 2
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "bolt" in page
    assert "simulated" not in page.split("<main", 1)[0].lower().split("</head>")[-1]
