"""The queue on a real Label Studio: each image once, each version's prediction once, whatever breaks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from detseg.catalog import Catalog
from detseg.catalog import Project as KnownProject
from detseg.config import Settings
from detseg.errors import FormatError, LabelStudioError, Unreachable
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.predictions import TaskOnServer, look_up
from detseg.labelstudio.server import Connection
from detseg.labelstudio.session import Json
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.pushing.duplicates import resolve_duplicates
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.pipeline.workspace import Sides
from detseg.types import Annotation, Box, ImageRef, ModelVersion
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, settings_for
from tests.pipeline.cut_proxy import cut_proxy

NEWER = ModelVersion("fixed@00000002")


def predicted(queue: Settings, catalog: Catalog, version: ModelVersion = VERSION) -> tuple[ImageRef, ...]:
    refs = tuple(scan(queue, catalog).images)
    predict_shard(queue, catalog, FixedPredictor(version), refs)
    return refs


def push_all(queue: Settings, catalog: Catalog, version: ModelVersion = VERSION) -> PushReport:
    """Scans, predicts and pushes."""
    refs = predicted(queue, catalog, version)
    return push(queue, catalog, refs=refs, version=version, taxonomy=TAXONOMY)


def tasks_of(client: LabelStudioClient, project: int) -> list[Json]:
    return [client.task(task) for task in client.task_ids(project)]


def on_server(client: LabelStudioClient, project: int) -> list[TaskOnServer]:
    found = look_up(client.session, project, client.task_ids(project))
    return [found[task] for task in sorted(found)]


def known(catalog: Catalog, report: PushReport) -> KnownProject:
    (project,) = [entry for entry in catalog.projects.all() if entry.server_id == report.project_id]
    return project


def statuses(report: PushReport) -> dict[str, int]:
    return {status: n for status, n in report.counts.items() if n}


def test_every_content_becomes_one_task_with_its_image_and_regions(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    report = push_all(queue, catalog)
    assert (len(report.pushed), report.failures, report.warnings) == (5, (), ())
    tasks = tasks_of(client, report.project_id)
    assert {task["data"]["image_id"] for task in tasks} == set(report.pushed)
    assert report.changed == {task["data"]["image_id"]: ("pushed", task["id"]) for task in tasks}
    for task in tasks:
        assert client.fetch(task["data"]["image"]).startswith(b"\x89PNG")
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == VERSION
        kinds = Counter(result["type"] for result in prediction["result"])
        assert kinds == {"rectanglelabels": 1, "brushlabels": 2}
    assert client.project(report.project_id).model_version == VERSION


def test_pushing_again_pushes_nothing(queue: Settings, catalog: Catalog, client: LabelStudioClient) -> None:
    report = push_all(queue, catalog)
    again = push_all(queue, catalog)
    assert (statuses(again), again.outcomes, again.project_id) == ({"present": 5}, (), report.project_id)
    assert len(client.task_ids(report.project_id)) == 5


@pytest.mark.parametrize("limits", [{"label_studio__batch_tasks": 2}, {"label_studio__batch_bytes": 10_000}])
def test_small_batches_and_several_writers_make_the_same_queue(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, limits: dict[str, int]
) -> None:
    report = push_all(queue.updated(label_studio__writers=2, **limits), catalog)
    assert report.counts["pushed"] == 5
    # two writers at once may make this server, which is on SQLite, lose predictions: they are added again
    assert [len(task.predictions) for task in on_server(client, report.project_id)] == [1] * 5


@pytest.mark.parametrize("version", [VERSION, NEWER])
def test_a_request_whose_answer_is_lost_is_settled_and_not_repeated(
    settings: Settings,
    catalog: Catalog,
    label_studio: Connection,
    client: LabelStudioClient,
    new_title: Callable[[], str],
    document_root: Path,
    version: ModelVersion,
) -> None:
    with cut_proxy(label_studio.url) as proxy:
        queue = settings_for(settings, proxy.url, label_studio.token, title=new_title(), files=document_root)
        if version == NEWER:
            push_all(queue, catalog)
        proxy.armed = b"POST /api/projects/"
        report = push_all(queue, catalog, version)
    assert proxy.n_cut > 0
    assert statuses(report) == ({"pushed": 5} if version == VERSION else {"added": 5})
    tasks = on_server(client, report.project_id)
    versions = [VERSION] if version == VERSION else [VERSION, NEWER]
    assert [[one.model_version for one in task.predictions] for task in tasks] == [versions] * 5


def test_a_push_that_never_arrived_is_made_again(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    impatient = queue.updated(label_studio__patience_s=0.0)
    refs = predicted(queue, catalog)
    first = push(queue, catalog, refs=refs[:1], version=VERSION, taxonomy=TAXONOMY)
    key = known(catalog, first).key
    claimed = catalog.tasks.open_push(key, [ref.id for ref in refs], VERSION)  # and then: killed
    assert len(claimed) == 4
    again = push(impatient, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    assert set(again.pushed) == set(claimed)
    assert len(client.task_ids(first.project_id)) == 5


def test_a_request_that_is_still_under_way_is_waited_for(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    refs = predicted(queue, catalog)
    project = known(catalog, push(queue, catalog, refs=refs[:1], version=VERSION, taxonomy=TAXONOMY))
    catalog.tasks.open_push(project.key, [refs[1].id], VERSION)  # a run that was killed had sent it
    (model,) = tasks_of(client, project.server_id)
    late = [{"data": {**model["data"], "image_id": refs[1].id}}]
    sender = threading.Timer(1.0, client.import_tasks, (project.server_id, late))
    sender.start()
    again = push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    sender.join()
    assert statuses(again) == {"present": 1, "added": 1, "pushed": 3}  # it came without its prediction
    assert [len(task.predictions) for task in on_server(client, project.server_id)] == [1] * 5


@contextmanager
def doubled(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> Iterator[tuple[KnownProject, ImageRef, tuple[int, int]]]:
    """An image whose first request came after all, when it had been sent again."""
    refs = predicted(queue, catalog)
    project = known(catalog, push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY))
    first = client.tasks_by_keys(project.server_id, [refs[0].id])[refs[0].id][0]
    task = client.task(first)
    prediction = {key: task["predictions"][0][key] for key in ("model_version", "score", "result")}
    (late,) = client.import_tasks(project.server_id, [{"data": task["data"], "predictions": [prediction]}])
    catalog.possible_duplicates.record(project.key, [refs[0].id])
    yield project, refs[0], (first, late)


@pytest.mark.parametrize("worked_on", [None, 0, 1])
def test_what_came_twice_is_made_one_and_keeps_what_people_did(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, worked_on: int | None
) -> None:
    with doubled(queue, catalog, client) as (project, ref, pair):
        if worked_on is not None:
            client.create_annotation(pair[worked_on], [], lead_time_s=1.0)
        assert resolve_duplicates(Sides(client, catalog, project), remove="few").n_tasks == 1
        left = client.tasks_by_keys(project.server_id, [ref.id])[ref.id]
        assert left == (pair[worked_on or 0],)
        assert catalog.tasks.of_images(project.key, [ref.id])[ref.id].task_id == left[0]


def test_two_tasks_that_people_worked_on_both_stay_and_are_said(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    with doubled(queue, catalog, client) as (project, _, pair):
        for task in pair:
            client.create_annotation(task, [], lead_time_s=1.0)
        report = push_all(queue, catalog)
        assert f" is {pair[0]}, {pair[1]}): every review counts" in report.warnings[0]
        assert set(pair) <= set(client.task_ids(project.server_id))


def test_a_prediction_that_came_twice_is_made_one(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    report = push_all(queue, catalog)
    project = known(catalog, report)
    image, (_, first) = next(iter(report.changed.items()))
    body = {"task": first, "model_version": VERSION, "score": 0.5, "result": []}
    client.session.json("POST", f"/api/projects/{project.server_id}/import/predictions", body=[body])
    catalog.possible_duplicates.record(project.key, [image], VERSION)
    assert resolve_duplicates(Sides(client, catalog, project), remove="few").n_predictions == 1
    assert [len(task.predictions) for task in on_server(client, project.server_id)] == [1] * 5


def with_work(client: LabelStudioClient, project: int) -> Json:
    """Has a person annotate the first task, and begin the second; the first one's annotation."""
    first, second, *_ = client.task_ids(project)
    task = client.task(first)
    parent = task["predictions"][0]
    client.create_annotation(first, parent["result"], lead_time_s=5.0, parent_prediction=parent["id"])
    client.session.json("POST", f"/api/tasks/{second}/drafts?project={project}", body={"result": []})
    annotation: Json = client.task(first)["annotations"][0]
    return annotation


def test_a_second_version_stands_beside_the_first(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    annotation = with_work(client, project)
    report = push_all(queue, catalog, NEWER)
    assert statuses(report) == {"added": 4, "reviewed": 1}
    labeled, *others = on_server(client, project)
    assert [one.model_version for one in labeled.predictions] == [VERSION]
    for task in others:
        assert [one.model_version for one in task.predictions] == [VERSION, NEWER]
    assert client.project(project).model_version == NEWER
    assert client.task(client.task_ids(project)[0])["annotations"] == [annotation]
    assert statuses(push_all(queue, catalog, NEWER)) == {"present": 4, "reviewed": 1}
    assert statuses(push_all(queue, catalog)) == {"present": 5}
    assert client.project(project).model_version == VERSION


def test_a_second_version_takes_the_place_of_the_first_where_nobody_worked(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    queue = queue.updated(queue__predictions="replace")
    project = push_all(queue, catalog).project_id
    annotation = with_work(client, project)
    before = on_server(client, project)
    report = push_all(queue, catalog, NEWER)
    assert statuses(report) == {"replaced": 3, "added": 1, "reviewed": 1}
    after = on_server(client, project)
    versions = [[one.model_version for one in task.predictions] for task in after]
    assert versions == [[VERSION], [VERSION, NEWER], *([[NEWER]] * 3)]
    assert [task.predictions[0].id for task in after] == [task.predictions[0].id for task in before]
    assert client.task(after[0].id)["annotations"] == [annotation]
    ids = {result["id"] for result in client.task(after[4].id)["predictions"][0]["result"]}
    assert ids.isdisjoint({result["id"] for result in client.task(after[0].id)["predictions"][0]["result"]})
    assert statuses(push_all(queue, catalog, NEWER)) == {"present": 4, "reviewed": 1}
    assert statuses(push_all(queue, catalog)) == {"replaced": 3, "present": 2}


def test_deleted_tasks_stay_deleted_until_they_are_to_be_restored(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    gone = client.task_ids(project)[1]
    client.delete_task(gone)
    assert statuses(push_all(queue, catalog)) == {"present": 5}
    newer = push_all(queue, catalog, NEWER)  # now it is noticed
    assert statuses(newer) == {"added": 4, "deleted": 1}
    assert statuses(push_all(queue, catalog, NEWER)) == {"present": 4, "deleted": 1}
    client.delete_task(client.task_ids(project)[0])
    restored = push_all(queue.updated(queue__restore=True), catalog, NEWER)
    assert statuses(restored) == {"present": 3, "pushed": 2}
    tasks = on_server(client, project)
    assert sorted(len(task.predictions) for task in tasks) == [1, 1, 2, 2, 2]
    assert Counter(task.data["image_id"] for task in tasks).most_common(1)[0][1] == 1


def test_a_version_of_which_nothing_is_left_cannot_be_shown(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    push_all(queue, catalog, NEWER)
    for task in client.task_ids(project):
        client.delete_task(task)
    assert statuses(push_all(queue, catalog)) == {"present": 5}  # as far as anybody has noticed


def broken(annotation: Annotation) -> Annotation:
    """With a box that lies outside the image."""
    first, *others = annotation.regions
    instance = replace(first.instance, box=Box(5000, 5000, 5100, 5100), mask=None)
    return replace(annotation, regions=(replace(first, instance=instance), *others))


def test_a_bad_region_is_left_out_and_the_rest_goes(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    refs = predicted(queue, catalog)
    bad = next(catalog.predictions.read([refs[0].id], VERSION))
    catalog.predictions.record([replace(broken(bad), author=NEWER)])
    report = push(queue, catalog, refs=refs, version=NEWER, taxonomy=TAXONOMY)
    assert statuses(report) == {"pushed": 1, "unpredicted": 4}
    (incomplete,) = report.incomplete
    assert incomplete.uri == refs[0].uri
    assert bad.regions[0].id in incomplete.reason
    (task,) = tasks_of(client, report.project_id)
    assert len(task["predictions"][0]["result"]) == 2
    (entry,) = catalog.quarantine.entries()
    assert (entry.stage, entry.image) == ("push", refs[0].id)


def test_an_interface_that_somebody_edited_gets_what_fits(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    refs = predicted(queue, catalog)
    project = push(queue, catalog, refs=refs[:1], version=VERSION, taxonomy=TAXONOMY).project_id
    config = client.project(project).label_config
    client.update_project(project, label_config=config.replace('value="belt"', 'value="conveyor"'))
    report = push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    assert statuses(report) == {"present": 1, "pushed": 4}
    assert "lacks mask: belt" in report.warnings[0]
    assert len(report.incomplete) == 4
    for task in tasks_of(client, project)[1:]:
        labels = [result["value"][result["type"]] for result in task["predictions"][0]["result"]]
        assert labels == [["bolt"]] * 2  # a mask, a box


def test_an_interface_of_somebody_elses_is_refused_before_anything_is_sent(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = client.create_project(
        queue.queue.project, '<View><Image name="image" value="$image"/></View>'
    ).id
    client.import_tasks(project, [{"data": {"image": "x.png"}}])
    with pytest.raises(FormatError, match=r"lacks box: bolt, mask: bolt, mask: belt: add <RectangleLabels"):
        push_all(queue, catalog)
    assert len(client.task_ids(project)) == 1


def test_tasks_of_somebody_else_are_left_alone(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    refs = predicted(queue, catalog)
    project = push(queue, catalog, refs=refs[:1], version=VERSION, taxonomy=TAXONOMY).project_id
    strange = [
        {"data": {"image": "a.png", "image_id": refs[1].id}},
        {"data": {"image": "b.png", "image_id": refs[2].id, "width": 1, "height": 1}},
        {"data": {"image": "c.png", "image_id": "img 3"}},
    ]
    ids = client.import_tasks(project, strange)
    report = push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    assert statuses(report) == {"present": 1, "held": 2, "pushed": 2}
    assert {one.task_id for one in report.outcomes if one.status == "held"} == set(ids[:2])
    assert "3 tasks" in report.warnings[0]
    assert statuses(push(queue, catalog, refs=refs, version=NEWER, taxonomy=TAXONOMY))["held"] == 2


def test_a_project_that_is_deleted_meanwhile_is_one_line(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    refs = predicted(queue, catalog)
    project = push(queue, catalog, refs=refs[:1], version=VERSION, taxonomy=TAXONOMY).project_id

    @contextmanager
    def somebody() -> Iterator[None]:
        client.delete_project(project)
        yield

    impatient = queue.updated(label_studio__patience_s=0.0)
    with pytest.raises(LabelStudioError, match=rf"\(id {project}\) was deleted in Label Studio") as caught:
        push(impatient, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY, limit=somebody)
    assert "\n" not in str(caught.value)
    assert statuses(push_all(impatient, catalog)) == {"pushed": 5}


def test_a_server_that_is_not_there_is_one_line(settings: Settings, catalog: Catalog) -> None:
    queue = settings_for(settings, "http://127.0.0.1:9", "token", title="nobody")
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9 did not answer"):
        push_all(queue, catalog)
    assert catalog.projects.all() == ()


def test_a_wrong_token_is_one_line_and_claims_nothing(
    settings: Settings, catalog: Catalog, label_studio: Connection
) -> None:
    queue = settings_for(settings, label_studio.url, "0" * 40, title="wrong token")
    with pytest.raises(LabelStudioError, match="DETSEG_LABEL_STUDIO__TOKEN"):
        push_all(queue, catalog)
    assert catalog.projects.all() == ()
