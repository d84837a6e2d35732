"""From each kind of source into the queue of a real server: served, described, and each image once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import SourceError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.project import ensure_project, ensure_storages, image_url
from detseg.pipeline.collect import collect
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, write_image
from tests.sources.servers import Answer, web_server


def run(settings: Settings, catalog: Catalog) -> PushReport:
    """Scans, predicts and pushes."""
    refs = scan(settings, catalog).images
    predict_shard(settings, catalog, FixedPredictor(), refs)
    return push(settings, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)


def tasks_of(client: LabelStudioClient, report: PushReport) -> list[dict[str, Any]]:
    return [client.task(task) for task in client.task_ids(report.project_id)]


def test_a_manifests_columns_and_both_names_of_equal_bytes_are_in_the_task(
    queue: Settings, catalog: Catalog, folder: Path, client: LabelStudioClient
) -> None:
    rows = "uri,camera\n0.png,left\nagain.png,right\n1.png,\n2.png,top\n2.png,\ngone.png,\n"
    (folder / "list.csv").write_text(rows, encoding="utf-8")
    settings = queue.model_copy(update={"source": str(folder / "list.csv")})
    found = scan(settings, catalog)
    assert [one.uri.rpartition(", ")[2] for one in found.failures] == ["row 6", "row 7"]
    report = run(settings, catalog)
    origins = [task["data"]["source"] for task in tasks_of(client, report)]
    assert sorted(origins, key=str) == [
        {"names": [str(folder / "0.png"), str(folder / "again.png")], "metadata": {"camera": "left"}},
        {"names": [str(folder / "1.png")]},
        {"names": [str(folder / "2.png")], "metadata": {"camera": "top"}},
    ]
    assert run(settings, catalog).pushed == ()


def test_names_are_below_the_source(queue: Settings, catalog: Catalog, client: LabelStudioClient) -> None:
    names = [task["data"]["source"]["names"] for task in tasks_of(client, run(queue, catalog))]
    assert ["0.png", "again.png"] in names


def test_uploads_are_made_once_also_for_tasks_that_are_made_anew(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    settings = queue.model_copy(update={"serve_images": "upload"})
    report = run(settings, catalog)
    assert len(report.pushed) == 5
    for task in tasks_of(client, report):
        client.delete_task(task["id"])
    again = run(settings.model_copy(update={"restore": True}), catalog)
    assert len(again.pushed) == 5
    assert len(client.uploads(report.project_id)) == 5
    for task in tasks_of(client, again):
        assert client.fetch(task["data"]["image"])


def test_images_of_a_web_server_are_read_and_served_from_there(
    queue: Settings, catalog: Catalog, folder: Path, client: LabelStudioClient
) -> None:
    page = "".join(f'<a href="{path.name}">x</a>' for path in folder.iterdir())
    allowed = {"Access-Control-Allow-Origin": "*"}
    answers = {f"/p/{path.name}": Answer(path.read_bytes(), headers=allowed) for path in folder.iterdir()}
    answers["/p/"] = Answer(page.encode(), headers={"Content-Type": "text/html"})
    with web_server(answers) as web:
        changes = {"source": f"{web.url}/p/", "serve_images": "url", "allow_private_addresses": True}
        settings = queue.model_copy(update=changes)
        report = run(settings, catalog)
        assert len(report.pushed) == 5
        images = {task["data"]["image"] for task in tasks_of(client, report)}
        assert images < {f"{web.url}{path}" for path in answers}
        web.asked.clear()
        assert scan(settings, catalog).n_new == 0
        assert web.paths == ["/p/"]
        with pytest.raises(SourceError, match="is on this machine or a private network: set allow_private"):
            scan(settings.model_copy(update={"allow_private_addresses": False}), catalog)


@pytest.fixture
def foreign(
    client: LabelStudioClient, new_title: Callable[[], str], tmp_path: Path
) -> tuple[int, str, list[int]]:
    """A project that somebody filled: two tasks to do, one done, one skipped, one without an image."""
    title = new_title()
    project = ensure_project(client, title, TAXONOMY)
    paths = [tmp_path / "theirs" / f"{n}.png" for n in range(4)]
    for n, path in enumerate(paths):
        write_image(path, seed=50 + n)
    ensure_storages(client, project, [tmp_path / "theirs"])
    data = [{"image": image_url(path), "batch": "A"} for path in paths] + [{"image": ""}]
    ids = list(client.import_tasks(project, [{"data": one} for one in data]))
    client.create_annotation(ids[2], [], lead_time_s=1.0)
    client.create_annotation(ids[3], [], lead_time_s=1.0, was_cancelled=True)
    return project, title, ids


def test_tasks_that_are_there_already_get_their_predictions(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, foreign: tuple[int, str, list[int]]
) -> None:
    project, title, ids = foreign
    settings = queue.model_copy(update={"source": f"labelstudio://{title}", "project": title})
    untouched = [client.task(task) for task in ids[2:]]
    found = scan(settings, catalog)
    assert [ref.uri for ref in found.images] == [f"labelstudio://{project}/{task}" for task in ids[:2]]
    assert [one.reason for one in found.failures] == ["has no image in its data's 'image'"]
    report = run(settings, catalog)
    assert (report.counts["added"], report.counts["pushed"]) == (2, 0)
    assert client.task_ids(project) == tuple(ids)
    for task in ids[:2]:
        there = client.task(task)
        assert [one["model_version"] for one in there["predictions"]] == [VERSION]
        assert there["data"]["batch"] == "A"
    assert [client.task(task) for task in ids[2:]] == untouched
    again = run(settings, catalog)
    assert again.counts["present"] == 2
    assert all(len(client.task(task)["predictions"]) == 1 for task in ids[:2])
    client.create_annotation(ids[0], [], lead_time_s=1.0)
    assert collect(settings, catalog).new == 1
    assert len(scan(settings, catalog).images) == 1


def test_a_task_that_uses_our_names_for_something_else_is_said_and_left_alone(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, foreign: tuple[int, str, list[int]]
) -> None:
    _, title, ids = foreign
    data = client.task_data(ids[0]) | {"width": "12 cm"}
    client.update_task(ids[0], data=data)
    settings = queue.model_copy(update={"source": f"labelstudio://{title}", "project": title})
    report = run(settings, catalog)
    assert [one.reason.partition(":")[0] for one in report.failures] == [f"task {ids[0]} says {{'width'"]
    assert report.counts["added"] == 1
    assert client.task_data(ids[0]) == data
