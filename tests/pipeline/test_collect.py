"""Collecting from a real Label Studio: all that people did, once, told apart; nothing dropped in silence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from detseg.catalog import Catalog, ReviewRecord, open_catalog
from detseg.config import Settings
from detseg.errors import CatalogError, LabelStudioError
from detseg.labelstudio.changes import TaskReader
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.collect import CollectReport, collect_reviews
from detseg.pipeline.evaluate import evaluate
from detseg.pipeline.reconciling import compare_counts
from detseg.pipeline.recording import Recorder
from tests.pipeline.conftest import TAXONOMY
from tests.pipeline.reviewing import KEYPOINT, UNREADABLE, fill_queue, predicted, submit, tasks_of


def counts(report: CollectReport) -> tuple[int, int, int]:
    return report.new, report.updated, report.deleted


def reviews_of(catalog: Catalog) -> list[tuple[Any, ...]]:
    """Every row of the catalog's reviews, to the byte."""
    engine = sa.create_engine(catalog.url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.exec_driver_sql("SELECT * FROM reviews ORDER BY 1, 2")]
    engine.dispose()
    return rows


def latest(catalog: Catalog) -> list[ReviewRecord]:
    (project,) = catalog.projects.all()
    return list(catalog.reviews.latest(project.key))


def work(client: LabelStudioClient, project: int) -> list[dict[str, Any]]:
    """A task of each state: accepted, one region deleted, empty, skipped, and one that nobody opened."""
    tasks = tasks_of(client, project)
    submit(client, tasks[0])
    submit(client, tasks[1], predicted(tasks[1])[:-1])
    submit(client, tasks[2], [])
    submit(client, tasks[3], was_cancelled=True)
    return tasks


def test_every_state_is_found_and_doing_it_again_changes_nothing(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    work(client, fill_queue(queue, catalog))
    report = collect_reviews(queue, catalog)
    assert counts(report) == (4, 0, 0)
    assert report.states == {"unlabeled": 1, "labeled": 2, "empty": 1, "skipped": 1}
    before = reviews_of(catalog)
    again = collect_reviews(queue, catalog)
    assert (counts(again), again.states) == ((0, 0, 0), report.states)
    assert reviews_of(catalog) == before


def test_a_skipped_annotation_has_no_regions_and_a_draft_is_no_review(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    one, two, *_ = tasks_of(client, fill_queue(queue, catalog))
    submit(client, one, was_cancelled=True)
    draft = {"result": predicted(two), "lead_time": 3.0}
    client.session.json("POST", f"/api/tasks/{two['id']}/drafts", body=draft)
    report = collect_reviews(queue, catalog)
    assert report.states == {"unlabeled": 4, "labeled": 0, "empty": 0, "skipped": 1}
    (skipped,) = latest(catalog)
    assert (skipped.annotation.state, skipped.annotation.regions) == ("skipped", ())


def test_deleting_a_thing_is_one_deletion(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    """Each thing is one shape on the page, and one region of what is collected."""
    one, two, *_ = tasks_of(client, fill_queue(queue, catalog))
    shapes = predicted(one)
    assert sorted(shape["type"] for shape in shapes) == ["brushlabels", "brushlabels", "rectanglelabels"]
    submit(client, one)
    for number, shape in enumerate(shapes):
        left = [other for other in predicted(two) if other["id"] != predicted(two)[number]["id"]]
        annotation = submit(client, two, left)
        collect_reviews(queue, catalog)
        records = {record.task_id: record.annotation.regions for record in latest(catalog)}
        assert len(records[int(one["id"])]) == 3
        assert len(records[int(two["id"])]) == 2
        client.session.send("DELETE", f"/api/annotations/{annotation}/")
        assert shape["id"] not in {other["id"] for other in left}


def test_a_box_that_was_deleted_takes_its_mask_along(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    """Where a thing is a box and a mask, and where it was in the tasks of earlier versions."""
    pairs = queue.updated(labels__annotate="pairs")
    one, two, three, four, _ = tasks_of(client, fill_queue(pairs, catalog))
    (whole,) = [shape["parentID"] for shape in predicted(one) if "parentID" in shape]
    submit(client, one, [shape for shape in predicted(one) if shape["id"] != whole])
    submit(client, two, [shape for shape in predicted(two) if "parentID" not in shape])
    submit(client, three, [shape for shape in predicted(three) if "parentID" in shape])
    submit(client, four)
    collect_reviews(queue, catalog)
    records = {record.task_id: record.annotation for record in latest(catalog)}
    regions = [len(records[int(task["id"])].regions) for task in (one, two, three, four)]
    assert regions == [2, 3, 0, 3]
    assert records[int(three["id"])].state == "empty"


def test_annotators_are_kept_apart(queue: Settings, catalog: Catalog, client: LabelStudioClient) -> None:
    task, *_ = tasks_of(client, fill_queue(queue, catalog))
    second = client.ensure_user("second@example.com", first_name="S", last_name="Econd")
    submit(client, task)
    submit(client, task, predicted(task)[:1], completed_by=second)
    assert counts(collect_reviews(queue, catalog)) == (2, 0, 0)
    by_author = {record.annotation.author: len(record.annotation.regions) for record in latest(catalog)}
    assert by_author == {f"user-{client.whoami()['id']}": 3, f"user-{second}": 1}


def test_updates_and_deletions_are_followed(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = fill_queue(queue, catalog)
    one, two, three, *_ = tasks_of(client, project)
    annotation, _, third = (submit(client, task) for task in (one, two, three))
    collect_reviews(queue, catalog)
    client.update_annotation(annotation, result=predicted(one)[:1])
    client.delete_task(int(two["id"]))
    client.session.send("DELETE", f"/api/annotations/{third}/")
    report = collect_reviews(queue, catalog)
    assert counts(report) == (0, 1, 2)
    assert report.states == {"unlabeled": 3, "labeled": 1, "empty": 0, "skipped": 0}


def test_what_the_change_of_a_task_does_not_show_is_found_by_counting(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    server_id = fill_queue(queue, catalog)
    tasks = work(client, server_id)
    collect_reviews(queue, catalog)
    before = reviews_of(catalog)
    (project,) = catalog.projects.all()
    gone = catalog.reviews.ids_of_tasks(project.key, [int(tasks[0]["id"])])
    catalog.reviews.mark_deleted(project.key, gone)
    catalog.server_tasks.mark_deleted(project.key, [int(tasks[1]["id"])])
    reader = TaskReader(client.session, server_id)
    recorder = Recorder(catalog, project, TAXONOMY, reader)
    compare_counts(reader, recorder)
    assert (recorder.new, recorder.updated, recorder.deleted) == (0, 2, 0)
    assert reviews_of(catalog) == before
    assert catalog.tasks.ids(project.key) == tuple(int(task["id"]) for task in tasks)


def test_a_skip_that_is_gone_is_found_by_counting(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    server_id = fill_queue(queue, catalog)
    tasks = work(client, server_id)
    collect_reviews(queue, catalog)
    before = reviews_of(catalog)
    (project,) = catalog.projects.all()

    def compare() -> tuple[int, int, int]:
        reader = TaskReader(client.session, server_id)
        recorder = Recorder(catalog, project, TAXONOMY, reader)
        compare_counts(reader, recorder)
        return recorder.new, recorder.updated, recorder.deleted

    assert compare() == (0, 0, 0)
    skipped = next(record for record in latest(catalog) if record.annotation.state == "skipped")
    catalog.reviews.mark_deleted(project.key, [skipped.annotation_id])
    assert compare() == (0, 1, 0)
    gone = replace(
        _with(skipped, image=tasks[4]["data"]["image_id"]), annotation_id=10**9, task_id=int(tasks[4]["id"])
    )
    catalog.reviews.record(project.key, [gone])
    assert compare() == (0, 0, 1)
    assert reviews_of(catalog)[:-1] == before


def test_full_ends_with_the_same_catalog_and_mends_another_one(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    work(client, fill_queue(queue, catalog))
    collect_reviews(queue, catalog)
    before = reviews_of(catalog)
    report = collect_reviews(queue, catalog, full=True)
    assert (counts(report), report.n_tasks) == ((0, 0, 0), 5)
    assert reviews_of(catalog) == before
    (project,) = catalog.projects.all()
    wrong = next(record for record in latest(catalog) if record.annotation.state == "labeled")
    late = datetime(2100, 1, 1, tzinfo=UTC)
    catalog.reviews.record(project.key, [_with(wrong, updated_at=late, regions=())])
    assert counts(collect_reviews(queue, catalog, full=True)) == (0, 1, 0)
    assert reviews_of(catalog) == before


def _with(record: ReviewRecord, **changes: Any) -> ReviewRecord:
    return replace(record, annotation=replace(record.annotation, **changes))


def test_reading_by_change_and_reading_by_id_decode_to_the_same(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, tmp_path: Path
) -> None:
    work(client, fill_queue(queue, catalog))
    catalog_file = Path(catalog.url.removeprefix("sqlite:///"))
    other_file = tmp_path / "other.sqlite3"
    with sa.create_engine(f"sqlite:///{catalog_file}").connect() as connection:
        connection.exec_driver_sql(f"VACUUM INTO '{other_file}'")
    with open_catalog(f"sqlite:///{other_file}") as other:
        collect_reviews(queue, catalog)
        collect_reviews(queue, other, full=True)
        assert reviews_of(other) == reviews_of(catalog)
        assert len(reviews_of(other)) == 4


def test_a_relabeled_half_is_seen_by_our_own_prediction(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    pairs = queue.updated(labels__annotate="pairs")
    task, *_ = tasks_of(client, fill_queue(pairs, catalog))
    result = predicted(task)
    mask = next(
        one for one in result if one["type"] == "brushlabels" and one["value"]["brushlabels"] == ["bolt"]
    )
    mask["value"]["brushlabels"] = ["belt"]
    submit(client, task, result)
    client.session.send("DELETE", f"/api/predictions/{task['predictions'][0]['id']}/")
    collect_reviews(queue, catalog)
    (record,) = latest(catalog)
    changed = next(r for r in record.annotation.regions if r.id == mask["id"].removesuffix("-mask"))
    assert changed.instance.label == "belt"
    assert changed.instance.box is not None


def test_a_region_that_cannot_be_read_is_said_each_time_and_the_rest_is_kept(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, tmp_path: Path
) -> None:
    one, two, *_ = tasks_of(client, fill_queue(queue, catalog))
    annotation = submit(client, one, [*predicted(one), UNREADABLE])
    submit(client, two)
    for number, found in enumerate([(2, 0, 0), (0, 0, 0)]):
        report = collect_reviews(queue, catalog)
        assert counts(report) == found, number
        (failure,) = report.failures
        assert "its 'x' is text, expected a number" in failure.reason
        assert failure.uri.endswith(f"/data?task={one['id']}")
    assert report.states["labeled"] == 2
    incomplete = next(record for record in latest(catalog) if record.unread)
    assert len(incomplete.annotation.regions) == 3
    measured = evaluate(queue, catalog, out=tmp_path / "report.html", now=datetime.now(UTC)).to_json()
    assert (measured["images"], measured["incomplete_reviews"]) == (1, 1)
    client.update_annotation(annotation, result=predicted(one))
    mended = collect_reviews(queue, catalog)
    assert (counts(mended), mended.failures) == ((0, 1, 0), ())


def test_answers_that_are_no_shapes_leave_a_review_complete(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, tmp_path: Path
) -> None:
    one, two, *_ = tasks_of(client, fill_queue(queue, catalog))
    submit(client, one, [*predicted(one), KEYPOINT])
    submit(client, two)
    report = collect_reviews(queue, catalog)
    assert (counts(report), report.failures, report.n_answers) == ((2, 0, 0), (), 1)
    measured = evaluate(queue, catalog, out=tmp_path / "report.html", now=datetime.now(UTC)).to_json()
    assert (measured["images"], measured["incomplete_reviews"]) == (2, 0)


def test_labels_that_were_renamed_are_said_and_read_once_the_classes_have_them(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, tmp_path: Path
) -> None:
    project = fill_queue(queue, catalog)
    task, *_ = tasks_of(client, project)
    config = client.project(project).label_config
    client.update_project(project, label_config=config.replace('"bolt"', '"screw"'))
    submit(client, task)
    report = collect_reviews(queue, catalog)
    assert counts(report) == (1, 0, 0)
    assert all("the label 'bolt' is none of the classes" in failure.reason for failure in report.failures)
    (record,) = latest(catalog)
    assert {region.instance.label for region in record.annotation.regions} == {"belt"}
    classes = [
        {"name": "bolt", "colour": "#e4572e"},
        {"name": "belt", "kind": "stuff", "colour": "#5c6b73"},
    ]
    with_classes = queue.updated(classes=classes)
    mended = collect_reviews(with_classes, catalog)
    assert (counts(mended), mended.failures) == ((0, 1, 0), ())
    assert mended.missing_labels == ("box: bolt", "mask: bolt")
    measured = evaluate(with_classes, catalog, out=tmp_path / "report.html", now=datetime.now(UTC)).to_json()
    assert (measured["images"], measured["edits"]["kept"]) == (1, 3)
    assert len(latest(catalog)[0].annotation.regions) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 80}, "the image is 40x30, the task's data says another width or height now"),
        (
            {"image_id": "sha256:" + 64 * "0"},
            "its data's image_id says now ('sha256:000000000000'): put back",
        ),
    ],
)
def test_a_task_that_is_about_another_image_now_is_said(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, change: dict[str, Any], words: str
) -> None:
    task, *_ = tasks_of(client, fill_queue(queue, catalog))
    submit(client, task)
    client.session.json("PATCH", f"/api/tasks/{task['id']}/", body={"data": task["data"] | change})
    report = collect_reviews(queue, catalog)
    (failure,) = report.failures
    assert words in failure.reason
    if "image_id" in change:
        assert f"image_id {task['data']['image_id']}, width 40, height 30" in failure.reason
    (record,) = latest(catalog)
    assert record.annotation.regions == ()


def test_regions_that_were_drawn_on_another_size_are_said(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    task, *_ = tasks_of(client, fill_queue(queue, catalog))
    submit(client, task, [{**one, "original_width": 80, "original_height": 60} for one in predicted(task)])
    report = collect_reviews(queue, catalog)
    assert len(report.failures) == 3
    assert all("the image was replaced" in failure.reason for failure in report.failures)


def test_tasks_of_others_are_left_alone_and_copies_of_ours_count(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = fill_queue(queue, catalog)
    task, *_ = work(client, project)
    foreign = {"data": {"image": "https://example.com/a.png"}, "annotations": [{"result": []}]}
    copy = {"data": task["data"], "annotations": [{"result": predicted(task)}]}
    unknown = {"data": task["data"] | {"image_id": "sha256:" + 64 * "f"}}
    client.session.json("POST", f"/api/projects/{project}/import", body=[foreign, copy, unknown])
    report = collect_reviews(queue, catalog)
    assert (counts(report), report.n_external) == ((5, 0, 0), 1)
    assert sum(report.states.values()) == 5
    assert "1 image is several tasks of project" in report.warnings[0]
    (failure,) = report.failures
    assert failure.reason.startswith("1 task carries an image id but did not come from this catalog")


def test_a_project_that_is_gone_or_renamed_is_said_and_its_reviews_stay(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = fill_queue(queue, catalog)
    work(client, project)
    collect_reviews(queue, catalog)
    before = reviews_of(catalog)
    client.update_project(project, title="another name")
    with pytest.raises(LabelStudioError, match=r"is called 'another name' now: set queue\.project to that"):
        collect_reviews(queue, catalog)
    client.delete_project(project)
    with pytest.raises(LabelStudioError, match=r"is gone from http.*Its reviews stay in the catalog"):
        collect_reviews(queue, catalog)
    assert reviews_of(catalog) == before


def test_collect_before_any_push_says_what_to_do(queue: Settings, catalog: Catalog) -> None:
    with pytest.raises(LabelStudioError, match="`detseg preannotate` makes it"):
        collect_reviews(queue, catalog)
    with pytest.raises(CatalogError, match="`detseg preannotate` makes it"):
        evaluate(queue, catalog, out=Path("unused.html"), now=datetime.now(UTC))
