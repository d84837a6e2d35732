"""On SQLite, Label Studio gives the number of the newest task again once that is deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.push import push
from tests.e2e.faults.proxy import fault_proxy
from tests.pipeline.conftest import TAXONOMY, VERSION, write_image
from tests.pipeline.test_push import NEWER, known, on_server, predicted, push_all, statuses


def delete_newest(client: LabelStudioClient, project: int) -> tuple[int, str]:
    """The number that is free now, and the image whose task had it."""
    newest = client.task(client.task_ids(project)[-1])
    client.delete_task(newest["id"])
    return newest["id"], newest["data"]["image_id"]


def add_images(folder: Path, n: int) -> None:
    for seed in range(100, 100 + n):
        write_image(folder / f"{seed}.png", seed=seed)


def agrees(catalog: Catalog, client: LabelStudioClient, project: int) -> bool:
    """Whether the catalog has the server's tasks under the numbers that they have there."""
    (key,) = [one.key for one in catalog.projects.all() if one.server_id == project]
    here = {task.image: task.task_id for task in catalog.tasks.of_project(key) if task.state == "pushed"}
    return here == {task["data"]["image_id"]: task["id"] for task in client.tasks(project)}


@pytest.mark.parametrize("noticed", [True, False])
def test_deleting_the_newest_task_ends_nothing(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, folder: Path, noticed: bool
) -> None:
    project = push_all(queue, catalog).project_id
    client.create_annotation(client.task_ids(project)[-1], [], lead_time_s=1.0)
    collect_reviews(queue, catalog)
    number, image = delete_newest(client, project)
    if noticed:
        assert collect_reviews(queue, catalog).deleted == 1
    add_images(folder, 3)
    report = push_all(queue, catalog)
    assert statuses(report) == (
        {"pushed": 3, "deleted": 1, "present": 4} if noticed else {"pushed": 3, "present": 5}
    )
    assert number in client.task_ids(project)  # given again
    assert agrees(catalog, client, project)
    assert sum(collect_reviews(queue, catalog).states.values()) == 7
    assert collect_reviews(queue, catalog, full=True).failures == ()
    assert statuses(push_all(queue, catalog)) == {"deleted": 1, "present": 7}
    restored = push_all(queue.updated(queue__restore=True), catalog)
    assert restored.pushed == (image,)
    assert agrees(catalog, client, project)


def test_no_prediction_lands_on_a_later_task(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, folder: Path
) -> None:
    project = push_all(queue, catalog).project_id
    delete_newest(client, project)
    add_images(folder, 1)
    report = push_all(queue, catalog, NEWER)
    assert statuses(report) == {"pushed": 1, "added": 4, "deleted": 1}
    versions = [[one.model_version for one in task.predictions] for task in on_server(client, project)]
    assert versions == [[VERSION, NEWER]] * 4 + [[NEWER]]
    assert agrees(catalog, client, project)


def test_somebody_elses_task_gets_no_prediction_under_a_number_of_ours(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    number, _ = delete_newest(client, project)
    assert client.import_tasks(project, [{"data": {"image": "/static/images/logo.png"}}]) == (number,)
    for settings in (queue, queue.updated(queue__predictions="replace")):
        report = push_all(settings, catalog, NEWER)
        assert report.counts["deleted"] == 1
        assert client.task(number)["predictions"] == []
    assert collect_reviews(queue, catalog).n_external == 1


def test_what_was_restored_under_another_number_is_not_gone(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    restoring = queue.updated(queue__restore=True)
    project = push_all(queue, catalog).project_id
    delete_newest(client, project)
    client.import_tasks(project, [{"data": {"image": "/static/images/logo.png"}}])
    assert statuses(push_all(restoring, catalog)) == {"pushed": 1, "present": 4}
    assert statuses(push_all(restoring, catalog)) == {"present": 5}


def test_a_catalog_of_before_learns_when_its_tasks_were_made(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    refs = predicted(queue, catalog)
    project = known(catalog, push(queue, catalog, refs=refs[:1], version=VERSION, taxonomy=TAXONOMY))
    (model,) = client.tasks(project.server_id)
    (later,) = client.import_tasks(project.server_id, [{"data": {**model["data"], "image_id": refs[1].id}}])
    catalog.tasks.open_push(project.key, [refs[1].id], VERSION)
    catalog.tasks.confirm_push(project.key, {refs[1].id: later})
    assert catalog.tasks.undated(project.key) == (later,)
    collect_reviews(queue, catalog)
    assert catalog.tasks.undated(project.key) == ()
    assert agrees(catalog, client, project.server_id)


@pytest.mark.parametrize("behind_s", [-300.0, 300.0])
def test_a_proxy_whose_clock_is_wrong_costs_no_task(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, behind_s: float
) -> None:
    with fault_proxy(client.url) as proxy:
        proxy.behind_s = behind_s
        queue = queue.updated(label_studio__url=proxy.url)
        project = push_all(queue, catalog).project_id
        ids = client.task_ids(project)
        annotation = client.create_annotation(ids[0], [], lead_time_s=1.0)
        report = collect_reviews(queue, catalog)
        assert (report.new, report.deleted, report.warnings) == (1, 0, ())
        client.update_annotation(annotation, lead_time=2.0)  # which no count shows
        assert collect_reviews(queue, catalog).updated == 1
        assert report.states == {"unlabeled": 4, "labeled": 0, "empty": 1, "skipped": 0}
        assert client.task_ids(project) == ids
        assert agrees(catalog, client, project)
        assert statuses(push_all(queue, catalog)) == {"present": 5}
