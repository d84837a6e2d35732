"""Measuring what people changed, from a real Label Studio to the report."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.evaluate import evaluate
from detseg.pipeline.progress import listening
from detseg.pipeline.push import plan_push
from detseg.pipeline.scan import scan
from tests.pipeline.conftest import TAXONOMY, VERSION
from tests.pipeline.reviewing import fill_queue, submit, tasks_of


class Stages:
    """Hears how far the stages of a run are: how many of how many, by stage."""

    def __init__(self) -> None:
        self.far: dict[str, tuple[int, int | None]] = {}

    def __call__(self, stage: str, *, advance: int = 0, total: int | None = None) -> None:
        done, before = self.far.get(stage, (0, None))
        self.far[stage] = (done + advance, before if total is None else total)


def test_what_takes_long_says_how_far_it_is(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, tmp_path: Path
) -> None:
    project = fill_queue(queue, catalog)
    refs = tuple(scan(queue, catalog).images)
    first = tasks_of(client, project)[0]
    submit(client, first)
    client.import_tasks(project, [{"data": first["data"]}])  # so that there is something to look up
    with listening(planned := Stages()):
        plan_push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    assert planned.far == {"plan": (5, 5)}
    with listening(collected := Stages()):
        collect_reviews(queue, catalog)
    assert collected.far["look up"] == (5, 5)
    with listening(measured := Stages()):
        evaluate(queue, catalog, out=tmp_path / "report.html", now=datetime.now(UTC))
    assert measured.far["evaluate"] == (1, 1)
    assert measured.far["report"] == (4, 4)


def test_evaluate_counts_what_people_changed(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, tmp_path: Path
) -> None:
    project = fill_queue(queue, catalog)
    one, two, three, *_ = tasks_of(client, project)
    submit(client, one)
    moved = two["predictions"][0]["result"]
    alone = next(result for result in moved if result["id"].endswith("-box") and result["score"] == 0.8)
    alone["value"]["y"] += 25
    client.create_annotation(int(two["id"]), moved, lead_time_s=15.0)
    client.create_annotation(int(three["id"]), [], lead_time_s=1.0, was_cancelled=True)
    collect_reviews(queue, catalog)
    report = evaluate(queue, catalog, out=tmp_path / "out" / "report.html", now=datetime.now(UTC))
    figures = report.to_json()
    assert figures["images"] == 2
    assert figures["edits"] == {
        "kept": 5,
        "moved": 1,
        "reshaped": 0,
        "relabeled": 0,
        "deleted": 0,
        "added": 0,
    }
    accepted = figures["answers"]["model"]["acceptance_rate"]
    assert (accepted["value"], accepted["level"]) == (None, "rough")
    assert accepted["rough"]["value"] == pytest.approx(5 / 6)
    assert accepted["text"].replace("\u202f", " ") == "83 %"
    assert figures["seconds_per_image"]["value"] is None  # of two images nobody can say it
    assert figures["seconds_per_image"]["n"] == 2
    assert figures["model"] == {"headline": None, "n_control": 0, "n_gold": 0, "n_assisted": 2}
    assert "box_ap" in figures["answers"]["model"]
    assert figures["answers"]["model"]["box_ap"]["text"] == "n/a"
    assert figures["answers"]["model"]["box_ap"]["plan"]["n_more"] == 385
    assert figures["simulated"] is False
    assert figures["per_class"]["belt"]["edits"]["kept"] == 2
    whole = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert (whole["schema"], whole["version"]) == ("detseg.qa", 2)
    assert whole["basis"]["states"] == {"unlabeled": 2, "labeled": 2, "empty": 0, "skipped": 1}
    assert whole["work"]["edits"]["all"]["counts"] == figures["edits"]
    assert (whole["waiting"]["n_images"], whole["waiting"]["ranked"]) == (2, [])
    assert figures["waiting"]["images"] == 2
    assert figures["waiting"]["found_in_first_fifth"]["value"] is None
    assert whole["model"]["assisted"]["boxes"]["n_images"] == 2
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "bolt" in page
    assert "simulated" not in page.split("<main", 1)[0].lower().split("</head>")[-1]
