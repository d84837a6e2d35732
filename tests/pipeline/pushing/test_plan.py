"""A plan says what the push that follows it does, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from detseg.catalog import Catalog, open_catalog
from detseg.config import Settings
from detseg.errors import FormatError
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.push import plan_push, push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import ModelVersion
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, settings_for
from tests.pipeline.foreseen import push_as_foreseen
from tests.sources.servers import Answer, web_server

NEWER = ModelVersion("fixed@00000002")


def test_every_kind_of_push_is_foreseen(queue: Settings, catalog: Catalog, client: LabelStudioClient) -> None:
    refs = tuple(scan(queue, catalog).images)
    predict_shard(queue, catalog, FixedPredictor(), refs)
    project = push_as_foreseen(queue, catalog, refs[:3]).project_id
    client.import_tasks(project, [{"data": {"image": "x.png", "image_id": refs[3].id}}])
    assert push_as_foreseen(queue, catalog, refs).counts["held"] == 1
    config = client.project(project).label_config
    client.update_project(project, label_config=config.replace('value="belt"', 'value="conveyor"'))
    predict_shard(queue, catalog, FixedPredictor(NEWER), refs)
    first, second, *_ = client.task_ids(project)
    client.create_annotation(first, [], lead_time_s=1.0)
    client.delete_task(second)
    replacing = queue.updated(queue__predictions="replace")
    report = push_as_foreseen(replacing, catalog, refs, NEWER)
    assert {status: n for status, n in report.counts.items() if n} == {
        "reviewed": 1,
        "replaced": 2,
        "deleted": 1,
        "held": 1,
    }
    assert len(report.incomplete) == 2
    client.delete_task(first)
    restored = push_as_foreseen(queue.updated(queue__restore=True), catalog, refs, NEWER)
    assert restored.counts["pushed"] == 2


def test_what_an_interface_lacks_is_foreseen(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    """Where it has the same label in another letter case, a second one is not what to add."""
    refs = tuple(scan(queue, catalog).images)
    predict_shard(queue, catalog, FixedPredictor(), refs)
    project = push_as_foreseen(queue, catalog, refs[:3]).project_id
    config = client.project(project).label_config
    client.update_project(project, label_config=config.replace('value="belt"', 'value="Belt"'))
    said = plan_push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    done = push_as_foreseen(queue, catalog, refs)
    line = next(line for line in said.warnings if "lacks" in line)
    assert line in done.warnings
    assert "lacks mask: belt: such regions are left out; it has Belt: name the classes so" in line
    assert "<Label" not in line
    other_case = config.replace('value="belt"', 'value="Belt"').replace('value="bolt"', 'value="BOLT"')
    client.update_project(project, label_config=other_case)
    for run in (plan_push, push):
        with pytest.raises(
            FormatError, match=r"lacks .*: it has BOLT, Belt: name the classes so in \[\[classes"
        ):
            run(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)


def test_tasks_that_are_gone_before_a_second_version_comes_are_restored_as_foreseen(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    refs = tuple(scan(queue, catalog).images)
    predict_shard(queue, catalog, FixedPredictor(), refs)
    project = push_as_foreseen(queue, catalog, refs).project_id
    client.delete_task(client.task_ids(project)[0])
    predict_shard(queue, catalog, FixedPredictor(NEWER), refs)
    report = push_as_foreseen(queue.updated(queue__restore=True), catalog, refs, NEWER)
    assert (report.counts["pushed"], report.counts["added"]) == (1, 4)


def test_an_image_without_a_prediction_would_be_pushed(queue: Settings, catalog: Catalog) -> None:
    refs = scan(queue, catalog).images
    said = plan_push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    assert (said.counts["pushed"], said.project_id, said.url) == (5, 0, "")


@pytest.mark.parametrize("known", [False, True])
def test_without_a_server_the_catalog_is_asked(
    queue: Settings, settings: Settings, catalog: Catalog, known: bool
) -> None:
    refs = tuple(scan(queue, catalog).images)
    if known:
        predict_shard(queue, catalog, FixedPredictor(), refs)
        push(queue, catalog, refs=refs[:2], version=VERSION, taxonomy=TAXONOMY)
    nowhere = settings_for(settings, "http://127.0.0.1:9", "token", title=queue.queue.project)
    said = plan_push(nowhere, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    assert said.counts["pushed"] == (3 if known else 5)
    assert "by the catalog alone" in said.warnings[0]


def test_images_that_cannot_be_served_are_refused_before_they_are_predicted(
    queue: Settings, catalog: Catalog, folder: Path
) -> None:
    """Three images of a web server among local files, which is all that this way of serving has."""
    answers = {f"/{n}.png": Answer((folder / f"{n}.png").read_bytes()) for n in range(3)}
    with web_server(answers) as web:
        rows = [*(f"{web.url}/{n}.png" for n in range(3)), str(folder / "3.png"), str(folder / "4.png")]
        (folder / "list.csv").write_text("\n".join(["uri", *rows]), encoding="utf-8")
        changes = {"source__location": str(folder / "list.csv"), "source__allow_private_addresses": True}
        mixed = queue.updated(**changes)
        refs = tuple(scan(mixed, catalog).images)
        said = plan_push(mixed, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
        predict_shard(mixed, catalog, FixedPredictor(), refs)
        done = push_as_foreseen(mixed, catalog, refs)
    assert said.counts == done.counts
    assert (done.counts["refused"], done.counts["pushed"]) == (3, 2)
    assert "is no local file" in done.failures[0].reason


def test_tasks_of_a_catalog_that_was_lost_are_foreseen(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, tmp_path: Path
) -> None:
    """They are imported: with this version's prediction they need nothing, without it they get it."""
    mixed = queue.updated(experiments__control_share=0.5)
    refs = tuple(scan(mixed, catalog).images)
    predict_shard(mixed, catalog, FixedPredictor(), refs)
    project = push_as_foreseen(mixed, catalog, refs[:4]).project_id
    with open_catalog(f"sqlite:///{tmp_path / 'another.sqlite3'}") as another:
        again = tuple(scan(mixed, another).images)
        assert again == refs
        predict_shard(mixed, another, FixedPredictor(), refs)
        report = push_as_foreseen(mixed, another, refs)
        assert (report.counts["present"], report.counts["pushed"]) == (4, 1)
        predict_shard(mixed, another, FixedPredictor(NEWER), refs)
        push_as_foreseen(mixed, another, refs, NEWER)
    assert len(client.task_ids(project)) == 5


@pytest.mark.parametrize("arrived", [False, True])
def test_a_push_that_was_killed_is_foreseen(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, arrived: bool
) -> None:
    impatient = queue.updated(label_studio__patience_s=0.0)
    refs = tuple(scan(queue, catalog).images)
    predict_shard(queue, catalog, FixedPredictor(), refs)
    project = push_as_foreseen(queue, catalog, refs[:1]).project_id
    (known,) = catalog.projects.all()
    catalog.tasks.open_push(known.key, [refs[1].id], VERSION)
    if arrived:
        (first,) = client.task_ids(project)
        task = client.task(first)
        sent = {"data": task["data"] | {"image_id": refs[1].id}}
        predictions = [{"model_version": VERSION, "result": task["predictions"][0]["result"]}]
        client.import_tasks(project, [{**sent, "predictions": predictions}])
    report = push_as_foreseen(impatient, catalog, refs)
    assert report.counts["pushed"] == (3 if arrived else 4)
    assert len(client.task_ids(project)) == 5
