"""What people do in experiments: it is measured, and nothing that was planted comes out as a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from detseg.catalog import Catalog, open_catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from detseg.labelstudio.session import Json
from detseg.metrics.cases import Case
from detseg.metrics.edits import find_edits
from detseg.metrics.experiments import DecoyTally, GoldTally, passed_decoys
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.labels import LabelRules, read_labels
from detseg.pipeline.policies import shape_policy
from detseg.pipeline.qa.cases import CaseReader
from detseg.types import Annotation, ImageId
from tests.e2e.page import labeling_page
from tests.pipeline.arms import arms_of, known, make_mixed, push_all
from tests.pipeline.reviewing import fill_queue, predicted, submit, tasks_of


@pytest.fixture
def mixed(queue: Settings, catalog: Catalog, folder: Path, tmp_path: Path) -> Settings:
    """A queue with tasks of every arm."""
    return make_mixed(queue, catalog, folder, tmp_path / "gold.json")


def test_the_page_shows_what_the_arm_says(
    mixed: Settings, catalog: Catalog, client: LabelStudioClient, label_studio: Connection
) -> None:
    project = push_all(mixed, catalog).project_id
    arms = arms_of(catalog)
    tasks = {arms[task["data"]["image_id"]]: task for task in tasks_of(client, project)}
    with labeling_page(label_studio) as page:
        page.open_task(project, tasks["decoy"]["id"], n_regions=len(predicted(tasks["decoy"])))
        drawn = {region.id for region in page.regions()}
        page.submit(tasks["decoy"]["id"])
        page.open_task(project, tasks["control"]["id"], n_regions=0)
        assert page.regions() == ()
        page.submit(tasks["control"]["id"])
    planted_on, control_one = (ImageId(tasks[arm]["data"]["image_id"]) for arm in ("decoy", "control"))
    (decoy,) = catalog.arms.of_images(known(catalog).key, [planted_on])[planted_on].decoys
    assert drawn == {result["id"] for result in predicted(tasks["decoy"])}
    assert {f"{decoy.region.id}-box", f"{decoy.region.id}-mask"} & drawn
    collect_reviews(mixed, catalog)
    records = {one.annotation.image: one.annotation for one in catalog.reviews.latest(known(catalog).key)}
    assert passed_decoys([decoy], records[planted_on])
    assert records[control_one].state == "empty"
    assert (records[control_one].lead_time_s or 0) > 0
    labels = {label.image: label.annotation for label in read_labels(catalog, known(catalog), LabelRules())}
    assert decoy.region.id not in {region.id for region in labels[planted_on].regions}


def test_decoys_that_people_accept_never_come_out_as_labels(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    queue = queue.updated(
        labels__annotate="pairs", experiments__control_share=0.0, experiments__decoy_share=1.0
    )
    project = push_all(queue, catalog).project_id
    accepted, mended, *others = tasks_of(client, project)
    assigned = catalog.arms.of_images(
        known(catalog).key, [ImageId(task["data"]["image_id"]) for task in (accepted, mended)]
    )
    submit(client, accepted)
    (decoy,) = assigned[ImageId(mended["data"]["image_id"])].decoys
    others_left = [one for one in predicted(mended) if not str(one["id"]).startswith(decoy.region.id)]
    (box,) = [one for one in predicted(mended) if one["id"] == f"{decoy.region.id}-box"]
    room = 100.0 - box["value"]["width"]
    box["value"]["x"] = 0.0 if box["value"]["x"] > room / 2 else room
    results = [*others_left, box]  # a mask, if it had one, was deleted
    submit(client, mended, results)
    for task in others:
        submit(client, task, [])
    collect_reviews(queue, catalog)
    labels = {label.image: label for label in read_labels(catalog, known(catalog), LabelRules())}
    assert len(labels) == 5
    first = labels[ImageId(accepted["data"]["image_id"])]
    (planted,) = assigned[first.image].decoys
    assert len(first.annotation.regions) == 3
    assert planted.region.id not in {region.id for region in first.annotation.regions}
    second = labels[ImageId(mended["data"]["image_id"])]
    assert decoy.region.id in {region.id for region in second.annotation.regions}
    # the catalog knows what was planted, so what comes back is known as the model's
    records = {record.annotation.image: record for record in catalog.reviews.latest(known(catalog).key)}
    origins = {region.id: region.origin for region in records[first.image].annotation.regions}
    assert origins[planted.region.id] == "model"


@pytest.mark.parametrize("mask_as", ["brush", "polygon"])
def test_what_people_did_in_each_arm_is_measured(
    mixed: Settings, catalog: Catalog, client: LabelStudioClient, mask_as: str
) -> None:
    queue = mixed.updated(labels__mask_as=mask_as)
    project = push_all(queue, catalog).project_id
    arms = arms_of(catalog)
    for task in tasks_of(client, project):
        submit(client, task, predicted(task) if task["predictions"] else [])
    collect_reviews(queue, catalog)
    cases = list(CaseReader(catalog, known(catalog), shape_policy(queue.labels)).all())
    assert {case.image: case.arm for case in cases} == arms
    n = Counter(arms.values())
    decoys, gold = DecoyTally(), GoldTally()
    for case in cases:
        decoys.add(case)
        gold.add(case)
        assert len(case.prediction.regions) == 3  # decoys are no predictions of the model
        assert len(case.shown) == {"assisted": 3, "gold": 3, "control": 0, "decoy": 4}[case.arm]
        assert (case.gold is not None) == (case.arm == "gold")
        if case.arm == "decoy":
            kinds = Counter(edit.kind for edit in find_edits(planted(case), case.reviews[0]))
            assert kinds == {"kept": 4}
    assert decoys.result().all.n_missed == decoys.result().all.n_shown == n["decoy"]
    # the model's three regions against the one bolt that is true, which it misses
    score = gold.result().all
    assert (score.n_images, score.tp, score.fp, score.fn) == (n["gold"], 0, 3 * n["gold"], n["gold"])


def planted(case: Case) -> Annotation:
    """What was on the page, as one annotation."""
    return replace(case.prediction, regions=case.shown)


def test_work_on_a_models_regions_that_was_imported_elsewhere_is_no_work_by_hand(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, new_title: Callable[[], str], tmp_path: Path
) -> None:
    """Label Studio's export has annotations without their predictions, so tasks look like control images."""
    project = fill_queue(queue, catalog)
    for task in tasks_of(client, project):
        submit(client, task)
    exported = client.session.send(
        "GET", f"/api/projects/{project}/export", params={"exportType": "JSON"}
    ).json()
    moved = queue.updated(queue__project=new_title(), experiments__control_share=1.0)
    copy = client.create_project(moved.queue.project, client.project(project).label_config).id
    client.session.json("POST", f"/api/projects/{copy}/import", body=with_annotations(exported))
    with open_catalog(f"sqlite:///{tmp_path / 'another.sqlite3'}") as another:
        assert fill_queue(moved, another) == copy
        assert collect_reviews(moved, another).new == len(exported) == 5
        assert set(arms_of(another).values()) == {"control"}
        (of_copy,) = another.projects.all()
        reader = CaseReader(another, of_copy, shape_policy(moved.labels))
        assert Counter(case.arm for case in reader.all()) == {"assisted": 5}


def with_annotations(exported: Sequence[Json]) -> list[Json]:
    return [{"data": task["data"], "annotations": task["annotations"]} for task in exported]


def test_as_many_people_are_asked_as_the_settings_say(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    two = queue.updated(queue__overlap=2)
    project = push_all(two, catalog).project_id
    assert client.project(project).overlap == 2
    first, *_ = client.task_ids(project)
    colleague = client.ensure_user("colleague@example.com", first_name="A", last_name="Colleague")
    client.create_annotation(first, [], lead_time_s=1.0, completed_by=colleague)
    assert client.session.json("GET", f"/api/projects/{project}/next")["id"] == first
    client.create_annotation(first, [], lead_time_s=1.0)
    assert client.session.json("GET", f"/api/projects/{project}/next")["id"] != first
    assert client.task(first)["is_labeled"]
    # one is not fewer than the project was told, more is more
    push_all(queue, catalog)
    assert client.project(project).overlap == 2
    push_all(queue.updated(queue__overlap=3), catalog)
    assert client.project(project).overlap == 3
    assert not client.task(first)["is_labeled"]


def test_one_person_is_asked_unless_the_settings_say_otherwise(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    assert client.project(project).overlap == 1
    first, *_ = client.task_ids(project)
    colleague = client.ensure_user("colleague@example.com", first_name="A", last_name="Colleague")
    client.create_annotation(first, [], lead_time_s=1.0, completed_by=colleague)
    assert client.session.json("GET", f"/api/projects/{project}/next")["id"] != first
