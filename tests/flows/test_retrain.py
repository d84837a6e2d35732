"""A round of retraining on a real Prefect server: the real steps, with a tiny detector and a judgement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterName,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.logging.handlers import APILogWorker

from detseg.cli.app import app
from detseg.config import Settings
from flows.retrain import retrain
from tests.models import tiny
from tests.pipeline.labeled import bolt, ring
from tests.training.versions import QUICK, make_project

N_IMAGES = 16


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A folder with detseg.toml, a tiny detector and reviewed images."""
    project = make_project(tmp_path)
    project.add(range(N_IMAGES))
    for number in range(N_IMAGES):
        project.review(number, (bolt("a"), ring("b")))
    tiny.save("rt_detr", tmp_path / "base")
    training = {**QUICK, "steps": 1, "evaluations": 1}
    lines = [
        '[model]\ndetector = "base"\nsegmenter = ""',
        '[engine]\ndevice = "cpu"\nprecision = "float32"',
        f'[queue]\nproject = "{project.settings.queue.project}"',
        '[retrain]\nnew_images = 10\nsplit = "train=0.5,val=0.25,test=0.25"',
        "[training]",
        *(f"{name} = {value}" for name, value in training.items()),
        *(f'[[classes]]\nname = "{one.name}"\nkind = "{one.kind}"' for one in project.settings.classes),
    ]
    (tmp_path / "detseg.toml").write_text("\n".join(lines))
    return project.settings


def figures_of(name: str) -> dict[str, Any]:
    """The rows of the artifact of the only flow run of that name."""
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(like_=name)))
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        )
    (table,) = (one for one in found if one.key == "retrain-figures")
    return {row["figure"]: row["value"] for row in json.loads(str(table.data))}


def lines_of(name: str) -> list[str]:
    """What flow runs of that name wrote into their logs."""
    APILogWorker.drain_all()
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(like_=name)))
        of_runs = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id for run in runs]))
        return [line.message for line in client.read_logs(of_runs)]


@pytest.mark.usefixtures("prefect_url")
def test_a_round_is_a_flow_run_with_its_figures(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(settings.root)
    report = retrain(settings.root / "detseg.toml", {"queue__project": settings.queue.project})
    assert report.promoted is not None
    assert report.promoted.judgement is not None
    assert report.promoted.is_present == (report.promoted.judgement["better"] is True)
    figures = figures_of(f"retrain for {settings.queue.project}")
    assert (figures["round"], figures["model"], figures["trained.steps"]) == ("retrain-1", "retrain-1", "1")
    retrain(settings.root / "detseg.toml", {"retrain__new_images": 50})
    lines = lines_of(f"retrain for {settings.queue.project}")
    assert any(line.startswith("dataset version retrain-1: ") for line in lines)
    assert any(line.startswith("not due: 0 images newly reviewed since retrain-1 ") for line in lines)


def test_the_command_says_why_nothing_is_due(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(settings.root)
    monkeypatch.setenv("DETSEG_RETRAIN__NEW_IMAGES", "50")
    app(["retrain"], standalone_mode=False)
    assert capfd.readouterr().out.splitlines() == [
        f"not due: {N_IMAGES} images reviewed: the first round begins with 50",
        "`detseg retrain --now` begins a round all the same",
    ]
    app(["retrain", "--dry-run", "--json"], standalone_mode=False)
    answer = json.loads(capfd.readouterr().out)
    assert (answer["is_due"], answer["n_new"], answer["round"]) == (False, N_IMAGES, None)
