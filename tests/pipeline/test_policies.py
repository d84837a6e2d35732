"""What annotators are asked for, from the settings to the figures, on a real Label Studio."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.label_config import offered_kinds
from detseg.metrics.edits import find_edits
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.evaluate import evaluate
from detseg.pipeline.policies import shape_policy
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.qa.cases import CaseReader
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor
from tests.pipeline.reviewing import predicted, submit, tasks_of


def fill(queue: Settings, catalog: Catalog) -> PushReport:
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(), refs)
    return push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)


@pytest.mark.parametrize(
    ("asked", "types"),
    [
        ({"labels__annotate": "boxes"}, ["rectanglelabels"] * 2),
        ({"labels__annotate": "masks", "labels__mask_as": "bitmask"}, ["bitmasklabels"] * 2),
        (
            {"labels__mask_as": "polygon", "labels__polygon_tolerance_px": 3.0},
            ["polygonlabels"] * 2 + ["rectanglelabels"],
        ),
        (
            {"labels__annotate": "pairs", "labels__mask_as": "bitmask"},
            ["bitmasklabels"] * 2 + ["rectanglelabels"] * 2,
        ),
        ({"labels__max_masks": 0}, ["polygonlabels"] * 2 + ["rectanglelabels"]),
    ],
)
def test_what_people_leave_as_it_is_counts_as_kept(
    queue: Settings,
    catalog: Catalog,
    client: LabelStudioClient,
    tmp_path: Path,
    asked: dict[str, Any],
    types: list[str],
) -> None:
    queue = queue.updated(**asked)
    report = fill(queue, catalog)
    tasks = tasks_of(client, report.project_id)
    for task in tasks:
        assert [result["type"] for result in predicted(task)] == types
        submit(client, task)
    config = client.project(report.project_id).label_config
    assert ("RectangleLabels" in config) == (asked.get("labels__annotate") != "masks")
    assert bool(offered_kinds(config, TAXONOMY)) == (asked.get("labels__annotate") != "boxes")
    shapes = report.shapes
    assert shapes.n_boxes == types.count("rectanglelabels") * len(tasks)
    assert shapes.n_bitmask + shapes.n_polygon == len(tasks) * (len(types) - types.count("rectanglelabels"))
    collected = collect_reviews(queue, catalog)
    assert (collected.failures, collected.missing_labels) == ((), ())
    measured = evaluate(queue, catalog, out=tmp_path / "report.html", now=datetime.now(UTC)).result
    counts = measured.work.edits.all.counts
    assert counts.acceptance_rate == 1.0
    assert counts.n_predicted == len(tasks) * (
        2 if asked.get("labels__annotate") in ("boxes", "masks") else 3
    )


def test_tasks_say_file_and_expected_seconds_first(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    for task in tasks_of(client, fill(queue, catalog).project_id):
        assert list(task["data"])[:3] == ["image", "file", "expected_seconds"]
        assert task["data"]["file"] == task["data"]["source"]["names"][0]
        # looks at 3, and drawings of a mask, a box and a mask as often as their scores say: 0.9, 0.8 and 0.7
        assert task["data"]["expected_seconds"] == 3 * 7 + round(0.1 * 80 + 0.2 * 35 + 0.3 * 80)


def test_an_interface_without_polygons_gets_none(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    """As many a project was made before there were any: masks stay what they were, and it is said."""
    made = fill(queue.updated(labels__mask_as="brush"), catalog)
    for task in client.task_ids(made.project_id):
        client.delete_task(task)
    again = queue.updated(labels__max_masks=0, queue__restore=True)
    report = push(again, catalog, refs=scan(again, catalog).images, version=VERSION, taxonomy=TAXONOMY)
    assert report.shapes.n_brush == 10
    assert report.shapes.n_over_budget == 5
    assert any("stay above labels.max_masks" in line for line in report.warnings)


@pytest.mark.parametrize(
    ("asked", "asked_later"),
    [
        ({"labels__mask_as": "polygon", "labels__polygon_tolerance_px": 3.0}, {"labels__mask_as": "brush"}),
        (
            {"labels__mask_as": "polygon", "labels__polygon_tolerance_px": 3.0},
            {"labels__mask_as": "polygon", "labels__polygon_tolerance_px": 9.0},
        ),
        ({"labels__annotate": "masks"}, {"labels__annotate": "boxes"}),
        ({"labels__annotate": "boxes"}, {}),
        ({"labels__annotate": "pairs"}, {}),
        ({}, {"labels__annotate": "pairs"}),
    ],
)
def test_later_settings_change_nothing_of_what_was_shown(
    queue: Settings,
    catalog: Catalog,
    client: LabelStudioClient,
    asked: dict[str, Any],
    asked_later: dict[str, Any],
) -> None:
    report = fill(queue.updated(**asked), catalog)
    for task in tasks_of(client, report.project_id):
        submit(client, task)
    later = queue.updated(**asked_later)
    collect_reviews(later, catalog)
    (project,) = catalog.projects.all()
    cases = list(CaseReader(catalog, project, shape_policy(later.labels)).all())
    assert len(cases) == 5
    for case in cases:
        assert case.truth is not None
        assert {edit.kind for edit in find_edits(case.prediction, case.truth)} == {"kept"}
        (answered,) = catalog.predictions.read([case.image], VERSION)
        assert case.predicted == answered.regions  # with what was not asked for
