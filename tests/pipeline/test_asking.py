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
from detseg.pipeline.asking import shape_policy
from detseg.pipeline.collect import collect
from detseg.pipeline.evaluate import evaluate
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
        ({"annotate": "boxes"}, ["rectanglelabels"] * 2),
        ({"annotate": "masks", "mask_as": "bitmask"}, ["bitmasklabels"] * 2),
        (
            {"mask_as": "polygon", "polygon_tolerance_px": 3.0},
            ["polygonlabels"] * 2 + ["rectanglelabels"] * 2,
        ),
        ({"task_max_masks": 0}, ["polygonlabels"] * 2 + ["rectanglelabels"] * 2),
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
    queue = queue.model_copy(update=asked)
    report = fill(queue, catalog)
    tasks = tasks_of(client, report.project_id)
    for task in tasks:
        assert [result["type"] for result in predicted(task)] == types
        submit(client, task)
    config = client.project(report.project_id).label_config
    assert ("RectangleLabels" in config) == (asked.get("annotate") != "masks")
    assert bool(offered_kinds(config, TAXONOMY)) == (asked.get("annotate") != "boxes")
    shapes = report.shapes
    assert shapes.n_boxes == types.count("rectanglelabels") * len(tasks)
    assert shapes.n_bitmask + shapes.n_polygon == len(tasks) * (len(types) - types.count("rectanglelabels"))
    collected = collect(queue, catalog)
    assert (collected.failures, collected.missing_labels) == ((), ())
    measured = evaluate(queue, catalog, out=tmp_path / "report.html", now=datetime.now(UTC)).result
    counts = measured.work.edits.all.counts
    assert counts.acceptance_rate == 1.0
    assert counts.n_predicted == len(tasks) * (2 if "annotate" in asked else 3)


def test_an_interface_without_polygons_gets_none(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    """As many a project was made before there were any: masks stay what they were, and it is said."""
    made = fill(queue.model_copy(update={"mask_as": "brush"}), catalog)
    for task in client.task_ids(made.project_id):
        client.delete_task(task)
    again = queue.model_copy(update={"task_max_masks": 0, "restore": True})
    report = push(again, catalog, refs=scan(again, catalog).images, version=VERSION, taxonomy=TAXONOMY)
    assert report.shapes.n_brush == 10
    assert report.shapes.n_over_budget == 5
    assert any("stay above task_max_masks" in line for line in report.warnings)


@pytest.mark.parametrize(
    ("asked", "asked_later"),
    [
        ({"mask_as": "polygon", "polygon_tolerance_px": 3.0}, {"mask_as": "brush"}),
        (
            {"mask_as": "polygon", "polygon_tolerance_px": 3.0},
            {"mask_as": "polygon", "polygon_tolerance_px": 9.0},
        ),
        ({"annotate": "masks"}, {"annotate": "boxes"}),
        ({"annotate": "boxes"}, {}),
    ],
)
def test_later_settings_change_nothing_of_what_was_shown(
    queue: Settings,
    catalog: Catalog,
    client: LabelStudioClient,
    asked: dict[str, Any],
    asked_later: dict[str, Any],
) -> None:
    report = fill(queue.model_copy(update=asked), catalog)
    for task in tasks_of(client, report.project_id):
        submit(client, task)
    later = queue.model_copy(update=asked_later)
    collect(later, catalog)
    (project,) = catalog.projects.all()
    cases = list(CaseReader(catalog, project, shape_policy(later)).all())
    assert len(cases) == 5
    for case in cases:
        assert case.truth is not None
        assert {edit.kind for edit in find_edits(case.prediction, case.truth)} == {"kept"}
