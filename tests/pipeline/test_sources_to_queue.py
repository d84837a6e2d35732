"""From each kind of source into the queue of a real server: served, described, and each image once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import FormatError, SourceError
from detseg.images import image_id
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.project import ensure_project
from detseg.labelstudio.queued import mark_task
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.push import PushReport
from detseg.pipeline.pushing.plan import plan_page
from detseg.pipeline.pushing.queue import opened_queue
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import ImageRef
from tests.labelstudio.scenes import serve
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, write_image
from tests.pipeline.foreseen import push_as_foreseen
from tests.sources.servers import Answer, web_server


def run(settings: Settings, catalog: Catalog) -> PushReport:
    """Scans, predicts and pushes."""
    refs = scan(settings, catalog).images
    predict_shard(settings, catalog, FixedPredictor(), refs)
    return push_as_foreseen(settings, catalog, refs)


def tasks_of(client: LabelStudioClient, report: PushReport) -> list[dict[str, Any]]:
    return [client.task(task) for task in client.task_ids(report.project_id)]


def test_a_manifests_columns_and_both_names_of_equal_bytes_are_in_the_task(
    queue: Settings, catalog: Catalog, folder: Path, client: LabelStudioClient
) -> None:
    rows = "uri,camera\n0.png,left\nagain.png,right\n1.png,\n2.png,top\n2.png,\ngone.png,\n"
    (folder / "list.csv").write_text(rows, encoding="utf-8")
    settings = queue.updated(source__location=str(folder / "list.csv"))
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
    settings = queue.updated(queue__serve_images="upload")
    report = run(settings, catalog)
    assert len(report.pushed) == 5
    for task in tasks_of(client, report):
        client.delete_task(task["id"])
    again = run(settings.updated(queue__restore=True), catalog)
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
        changes = {
            "source__location": f"{web.url}/p/",
            "queue__serve_images": "url",
            "source__allow_private_addresses": True,
        }
        settings = queue.updated(**changes)
        report = run(settings, catalog)
        assert len(report.pushed) == 5
        images = {task["data"]["image"] for task in tasks_of(client, report)}
        assert images < {f"{web.url}{path}" for path in answers}
        web.asked.clear()
        assert scan(settings, catalog).n_new == 0
        assert web.paths == ["/p/"]
        with pytest.raises(SourceError, match=r"a private network: set source\.allow_private"):
            scan(settings.updated(source__allow_private_addresses=False), catalog)


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
    refs = [ImageRef(image_id(path.read_bytes()), str(path)) for path in paths]
    data = [{"image": serve(client, project, ref), "batch": "A"} for ref in refs] + [{"image": ""}]
    ids = list(client.import_tasks(project, [{"data": one} for one in data]))
    client.create_annotation(ids[2], [], lead_time_s=1.0)
    client.create_annotation(ids[3], [], lead_time_s=1.0, was_cancelled=True)
    return project, title, ids


def test_tasks_that_are_there_already_get_their_predictions(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, foreign: tuple[int, str, list[int]]
) -> None:
    project, title, ids = foreign
    settings = queue.updated(source__location=f"labelstudio://{title}", queue__project=title)
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
    assert collect_reviews(settings, catalog).new == 1
    assert len(scan(settings, catalog).images) == 1


def test_what_is_drawn_on_another_image_of_the_task_is_counted_and_not_read(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, foreign: tuple[int, str, list[int]]
) -> None:
    """Tasks of two pictures each, before and after; predictions go to the one that more tags draw on."""
    project, title, ids = foreign
    labels = '<Label value="bolt"/><Label value="belt"/>'
    config = f"""<View><Image name="old" value="$before"/><Image name="new" value="$image"/>
        <RectangleLabels name="a" toName="new">{labels}</RectangleLabels>
        <BrushLabels name="b" toName="new">{labels}</BrushLabels>
        <RectangleLabels name="c" toName="old">{labels}</RectangleLabels></View>"""
    for task in ids:
        data = client.task_data(task, project=project)
        client.update_task(task, data=data | {"before": data["image"]})
    client.update_project(project, label_config=config)
    settings = queue.updated(source__location=f"labelstudio://{title}", queue__project=title)
    assert run(settings, catalog).counts["added"] == 2
    sent = client.task(ids[0])["predictions"][0]["result"]
    assert {one["to_name"] for one in sent} == {"new"}
    box = next(one for one in sent if one["type"] == "rectanglelabels")
    elsewhere = {**box, "from_name": "c", "to_name": "old"}
    result = [elsewhere, *sent, {**elsewhere, "id": "drawn-there"}]
    client.create_annotation(ids[0], result, lead_time_s=1.0)
    report = collect_reviews(settings, catalog)
    assert (report.new, report.failures, report.n_answers) == (1, (), 2)
    (known,) = catalog.projects.all()
    (review,) = catalog.reviews.latest(known.key)
    assert len(review.annotation.regions) == 3
    assert {region.origin for region in review.annotation.regions} == {"model"}


def test_a_task_that_uses_our_names_for_something_else_is_said_and_left_alone(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, foreign: tuple[int, str, list[int]]
) -> None:
    project, title, ids = foreign
    data = client.task_data(ids[0], project=project) | {"width": "12 cm"}
    client.update_task(ids[0], data=data)
    settings = queue.updated(source__location=f"labelstudio://{title}", queue__project=title)
    report = run(settings, catalog)
    assert [one.reason.partition(":")[0] for one in report.failures] == [f"task {ids[0]} says {{'width'"]
    assert report.counts["added"] == 1
    assert client.task_data(ids[0], project=project) == data


def test_tasks_of_others_are_found_where_as_many_of_ours_were_deleted(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, tmp_path: Path
) -> None:
    """The catalog knows as many tasks as the project has, and not one of them is there."""
    report = run(queue, catalog)
    paths = [tmp_path / "theirs" / f"{n}.png" for n in range(5)]
    for n, path in enumerate(paths):
        write_image(path, seed=50 + n)
    refs = [ImageRef(image_id(path.read_bytes()), str(path)) for path in paths]
    data = [{"image": serve(client, report.project_id, ref)} for ref in refs]
    for task in client.task_ids(report.project_id):
        client.delete_task(task)
    theirs = client.import_tasks(report.project_id, [{"data": one} for one in data])
    settings = queue.updated(source__location=f"labelstudio://{queue.queue.project}")
    counts = run(settings, catalog).counts
    assert (counts["added"], counts["pushed"]) == (5, 0)
    assert client.task_ids(report.project_id) == tuple(theirs)


def test_what_people_write_into_a_task_while_others_are_looked_at_stays(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, foreign: tuple[int, str, list[int]]
) -> None:
    project, title, ids = foreign
    settings = queue.updated(source__location=f"labelstudio://{title}", queue__project=title)
    refs = scan(settings, catalog).images
    predict_shard(settings, catalog, FixedPredictor(), refs)
    with opened_queue(settings, catalog, version=VERSION, taxonomy=TAXONOMY) as opened:
        plan = plan_page(opened, refs)
        client.update_task(ids[0], data=client.task_data(ids[0], project=project) | {"batch": "B"})
        client.delete_task(ids[1])
        for mark in plan.marks[:1]:
            mark_task(client, mark)
        with pytest.raises(FormatError, match="is gone"):
            mark_task(client, plan.marks[1])
    data = client.task_data(ids[0], project=project)
    assert (data["batch"], data["image_id"]) == ("B", refs[0].id)
