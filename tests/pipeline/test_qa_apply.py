"""``detseg qa --apply``, from reviews on a real Label Studio to the predictions that are pushed next."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detseg.cli.app import app
from detseg.config import load_settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from detseg.labelstudio.session import Json
from detseg.pipeline.preannotate import preannotate
from detseg.pipeline.promoting import promote
from detseg.pipeline.registry import register
from detseg.pipeline.workspace import opened_catalog
from tests.models import tiny
from tests.pipeline.conftest import write_image
from tests.pipeline.models import make_trained
from tests.pipeline.reviewing import predicted, submit, tasks_of

N_FIRST, N_SECOND, N_WAITING = 3, 102, 2
CUT = 0.65
"""People delete what the second model is less sure of."""


@pytest.fixture
def here(
    tmp_path: Path,
    label_studio: Connection,
    document_root: Path,
    new_title: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with detseg.toml, in whose catalog two tiny detectors are registered, first and second."""
    lines = [
        *("[source]", 'location = "images"', "[model]", 'segmenter = ""', "[engine]", 'device = "cpu"'),
        *("[queue]", f'project = "{new_title()}"', 'predictions = "replace"'),
        *("[experiments]", "control_share = 0", "[label_studio]", f'url = "{label_studio.url}"'),
        f'files = "{document_root}"',
    ]
    (tmp_path / "detseg.toml").write_text("\n".join(lines))
    monkeypatch.setenv("DETSEG_LABEL_STUDIO__TOKEN", label_studio.token)
    monkeypatch.chdir(tmp_path)
    for kind, name in (("rt_detr", "first"), ("rt_detr_v2", "second")):
        folder = tiny.save(kind, tmp_path / "models" / name, labels=("bolt", "nut"))
        shutil.copy(make_trained(tmp_path / "made" / name) / "training.json", folder)
        register(load_settings(), folder)
    return tmp_path


def answer(capfd: pytest.CaptureFixture[str], *words: str) -> Any:
    capfd.readouterr()
    app([*words, "--json"], standalone_mode=False)
    return json.loads(capfd.readouterr().out)


def leave_the_sure_ones(client: LabelStudioClient, tasks: list[Json]) -> None:
    for task in tasks:
        submit(client, task, [one for one in predicted(task) if one["score"] >= CUT])


def shown(client: LabelStudioClient, tasks: list[Json]) -> list[tuple[str, list[float]]]:
    """The model version and the scores that people see now in each of the tasks."""
    found = []
    for task in tasks:
        (prediction,) = client.task(int(task["id"]))["predictions"]
        scores = sorted(one["score"] for one in prediction["result"])
        found.append((prediction["model_version"], scores))
    return found


def test_thresholds_of_the_promoted_models_reviews_reach_the_queue_and_are_taken_back(
    here: Path, client: LabelStudioClient, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(N_FIRST):
        write_image(here / "images" / f"{number}.png", seed=number)
    promote(load_settings(), "first", None)
    project = preannotate(load_settings()).project_id or 0
    of_first = tasks_of(client, project)
    leave_the_sure_ones(client, of_first)
    for number in range(N_FIRST, N_FIRST + N_SECOND + N_WAITING):
        write_image(here / "images" / f"{number}.png", seed=number)
    with opened_catalog(load_settings()) as catalog:  # as after a judgement whose split val chose a map
        catalog.promotions.promote("second", score_maps={"nut": (1.5, 1.5, 0.0)})
    before = preannotate(load_settings())
    of_second = [one for one in tasks_of(client, project) if one["id"] not in {it["id"] for it in of_first}]
    waiting, reviewed = of_second[:N_WAITING], of_second[N_WAITING:]
    leave_the_sure_ones(client, reviewed)
    app(["collect"], standalone_mode=False)
    full = shown(client, waiting)

    measured = answer(capfd, "qa", "--apply")
    applied = measured["applied"]
    assert applied["reviews"] == {"used": N_SECOND, "set_aside": N_FIRST}
    assert (applied["model"], applied["changed"]) == ("second", True)
    threshold = applied["thresholds"]["nut"]
    assert threshold == pytest.approx(CUT, abs=0.02)
    assert any(f"{N_SECOND} reviews of regions of second" in note for note in measured["notes"])

    after = preannotate(load_settings())
    assert after.model_version.startswith("second@")
    assert after.model_version != before.model_version
    assert shown(client, waiting) == [
        (after.model_version, [score for score in scores if score >= threshold]) for _, scores in full
    ]
    again = answer(capfd, "qa", "--apply")
    assert (again["applied"]["changed"], again["applied"]["reviews"]) == (False, applied["reviews"])
    for report in (measured, again):  # both written when people were shown nothing below it any more
        assert "Drop nut" not in Path(report["report"]).read_text()
    choice = json.loads(Path(again["figures"]).read_text())["work"]["thresholds"]["per_class"]["nut"]
    assert (choice["in_use"], choice["pays"]) == (threshold, False)

    assert answer(capfd, "models", "rollback")["model"] == "second"
    assert preannotate(load_settings()).model_version == before.model_version
    assert shown(client, waiting) == full
    assert "Drop nut below" in Path(answer(capfd, "qa")["report"]).read_text()


def test_without_a_promoted_model_it_says_what_to_write(
    here: Path, client: LabelStudioClient, capfd: pytest.CaptureFixture[str]
) -> None:
    write_image(here / "images" / "0.png", seed=0)
    report = preannotate(load_settings(model__detector="models/first", model__segmenter=""))
    leave_the_sure_ones(client, tasks_of(client, report.project_id or 0))
    app(["collect"], standalone_mode=False)
    capfd.readouterr()
    app(["qa", "--apply"], standalone_mode=False)
    said = capfd.readouterr().out.splitlines()
    assert said[-1] == "no other threshold saves seconds for certain (by 1 review): nothing was changed"
