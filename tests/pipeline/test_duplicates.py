"""What was carried out twice, on a real Label Studio: nothing lost, nothing twice that nobody worked on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from detseg.catalog import NOTHING_SHOWN, Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient, seen_task
from detseg.labelstudio.deletion import delete_untouched
from detseg.labelstudio.session import Json
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.push import push
from tests.catalog.reading import prediction_states, review_ids
from tests.pipeline.conftest import TAXONOMY, VERSION, write_image
from tests.pipeline.test_numbers_given_again import agrees
from tests.pipeline.test_push import NEWER, known, on_server, predicted, push_all, statuses

BEGINNINGS = ("untouched", "drafted", "annotated")
STATES = tuple(product(BEGINNINGS, BEGINNINGS, (True, False)))
"""What became of a task, what became of its copy, and whether the copy has its prediction."""


def deliver_again(
    client: LabelStudioClient, project: int, tasks: Sequence[Json], *, bare: Sequence[int] = ()
) -> tuple[int, ...]:
    """Sends tasks as they were sent, as a proxy does that repeats or held back a request."""
    names = ("model_version", "score", "result")
    bodies = [
        {"data": task["data"]}
        if task["id"] in bare
        else {
            "data": task["data"],
            "predictions": [{name: one[name] for name in names} for one in task["predictions"]],
        }
        for task in tasks
    ]
    return client.import_tasks(project, bodies)


def begin(client: LabelStudioClient, task: int, beginning: str) -> None:
    """What a person does to a task: nothing, a draft, or an annotation."""
    if beginning == "drafted":
        client.session.json("POST", f"/api/tasks/{task}/drafts", body={"result": []})
    if beginning == "annotated":
        client.create_annotation(task, [], lead_time_s=1.0)


def test_what_came_twice_is_said_and_made_one(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    deliver_again(client, project, list(client.tasks(project)))
    body = [{"task": client.task_ids(project)[0], "model_version": NEWER, "result": []}]
    again = push_all(queue, catalog)
    assert statuses(again) == {"present": 5}
    (line,) = again.warnings
    assert "5 tasks and 0 predictions of ours" in line
    assert "somebody else" not in line
    assert agrees(catalog, client, project)
    push_all(queue, catalog, NEWER)
    client.session.json("POST", f"/api/projects/{project}/import/predictions", body=body)
    (line,) = collect_reviews(queue, catalog).warnings
    assert "0 tasks and 1 prediction of ours" in line
    assert [[one.model_version for one in task.predictions] for task in on_server(client, project)] == [
        [VERSION, NEWER]
    ] * 5
    assert collect_reviews(queue, catalog).warnings == push_all(queue, catalog, NEWER).warnings == ()


def test_more_than_a_few_are_not_removed_unasked(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    """A server that shows so much twice is more likely wrong than right."""
    project = push_all(queue, catalog).project_id
    deliver_again(client, project, list(client.tasks(project)) * 21)
    there = client.task_ids(project)
    assert len(there) == 110
    for report in (push_all(queue, catalog), collect_reviews(queue, catalog)):
        (line,) = report.warnings
        assert "105 tasks and 0 predictions of ours twice" in line
        assert "DETSEG_QUEUE__REMOVE_DUPLICATES=all" in line
        assert client.task_ids(project) == there
    begun = max(there)
    client.create_annotation(begun, [], lead_time_s=1.0)
    nothing = queue.updated(queue__remove_duplicates="none")
    assert collect_reviews(nothing, catalog).states["empty"] == 1  # people's work counts all the same
    assert client.task_ids(project) == there
    asked = queue.updated(queue__remove_duplicates="all")
    (line,) = push_all(asked, catalog).warnings
    assert "105 tasks and 0 predictions of ours were" in line
    assert begun in client.task_ids(project)
    assert agrees(catalog, client, project)
    push_all(queue.updated(queue__predict_reviewed=True), catalog, NEWER)
    body = [{"task": begun, "model_version": NEWER, "result": []}] * 101
    client.session.json("POST", f"/api/projects/{project}/import/predictions", body=body)
    (line,) = push_all(queue, catalog, NEWER).warnings
    assert "0 tasks and 101 predictions of ours twice" in line
    (line,) = push_all(asked, catalog, NEWER).warnings
    assert "0 tasks and 101 predictions of ours were" in line
    assert agrees(catalog, client, project)
    assert collect_reviews(queue, catalog).warnings == push_all(queue, catalog, NEWER).warnings == ()


@pytest.fixture
def many(folder: Path) -> Path:
    """As many images as there are states."""
    for number in range(len(STATES) - 5):
        write_image(folder / f"more-{number}.png", seed=50 + number)
    return folder


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("by", ["push", "collect"])
def test_every_state_of_a_task_and_its_copy(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, by: str
) -> None:
    project = push_all(queue, catalog).project_id
    tasks = sorted(client.tasks(project), key=lambda task: int(task["id"]))
    firsts = [int(task["id"]) for task in tasks]
    bare = [first for first, (_, _, shows) in zip(firsts, STATES, strict=True) if not shows]
    copies = deliver_again(client, project, tasks, bare=bare)
    for first, copy, (here, there, _) in zip(firsts, copies, STATES, strict=True):
        begin(client, first, here)
        begin(client, copy, there)
    if by == "push":
        push_all(queue, catalog)
    report = collect_reviews(queue, catalog)
    assert report.failures == ()
    (key,) = [one.key for one in catalog.projects.all() if one.server_id == project]
    several = catalog.server_tasks.copies(key)
    left = {task["id"]: task for task in client.tasks(project)}
    n_annotated = 0
    for task, copy, (here, there, shows) in zip(tasks, copies, STATES, strict=True):
        image, first = task["data"]["image_id"], int(task["id"])
        stay = {first} if there == "untouched" else {copy} if here == "untouched" else {first, copy}
        assert {number for number in (first, copy) if number in left} == stay, (here, there, shows)
        assert set(several.get(image, stay)) == stay
        row = catalog.tasks.of_images(key, [image])[image]
        assert row.task_id == min(stay)
        unseen = stay == {copy} and not shows
        assert (row.model_version == NOTHING_SHOWN) == unseen
        versions = {one["model_version"] for one in left[row.task_id]["predictions"]}
        assert prediction_states(catalog, key, image).keys() == versions
        n_annotated += (here, there).count("annotated")
    assert len(review_ids(catalog, key)) == n_annotated
    assert sum(len(task["annotations"]) for task in left.values()) == n_annotated
    assert f"{len(several)} images are several tasks" in report.warnings[-1]
    assert sum(report.states.values()) == len(STATES)
    again = collect_reviews(queue, catalog)
    assert (again.new, again.updated, again.deleted, again.failures) == (0, 0, 0, ())
    assert push_all(queue, catalog).counts["pushed"] == 0


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_deleted_task_does_not_come_back_unless_somebody_works_on_its_late_copy(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, beginning: str
) -> None:
    project = push_all(queue, catalog).project_id
    task = client.task(client.task_ids(project)[-1])
    client.delete_task(task["id"])
    (copy,) = deliver_again(client, project, [task])
    assert copy == task["id"]  # the number is given again
    begin(client, copy, beginning)
    report = collect_reviews(queue, catalog)
    assert (copy in client.task_ids(project)) == (beginning != "untouched")
    assert report.states["empty"] == (beginning == "annotated")
    assert agrees(catalog, client, project)
    assert statuses(push_all(queue, catalog)) == (
        {"present": 4, "deleted": 1} if beginning == "untouched" else {"present": 5}
    )


def test_when_one_of_two_goes_the_other_is_the_images(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    refs = predicted(queue, catalog)
    project = known(catalog, push(queue, catalog, refs=refs[:1], version=VERSION, taxonomy=TAXONOMY))
    (first,) = client.task_ids(project.server_id)
    (copy,) = deliver_again(client, project.server_id, [client.task(first)])
    for task in (first, copy):
        begin(client, task, "annotated")
    assert len(collect_reviews(queue, catalog).warnings) == 1
    client.delete_task(first)
    report = collect_reviews(queue, catalog)
    assert (report.deleted, report.warnings, report.states["empty"]) == (1, (), 1)
    assert agrees(catalog, client, project.server_id)
    assert len(review_ids(catalog, project.key)) == 1


def test_a_task_that_somebody_begins_before_it_shows_anything_was_not_assisted(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    refs = predicted(queue, catalog)
    project = known(catalog, push(queue, catalog, refs=refs[:1], version=VERSION, taxonomy=TAXONOMY))
    (model,) = client.tasks(project.server_id)
    catalog.tasks.open_push(project.key, [refs[1].id, refs[2].id], VERSION)  # a killed run had sent them
    data = [{"data": {**model["data"], "image_id": ref.id}} for ref in refs[1:3]]
    begun, _ = client.import_tasks(project.server_id, data)
    begin(client, begun, "drafted")
    push(queue, catalog, refs=refs[:1], version=VERSION, taxonomy=TAXONOMY)
    shown = [task.model_version for task in catalog.tasks.of_images(project.key, [refs[1].id]).values()]
    assert shown == [NOTHING_SHOWN]
    assert [len(task.predictions) for task in on_server(client, project.server_id)] == [1, 0, 1]


def test_the_server_deletes_what_nobody_began_and_nothing_else(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    tasks = [seen_task(task) for task in client.tasks(project)]
    begin(client, tasks[0].id, "drafted")
    begin(client, tasks[1].id, "annotated")
    client.create_annotation(tasks[2].id, [], lead_time_s=1.0, was_cancelled=True)
    later = type(tasks[3])(tasks[3].id, tasks[4].created_at, tasks[3].image)
    for task in (*tasks[:3], later, tasks[4]):
        delete_untouched(client.session, project, task)
    assert client.task_ids(project) == tuple(task.id for task in tasks[:4])


@pytest.mark.parametrize("pushed_between", [False, True])
def test_what_people_deleted_is_no_reason_to_look_for_duplicates(
    queue: Settings,
    catalog: Catalog,
    client: LabelStudioClient,
    label_studio_state: Path,
    pushed_between: bool,
) -> None:
    """A lookup is of all that was sent, and takes the longer, the more tasks the project has."""
    log = label_studio_state / "label-studio" / "server.log"

    def n_lookups() -> int:
        return sum("in_list" in line and "data.image_id" in line for line in log.read_text().splitlines())

    project = push_all(queue, catalog).project_id
    first, *_, last = client.task_ids(project)
    client.create_annotation(first, [], lead_time_s=1.0)
    collect_reviews(queue, catalog)
    for task in (first, last):
        client.delete_task(task)
    if pushed_between:
        push_all(queue, catalog)
    before = n_lookups()
    assert before or not pushed_between  # the log is the place where they are seen
    report = collect_reviews(queue, catalog)
    assert (report.deleted, sum(report.states.values())) == (1, 3)
    assert collect_reviews(queue, catalog).deleted == 0
    assert n_lookups() == before
    deliver_again(client, project, list(client.tasks(project)))
    (line,) = collect_reviews(queue, catalog).warnings
    assert "3 tasks and 0 predictions of ours" in line
    assert agrees(catalog, client, project)
