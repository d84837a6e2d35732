"""The flows on a real Prefect server and a real Label Studio, with tiny real checkpoints."""

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterName,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.flow_engine import run_flow as run_engine
from prefect.flows import Flow
from prefect.logging.handlers import APILogWorker

from detseg.errors import ConfigError, LockHeld, ModelError, SourceError
from detseg.images import image_id
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.label_config import config_to_taxonomy
from detseg.labelstudio.server import Connection
from detseg.pipeline.workspace import opened_catalog
from detseg.samples.reviewer import ReviewerHabits, truth_of_scene
from detseg.samples.scenes import generate_scene
from detseg.samples.simulate import SimulatedReviewer
from detseg.types import Annotation, ImageId, Size
from flows.collect import collect
from flows.dead_runs import AUTOMATION
from flows.evaluate import evaluate
from flows.nightly import nightly
from flows.outcome import ending
from flows.parameters import Overrides, run_settings
from flows.preannotate import preannotate
from flows.retrain import retrain
from tests.models import tiny

N_SCENES = 5
GONE = "postgresql+psycopg://127.0.0.1:9/gone"
SIZE = Size(160, 120)


@dataclass(frozen=True)
class Workplace:
    """A folder with detseg.toml and images, and what is true of them."""

    config: Path
    project: str
    truths: dict[ImageId, Annotation]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {
        "model.detector": str(tiny.save("detr", root / "detector")),
        "model.segmenter": str(tiny.save("detr_panoptic", root / "segmenter")),
    }


@pytest.fixture
def workplace(
    tmp_path: Path,
    checkpoints: dict[str, str],
    label_studio: Connection,
    document_root: Path,
    new_title: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    monkeypatch.setenv("DETSEG_LABEL_STUDIO__TOKEN", label_studio.token)
    (tmp_path / "images").mkdir()
    truths = {}
    for seed in range(N_SCENES):
        scene = generate_scene(seed, SIZE)
        data = io.BytesIO()
        Image.fromarray(scene.image).save(data, "PNG")
        (tmp_path / "images" / f"scene {seed}.png").write_bytes(data.getvalue())
        key = image_id(data.getvalue())
        truths[key] = truth_of_scene(scene, key)
    (tmp_path / "images" / "broken.png").write_bytes(b"no image")
    values = checkpoints | {
        "queue.project": new_title(),
        "label_studio.url": label_studio.url,
        "label_studio.files": str(document_root),
        "engine.device": "cpu",
    }
    lines = [f'{name} = "{value}"' for name, value in values.items()]
    config = tmp_path / "detseg.toml"
    config.write_text(
        "\n".join([*lines, "run.shard_size = 2", "engine.batch_size = 2", "experiments.control_share = 0"])
    )
    return Workplace(config, values["queue.project"], truths)


def runs_like(prefect: SyncPrefectClient, words: str) -> list[FlowRun]:
    """Flow runs with these words in their names, the oldest first."""
    like = FlowRunFilter(name=FlowRunFilterName(like_=words))
    return sorted(prefect.read_flow_runs(flow_run_filter=like), key=lambda run: str(run.start_time))


def artifacts_of(prefect: SyncPrefectClient, run: FlowRun) -> dict[str, Any]:
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    return {artifact.key or "": artifact.data for artifact in prefect.read_artifacts(artifact_filter=of_run)}


def n_task_runs(prefect: SyncPrefectClient, run: FlowRun, name: str) -> int:
    runs = prefect.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    return sum(1 for task_run in runs if task_run.name.startswith(name))


def test_the_loop_runs_and_a_second_run_does_nothing_twice(
    workplace: Workplace, prefect: SyncPrefectClient, client: LabelStudioClient, label_studio: Connection
) -> None:
    first = preannotate(workplace.config)
    assert (first.scanned, first.new, first.predicted, first.pushed) == (N_SCENES + 1, 5, 5, 5)
    assert [Path(one.uri).name for one in first.quarantined] == ["broken.png"]
    assert set(first.seconds) == {"scan", "load", "predict", "push", "total"}
    again = preannotate(workplace.config)
    assert (again.new, again.predicted, again.pushed, again.already_done) == (0, 0, 0, N_SCENES)

    assert first.project_id is not None
    taxonomy = config_to_taxonomy(client.project(first.project_id).label_config)
    reviewer = SimulatedReviewer(client, taxonomy, workplace.truths.get, ReviewerHabits(skip_rate=0.0))
    assert len(list(reviewer.review_all(first.project_id))) == N_SCENES

    collected = collect(workplace.config)
    assert (collected.new, collected.updated, collected.deleted) == (N_SCENES, 0, 0)
    assert sum(collected.states.values()) == N_SCENES
    nothing = collect(workplace.config)
    assert (nothing.new, nothing.updated, nothing.deleted) == (0, 0, 0)

    measured = evaluate(workplace.config, n_sent_back=2)
    assert measured.path == workplace.config.parent / ".detseg" / "report.html"
    assert "simulated" in measured.path.read_text().casefold()
    assert measured.to_json()["images"] == N_SCENES
    assert measured.to_json()["simulated"] is True
    assert measured.sent_back is not None
    assert measured.sent_back.problem is None
    assert measured.sent_back.n_sent <= 2
    _left_on_prefect(workplace, prefect, label_studio)


def _left_on_prefect(workplace: Workplace, prefect: SyncPrefectClient, label_studio: Connection) -> None:
    """What the runs of the test above left on Prefect's pages: names, shards, artifacts, and no token."""
    name = f"preannotate images with detector + segmenter for {workplace.project}"
    preannotated, _ = runs_like(prefect, name)
    assert n_task_runs(prefect, preannotated, "predict shard ") == 3
    left = artifacts_of(prefect, preannotated)
    assert label_studio.url in left["preannotate-link"]
    assert '"pushed", "value": "5"' in left["preannotate-figures"]
    assert '"quarantined", "value": "1"' in left["preannotate-figures"]
    collected, _ = runs_like(prefect, f"collect reviews of {workplace.project}")
    assert '"reviews.new", "value": "5"' in artifacts_of(prefect, collected)["collect-figures"]
    (evaluated,) = runs_like(prefect, f"evaluate {workplace.project}")
    answers = artifacts_of(prefect, evaluated)["evaluate-answers"]
    assert str(workplace.config.parent / ".detseg" / "report.html") in answers
    assert "box AP" in answers
    assert "file://" not in "".join(map(str, artifacts_of(prefect, evaluated).values()))
    for run in (preannotated, collected, evaluated):
        assert label_studio.token not in run.model_dump_json()
        assert run.parameters["config"] == str(workplace.config)


def test_nights_fill_the_queue_and_bring_what_people_did(
    workplace: Workplace, prefect: SyncPrefectClient, client: LabelStudioClient
) -> None:
    """The first of a new project, one after people worked, and one on which nothing happened."""
    new = workplace.config.parent / "images" / "scene 0.png"
    waits = new.rename(new.with_suffix(".later"))
    nightly(workplace.config)
    with opened_catalog(run_settings(workplace.config)) as catalog:
        (project,) = catalog.projects.titled(workplace.project)
    taxonomy = config_to_taxonomy(client.project(project.server_id).label_config)
    reviewer = SimulatedReviewer(client, taxonomy, workplace.truths.get, ReviewerHabits(skip_rate=0.0))
    assert len(list(reviewer.review_all(project.server_id))) == N_SCENES - 1
    waits.rename(new)
    for _ in range(2):
        nightly(workplace.config)
    assert len(list(client.tasks(project.server_id))) == N_SCENES
    assert (workplace.config.parent / ".detseg" / "report.html").exists()
    assert [run.state_name for run in runs_like(prefect, f"nightly for {workplace.project}")] == [
        "Completed"
    ] * 3
    second, third = (
        artifacts_of(prefect, run)["collect-figures"]
        for run in runs_like(prefect, f"collect reviews of {workplace.project}")
    )
    assert f'"reviews.new", "value": "{N_SCENES - 1}"' in second
    assert '"reviews.new", "value": "0"' in third
    pushed = [
        artifacts_of(prefect, run)["preannotate-figures"]
        for run in runs_like(prefect, f"for {workplace.project}")
        if run.name.startswith("preannotate ")
    ]
    assert [f'"pushed", "value": "{n}"' in one for n, one in zip((4, 1, 0), pushed, strict=True)] == [
        True
    ] * 3


def scheduled(
    prefect: SyncPrefectClient, run: Flow[..., Any], workplace: Workplace, **parameters: Any
) -> FlowRun:
    """A run of a deployment, as a worker begins it."""
    deployment = prefect.create_deployment(prefect.create_flow(run), name=f"of {workplace.project}")
    begun = prefect.create_flow_run_from_deployment(deployment)
    given = {"config": workplace.config, **parameters}
    run_engine(run, flow_run=begun, parameters=given, return_type="state")
    ended = prefect.read_flow_run(begun.id)
    prefect.delete_deployment(deployment)
    return ended


def lines_of(prefect: SyncPrefectClient, run: FlowRun) -> list[str]:
    """What the run wrote into its log, once Prefect has it."""
    APILogWorker.drain_all()
    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    return [line.message for line in prefect.read_logs(of_run)]


def test_a_scheduled_run_says_what_it_did_and_fails_where_too_many_images_are_unusable(
    workplace: Workplace, prefect: SyncPrefectClient
) -> None:
    """The command exits with 3 there. A night does all of its work first."""
    ended = scheduled(prefect, preannotate, workplace)
    assert ended.state_name == "Failed"
    assert ended.state is not None
    assert ended.state.message is not None
    assert "1 of 6 files could not be used" in ended.state.message
    lines = lines_of(prefect, ended)
    assert "6 files: 5 new images, predicted 5, pushed 5, already done 0" in lines
    assert any("broken.png" in line for line in lines)
    night = scheduled(prefect, nightly, workplace)
    assert night.state_name == "Failed"
    parts = [run for run in runs_like(prefect, workplace.project) if run.parent_task_run_id is not None]
    assert [run.state_name for run in parts] == ["Completed"] * 3
    nowhere = {"label_studio__url": "http://127.0.0.1:9"}
    measured = scheduled(prefect, evaluate, workplace, overrides=nowhere, n_sent_back=1)
    assert measured.state_name == "Failed"
    lines = lines_of(prefect, measured)
    assert f"report {workplace.config.parent / '.detseg' / 'report.html'}" in lines
    assert any("nothing was sent back" in line for line in lines)


def test_a_scheduled_run_whose_source_is_empty_ends_under_a_name_of_its_own(
    workplace: Workplace, prefect: SyncPrefectClient
) -> None:
    images = workplace.config.parent / "images"
    images.rename(images.with_name("unmounted"))
    images.mkdir()
    for loop in (preannotate, nightly):
        ended = scheduled(prefect, loop, workplace)
        assert ended.state is not None
        assert (ended.state.type, ended.state.name) == (StateType.COMPLETED, "No images")
        assert ends_of(prefect, ended) == ["No images"]
    images.rmdir()
    assert scheduled(prefect, preannotate, workplace).state_name == "Failed"


def test_a_scheduled_run_whose_queue_another_one_keeps_is_skipped(
    workplace: Workplace, prefect: SyncPrefectClient
) -> None:
    skipped = scheduled(prefect, held, workplace)
    assert skipped.state is not None
    assert (skipped.state.type, skipped.state.message) == (StateType.COMPLETED, HELD)
    assert ends_of(prefect, skipped) == ["Skipped"]
    assert held(return_state=True).is_failed()  # by hand


@pytest.mark.parametrize("loop", [collect, evaluate, preannotate, nightly, retrain])
@pytest.mark.parametrize(
    ("overrides", "words"), [({"sauce": "x"}, "sauce"), ({"catalog": GONE}, "cannot be used")]
)
def test_a_scheduled_run_whose_settings_or_catalog_are_wrong_fails_with_the_reason(
    loop: Flow[..., Any], overrides: Overrides, words: str, workplace: Workplace, prefect: SyncPrefectClient
) -> None:
    ended = scheduled(prefect, loop, workplace, overrides=overrides)
    assert ended.state is not None
    assert ended.state_name == "Failed"
    assert words in str(ended.state.message)


HELD = "the lock of the queue was not free within 600 s: process 7 holds it"


@flow
def held(config: Path | None = None) -> Path | None:
    def wait() -> Path | None:
        raise LockHeld(HELD)

    assert config is None or config.exists()
    return ending(wait)


def ends_of(prefect: SyncPrefectClient, run: FlowRun) -> list[str]:
    """The states in which automations heard that the run ended; the last of them is the present one."""
    of_run = EventFilter(
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
        event=EventNameFilter(prefix=["prefect.flow-run."]),
        occurred=EventOccurredFilter.model_validate({"since": run.created, "until": datetime.now(UTC)}),
    )
    begin = {"Scheduled", "Pending", "Running", "heartbeat"}
    while True:
        events = prefect.read_events(of_run, limit=50).events
        names = [one.event.removeprefix("prefect.flow-run.") for one in reversed(events)]
        ends = [name for name in names if name not in begin]
        if run.state_name in ends:
            expected = json.loads(AUTOMATION.read_text())["trigger"]["expect"]
            assert f"prefect.flow-run.{run.state_name}" in expected  # else it would seem to have died
            return ends
        time.sleep(0.2)


def test_a_model_that_is_none_fails_at_once(
    workplace: Workplace, prefect: SyncPrefectClient, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="nothing-here"):
        preannotate(workplace.config, {"model__detector": str(tmp_path / "nothing-here")})
    (run,) = runs_like(prefect, "nothing-here")
    assert run.state_name == "Failed"
    lines = lines_of(prefect, run)
    assert any("nothing-here" in line for line in lines)
    assert not any("Traceback" in line for line in lines)
    assert n_task_runs(prefect, run, "load_model") == 1
    assert n_task_runs(prefect, run, "predict shard") == 0


def test_an_error_that_is_none_of_ours_keeps_its_traceback(prefect: SyncPrefectClient) -> None:
    with pytest.raises(ZeroDivisionError):
        broken(0)
    (run,) = runs_like(prefect, "broken by 0")
    assert any("1 // number" in line for line in lines_of(prefect, run))


@flow(flow_run_name="broken by {number}")
def broken(number: int) -> int:
    return 1 // number


@pytest.mark.usefixtures("prefect_url")
def test_a_source_that_does_not_exist_is_one_error(workplace: Workplace) -> None:
    with pytest.raises(SourceError, match="no-such-folder"):
        preannotate(workplace.config, {"source__location": "no-such-folder"})


@pytest.mark.usefixtures("prefect_url")
@pytest.mark.parametrize("overrides", [{"sauce": "images"}, {"environ": "x"}, {"label_studio__token": "x"}])
def test_wrong_parameters_are_one_error(workplace: Workplace, overrides: Overrides) -> None:
    with pytest.raises(ConfigError, match=r"sauce|environ|DETSEG_LABEL_STUDIO__TOKEN"):
        collect(workplace.config, overrides)


def test_overrides_of_the_first_release_are_read_with_one_line_that_says_how_to_write_them(
    tmp_path: Path,
) -> None:
    """They stand in deployments that were registered with it."""
    file = tmp_path / "detseg.toml"
    file.touch()
    with pytest.warns(FutureWarning, match="project, source: .*: write queue__project for project$"):
        settings = run_settings(file, {"project": "parts", "source": "photos"})
    assert (settings.queue.project, settings.source.location) == ("parts", "photos")
    with pytest.raises(ConfigError, match="label_studio_token holds a secret"):
        run_settings(file, {"label_studio_token": "hunter2"})
