"""Rounds of retraining: due or not, killed between any two steps, promoted or not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from detseg.config import Settings
from detseg.datasets.store import DatasetStore
from detseg.errors import ConfigError, LockHeld
from detseg.pipeline import retrain as rounds
from detseg.pipeline.promoting import Verdict, promote, remove
from detseg.pipeline.registry import register
from detseg.pipeline.retrain import Due, RetrainReport, Steps, default_steps, look_for_due, retrain
from detseg.pipeline.rounds import MODELS, Round, begin_round, end_round, open_round
from detseg.pipeline.workspace import opened_catalog
from tests.models import tiny
from tests.pipeline.labeled import LabeledProject, bolt, ring
from tests.pipeline.models import make_trained
from tests.training.versions import QUICK, make_project

KILLED = """
import json, os, sys
from pathlib import Path
import detseg.models.families  # and with it torch, once for all
from tests.pipeline.test_retrain import due_in, known, quick, retrain
settings = due_in(Path(sys.argv[1])).settings
ends = []
for point in sys.argv[2:]:
    if (child := os.fork()) == 0:
        os.environ["DETSEG_FAILPOINT"] = point
        retrain(settings, quick())
        os._exit(0)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
retrain(settings, quick())
print(json.dumps([ends, known(settings)]))
"""
"""Kills a round at each of those points, and lets it end."""


@pytest.fixture
def project(tmp_path: Path) -> LabeledProject:
    return due_in(tmp_path)


def due_in(folder: Path) -> LabeledProject:
    """Twelve reviewed images; a round is due with ten."""
    project = make_project(folder)
    label(project, range(12))
    training = {**QUICK, "steps": 1, "evaluations": 1}
    project.settings = project.settings.updated(
        engine__device="cpu",
        engine__precision="float32",
        retrain__new_images=10,
        retrain__base="base",
        retrain__split="train=0.5,val=0.25,test=0.25",
        **{f"training__{name}": value for name, value in training.items()},
    )
    return project


def label(project: LabeledProject, numbers: range) -> None:
    project.add(numbers)
    for number in numbers:
        project.review(number, (bolt("a"), ring("b")))


def due(settings: Settings, **options: Any) -> Due:
    with opened_catalog(settings) as catalog:
        return look_for_due(settings, catalog, **options)


def known(settings: Settings) -> tuple[list[str], list[str], list[str | None]]:
    """Names of versions and of models, and the log of promotions."""
    with opened_catalog(settings) as catalog:
        models = [model.name for model in catalog.models.all()]
        log = [one.model for one in catalog.promotions.all()]
    return [version.name for version in DatasetStore(settings.datasets_location).versions()], models, log


def judged(better: bool | None) -> Callable[..., Verdict]:
    return lambda _settings, _model: Verdict(better, {"better": better, "missing": []})


def quick(better: bool | None = True) -> Steps:
    """The steps with a model that nobody trained, and a judgement that is settled."""

    def train(settings: Settings, begun: Round) -> Any:
        folder = settings.state_path / "models" / begun.name
        if not folder.exists():
            make_trained(folder, base=begun.base, dataset=begun.name, seed=begun.seed)
        register(settings, folder)

    def judge(settings: Settings, begun: Round) -> Any:
        return rounds.judge_round(settings, begun, judged(better), note=lambda _: None)

    return Steps(rounds.make_round_version, train, judge)


class Killed(Exception):
    """In the place of a signal that nothing can catch."""


def test_a_round_that_is_killed_after_any_step_goes_on_to_one_model(project: LabeledProject) -> None:
    """The real steps, each of which is done, and the run dies before the next one is begun."""
    settings = project.settings
    tiny.save("rt_detr", settings.root / "base")
    said: list[str] = []
    real = replace(default_steps(said.append), judge=quick().judge)
    for killed in ("make_version", "train", "judge"):

        def dying(*given: Any, step: str = killed) -> Any:
            getattr(real, step)(*given)
            raise Killed

        with pytest.raises(Killed):
            retrain(settings, replace(real, **{killed: dying}), note=said.append)
        label(project, range(12, 13))  # people work on, and the version of the round is made already
    report = retrain(settings, real, note=said.append)
    assert known(settings) == (["retrain-1"], ["retrain-1"], ["retrain-1"])
    assert DatasetStore(settings.datasets_location).version("retrain-1").counts.images == 12
    assert report.trained is not None
    assert report.trained.steps == 1
    entry = report.to_json()
    assert (entry["round"], entry["model"], entry["promoted"]) == ("retrain-1", "retrain-1", True)
    assert entry["base"] == "base"
    assert said[0] == "round retrain-1: 12 images newly reviewed (retrain.new_images is 10)"
    assert said.count("round retrain-1: begun on " + said[-1][26:36] + ", and not ended") == 3
    assert retrain(settings, real).round is None
    assert due(settings).reason.startswith("1 image newly reviewed since retrain-1 of ")


def test_a_round_that_is_killed_by_a_signal_goes_on_to_one_model(tmp_path: Path) -> None:
    points = [
        "retrain.begun",
        "retrain.version",
        "models.before_register",
        "retrain.trained",
        "retrain.judged",
    ]
    command = [sys.executable, "-c", KILLED, str(tmp_path), *points]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    ends, found = json.loads(done.stdout)
    assert ends == [-signal.SIGKILL] * len(points)
    assert found == [["retrain-1"]] * 3


def test_rounds_follow_each_other(project: LabeledProject) -> None:
    settings = project.settings.updated(retrain__base=None, model__detector="base")
    first = retrain(settings, quick())
    assert first.round is not None
    assert (first.round.name, first.round.base, first.round.seed) == ("retrain-1", "base", 1)
    assert retrain(settings, quick()).to_json()["is_due"] is False
    label(project, range(12, 22))
    second = retrain(settings, quick(better=None))
    assert second.round is not None
    assert second.round.base.endswith("/models/retrain-1")
    assert second.promoted is not None
    assert not second.promoted.is_present
    with opened_catalog(settings) as catalog:
        model = catalog.models.get("retrain-2")
    assert model is not None
    assert model.parent == "retrain-1"
    assert due(settings).n_new == 0  # although the present model learned from the version before
    by_hand = retrain(settings, quick(), by_hand=True)
    assert by_hand.round is not None
    assert by_hand.round.name == "retrain-3"
    assert known(settings)[2] == ["retrain-1", "retrain-3"]


def test_a_round_is_due_by_images_or_by_weeks(project: LabeledProject) -> None:
    settings = project.settings
    assert due(settings) == Due(True, "12 images newly reviewed (retrain.new_images is 10)", 12)
    patient = settings.updated(retrain__new_images=200)
    assert due(patient) == Due(False, "12 images reviewed: the first round begins with 200", 12)
    retrain(settings, quick())
    later = {"clock": lambda: datetime.now(UTC) + timedelta(weeks=5)}
    assert not due(settings, **later).is_due  # nothing is new
    label(project, range(12, 13))
    assert not due(settings).is_due
    assert due(settings, **later).is_due
    assert due(settings, **later).reason.endswith("(retrain.weeks is 4)")
    assert not due(settings.updated(retrain__weeks=0), **later).is_due
    assert due(settings.updated(retrain__new_images=1)).is_due
    assert not due(settings.updated(retrain__new_images=0)).is_due


def test_names_that_are_taken_are_passed_over(project: LabeledProject) -> None:
    settings = project.settings
    (settings.state_path / "models" / "retrain-1").mkdir(parents=True)
    register(settings, make_trained(settings.root / "retrain-2"))
    report = retrain(settings, quick())
    assert report.round is not None
    assert report.round.name == "retrain-3"


def test_a_round_that_cannot_end_is_given_up_by_hand(project: LabeledProject) -> None:
    def refusing(*_: Any) -> Any:
        raise ConfigError("no such base")

    steps = replace(quick(), train=refusing)
    for _ in range(2):
        with pytest.raises(ConfigError, match="no such base"):
            retrain(project.settings, steps)
    assert known(project.settings)[0] == ["retrain-1"]
    rare = project.settings.updated(retrain__new_images=200)
    assert due(rare, restart=True).reason.startswith("in the place of retrain-1, begun on 20")
    report = retrain(rare, quick(), restart=True)
    assert report.round is not None
    assert report.round.name == "retrain-2"


def test_one_run_at_a_time(project: LabeledProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_WAIT_S", 0.0)
    second: list[RetrainReport] = []

    def meanwhile(settings: Settings, begun: Round) -> Any:
        with pytest.raises(LockHeld, match="the lock of retrain"):
            second.append(retrain(settings, quick()))
        return quick().train(settings, begun)

    retrain(project.settings, replace(quick(), train=meanwhile))
    assert second == []


def test_what_a_round_needs_is_not_removed_while_it_goes_on(project: LabeledProject) -> None:
    """Keep the model that a round begins from, and the one that it made and has not judged yet."""
    settings = project.settings.updated(retrain__base=None)
    promote(settings, register(settings, make_trained(settings.root / "mine")).name, None)

    def judge(settings: Settings, begun: Round) -> Any:
        promote(settings, register(settings, make_trained(settings.root / "other", seed=1)).name, None)
        with pytest.raises(
            ConfigError, match=r"^the round retrain-1 begins from mine, and has not ended: `d"
        ):
            remove(settings, "mine", files=True)
        with pytest.raises(ConfigError, match=r"^the round retrain-1 made retrain-1, and has not ended: "):
            remove(settings, "retrain-1")
        remove(settings, "mine")  # out of the list; its files stay
        return quick(better=None).judge(settings, begun)

    retrain(settings, replace(quick(), judge=judge))
    assert remove(settings, "retrain-1", files=True)
    assert remove(settings, "mine", files=True)


def test_a_model_is_removed_before_a_round_begins_or_after_and_not_at_the_same_time(
    project: LabeledProject,
) -> None:
    settings = project.settings
    folder = settings.state_path / "models" / "first"
    make_trained(folder)
    register(settings, folder)
    begun = Round("retrain-1", str(folder), 1, "2026-01-01T00:00:00+00:00")
    with ThreadPoolExecutor(2) as threads, opened_catalog(settings) as catalog:
        with catalog.locks.hold(MODELS):
            removing = threads.submit(remove, settings, "first", files=True)
            wait([removing], timeout=2)  # it waits for us
            begin_round(catalog, begun)
        with pytest.raises(ConfigError, match=f"the round {begun.name} begins from first"):
            removing.result()
        assert folder.exists()
        end_round(catalog, begun, "")
        with catalog.locks.hold(MODELS):
            round_ = threads.submit(retrain, settings, quick())
            wait([round_], timeout=2)
            assert open_round(catalog) is None
        assert round_.result().round is not None


def test_a_promotion_by_hand_counts_as_where_the_next_round_begins(project: LabeledProject) -> None:
    settings = project.settings.updated(retrain__base=None)
    register(settings, make_trained(settings.root / "mine"))
    promote(settings, "mine", None)
    report = retrain(settings, quick())
    assert report.round is not None
    assert report.round.base == str(settings.root / "mine")


def test_without_any_model_nothing_is_begun(project: LabeledProject) -> None:
    settings = project.settings.updated(retrain__base=None, model__detector=None, model__segmenter=None)
    with pytest.raises(ConfigError, match=r"^no model is promoted or set: name .* in retrain\.base$"):
        retrain(settings, quick())
    with pytest.raises(ConfigError, match=r"the shares sum to 0\.5"):
        retrain(project.settings.updated(retrain__split="train=0.5"), quick())
    assert known(settings) == ([], [], [])
