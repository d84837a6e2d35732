"""Trainings of a few steps from tiny checkpoints, through to a folder that predicts."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch._utils import ExceptionWrapper
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from detseg.config import Settings
from detseg.config.training import TrainingSettings
from detseg.errors import DatasetError, TrainingError
from detseg.pipeline.predict import predict
from detseg.pipeline.training import train_version
from detseg.taxonomy import LabelClass
from detseg.training import course, train
from detseg.training.adapt import with_classes
from detseg.training.card import model_card
from detseg.training.plan import Plan, Trained
from tests.models import tiny
from tests.models.tiny_families import DETECTORS
from tests.pipeline.labeled import LabeledProject
from tests.ram_disk import ram_disk
from tests.training.versions import make_version, settings_in


def fit(project: LabeledProject, base: Path, out: Path, **training: Any) -> Trained:
    settings = settings_in(project.settings.root, **training)
    return train_version(settings, "v1", base=str(base), out=out, seed=3)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
    return loaded


def require_same(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.fixture(scope="module")
def trained(project: LabeledProject, detector: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return fit(project, detector, tmp_path_factory.mktemp("out") / "mine")


@pytest.mark.parametrize("kind", [*sorted(DETECTORS), "detr"])
def test_every_family_of_detectors_learns_and_predicts(
    kind: str, project: LabeledProject, tmp_path: Path
) -> None:
    base = tiny.save(kind, tmp_path / kind)
    done = fit(project, base, tmp_path / "out", steps=2, evaluations=2)  # and learns on after the first
    before, after = weights(base), weights(tmp_path / "out")
    assert done.steps == 2
    assert before.keys() == after.keys()
    assert any(not torch.equal(value, after[name]) for name, value in before.items() if name in after)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["id2label"] == {"0": "bolt", "1": "nut"}
    settings = Settings(root=tmp_path).updated(
        model__detector="out", model__segmenter=None, model__box_threshold=0.0, engine__device="cpu"
    )
    report = predict(settings, [project.path(0)], tmp_path / "found", pictures=False)
    assert report.failed == ()
    assert {label for counts in report.counts.values() for label in counts} <= {"bolt", "nut"}


def test_the_folder_is_an_ordinary_one(trained: Trained) -> None:
    model = AutoModelForObjectDetection.from_pretrained(trained.checkpoint)
    processor = AutoImageProcessor.from_pretrained(trained.checkpoint)
    assert model.config.id2label == {0: "bolt", 1: "nut"}
    assert processor.size == {"height": 96, "width": 96}
    assert sorted(path.name for path in trained.checkpoint.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "training.json",
    ]
    (trained.checkpoint.parent / "any").touch()
    usual = (trained.checkpoint.parent / "any").stat().st_mode
    assert {path.stat().st_mode for path in trained.checkpoint.iterdir()} == {usual}


def test_what_it_came_to_is_said(trained: Trained) -> None:
    assert (trained.steps, trained.n_images) == (4, {"train": 4, "val": 2})
    assert [point.step for point in trained.curve] == [2, 4]
    assert trained.best.step in (2, 4)
    assert trained.best.per_class["bolt"].n_truth == trained.best.per_class["nut"].n_truth == 2
    card = (trained.checkpoint / "README.md").read_text()
    for line in ("split `train`, 4 images", "| seed | 3 |", "detseg train v1 --base", "| bolt | "):
        assert line in card


def test_a_bar_in_the_name_of_a_class_ends_no_cell_of_the_card(trained: Trained) -> None:
    settings = TrainingSettings()
    plan = Plan("base", "v1", "id", (LabelClass("nut|bolt"),), settings, weights="base")
    best = replace(trained.best, per_class={"nut|bolt": trained.best.per_class["bolt"]})
    model = AutoModelForObjectDetection.from_pretrained(trained.checkpoint)
    card = model_card(plan, replace(trained, best=best), model)
    assert "| nut\\|bolt | " in card


def test_a_file_of_that_name_from_another_program_is_refused(
    project: LabeledProject, detector: Path, tmp_path: Path
) -> None:
    (tmp_path / "training.json").write_text("[1]")
    with pytest.raises(TrainingError, match=r"training\.json is not what this detseg writes"):
        fit(project, detector, tmp_path)


def test_a_training_that_has_ended_is_not_done_again(
    trained: Trained, project: LabeledProject, detector: Path
) -> None:
    written = (trained.checkpoint / "model.safetensors").stat().st_mtime_ns
    assert fit(project, detector, trained.checkpoint) == trained
    assert (trained.checkpoint / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(TrainingError, match=r"another plan, steps \(4, now 5\)"):
        fit(project, detector, trained.checkpoint, steps=5)


def test_equal_seeds_give_equal_weights(
    trained: Trained, project: LabeledProject, detector: Path, tmp_path: Path
) -> None:
    fit(project, detector, tmp_path / "again")
    require_same(trained.checkpoint, tmp_path / "again")


@dataclass(frozen=True)
class Unbroken:
    """A training that was never stopped."""

    project: LabeledProject
    base: Path
    out: Path


class Killed(Exception):
    """In the place of a signal that nothing can catch."""


@pytest.fixture(scope="module", params=["boxes", "anchors", "masks", "pixels"])
def unbroken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    """A training that looks at its end only, so that its best weights are its last."""
    kinds = {
        "boxes": ("project", "detector"),
        "anchors": ("project", "torchvision_detector"),
        "masks": ("scenes", "segmenter"),
        "pixels": ("scenes", "semantic"),
    }
    project, base = (request.getfixturevalue(name) for name in kinds[request.param])
    out = tmp_path_factory.mktemp("unbroken") / "mine"
    fit(project, base, out, evaluations=1)
    return Unbroken(project, base, out)


@pytest.mark.parametrize(
    ("name", "last_step"), [("on_step_end", 2), ("complete", 3), ("_keep_best", 4), ("add_figures", 4)]
)
def test_a_training_that_was_killed_goes_on_to_the_same_weights(
    name: str, last_step: int, unbroken: Unbroken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "_SAVE_S", 0.0)  # a checkpoint after each step
    whole: Callable[..., Any] = getattr(course.Course, name)

    def dying(self: course.Course, *arguments: Any, **named: Any) -> Any:
        if self.progress.step == last_step:
            raise Killed
        return whole(self, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(course.Course, name, dying)
        with pytest.raises(Killed):
            fit(unbroken.project, unbroken.base, tmp_path / "mine", evaluations=1)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["training"]
    assert fit(unbroken.project, unbroken.base, tmp_path / "mine", evaluations=1).best.step == 4
    require_same(unbroken.out, tmp_path / "mine")


@pytest.mark.parametrize(
    ("n_good", "said"), [(2, r"the weights of step 2 \(AP "), (1, "nothing was learned")]
)
def test_a_loss_that_is_no_number_ends_it_and_the_best_weights_stay(
    n_good: int,
    said: str,
    project: LabeledProject,
    detector: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(train, "with_classes", lambda *a, **k: breaking(with_classes(*a, **k), after=n_good))
    with pytest.raises(TrainingError, match=rf"the loss of step {n_good + 1} is nan.*{said}.*learning_rate"):
        fit(project, detector, tmp_path / "mine")
    if n_good == 2:
        AutoModelForObjectDetection.from_pretrained(tmp_path / "mine")
        assert "stopped, because the loss of step 3 is nan" in (tmp_path / "mine" / "README.md").read_text()


def breaking(model: Any, *, after: int) -> Any:
    """The model, whose loss is no number after so many passes of training."""
    passes = 0

    def hook(_module: Any, _inputs: Any, output: Any) -> None:
        nonlocal passes
        if output.loss is not None:
            passes += 1
            output["loss"] = output.loss * (float("nan") if passes > after else 1.0)

    model.register_forward_hook(hook)
    return model


def test_memory_that_does_not_suffice_is_said(
    project: LabeledProject, detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "with_classes", lambda *a, **k: with_room_for(0, with_classes(*a, **k)))
    with pytest.raises(TrainingError, match=r"^out of memory on cpu, with 1 image at once: give --base a sm"):
        fit(project, detector, tmp_path / "mine")


def with_room_for(n_images: int, model: Any, *, n_passes: int = 0) -> Any:
    """The model, which has not the memory for more images at once, after so many passes."""
    passes = 0

    def check(_module: Any, _arguments: Any, named: dict[str, Any]) -> None:
        nonlocal passes
        passes += 1
        if len(named["pixel_values"]) > n_images and passes > n_passes:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    model.register_forward_pre_hook(check, with_kwargs=True)
    return model


@pytest.mark.parametrize("n_passes", [0, 3])
def test_too_little_memory_for_a_batch_makes_parts_of_it(
    n_passes: int, project: LabeledProject, detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    settings = settings_in(project.settings.root)
    with monkeypatch.context() as patched:
        made = lambda *a, **k: with_room_for(1, with_classes(*a, **k), n_passes=n_passes)  # noqa: E731
        patched.setattr(train, "with_classes", made)
        done = train_version(
            settings, "v1", base=str(detector), out=tmp_path / "parts", seed=3, warn=said.append
        )
    line = (
        "out of memory on cpu, with 2 images at once: goes on with 1 image at once, whose gradients together "
        "make the same steps"
    )
    assert said[-1] == line
    assert line in done.notes
    assert (done.steps, done.best.split) == (4, "val")
    if n_passes:
        return  # its first steps were whole ones
    fit(project, detector, tmp_path / "small", batch_size=1, accumulate=2)
    require_same(tmp_path / "small", tmp_path / "parts")


def test_a_full_disk_at_a_checkpoint_is_said_and_goes_on(
    project: LabeledProject, detector: Path, tmp_path: Path, trained: Trained
) -> None:
    out = tmp_path / "small"
    out.mkdir()
    n_bytes = sum(path.stat().st_size for path in trained.checkpoint.iterdir())
    with ram_disk(out, int(2.5 * n_bytes)) as mounted:
        assert mounted
        with pytest.raises(TrainingError, match=r"step 2 cannot be written to .*: make room .* from the beg"):
            fit(project, detector, out / "mine")
        assert not list((out / "mine" / "training").glob("checkpoint-*"))
        shutil.copytree(out / "mine", tmp_path / "mine")
    fit(project, detector, tmp_path / "mine")
    require_same(trained.checkpoint, tmp_path / "mine")


def test_a_full_disk_at_the_end_is_said_and_the_model_is_written_later(
    project: LabeledProject, detector: Path, tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(train, "model_card", full)
        with pytest.raises(TrainingError, match=r"the trained model cannot be written to .* \(No space left"):
            fit(project, detector, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["training"]
    fit(project, detector, tmp_path / "mine")
    require_same(trained.checkpoint, tmp_path / "mine")


def test_a_kill_behind_the_result_leaves_nothing_behind(
    trained: Trained, project: LabeledProject, detector: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained.checkpoint, tmp_path / "mine")
    (tmp_path / "mine" / "training" / "best-2").mkdir(parents=True)
    fit(project, detector, tmp_path / "mine")
    assert not (tmp_path / "mine" / "training").exists()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("plan.json", r"plan\.json is damaged: remove .* to begin anew, or give --out a new folder"),
        (
            "checkpoint-2/progress.json",
            r"checkpoint-2 is damaged \(.*remove it and run the same command again",
        ),
        ("checkpoint-2/average.safetensors", r"checkpoint-2 is damaged \("),
        ("checkpoint-2/model.safetensors", r"checkpoint-2 is damaged \("),
        ("checkpoint-2/optimizer.pt", r"checkpoint-2 is damaged \("),
    ],
)
def test_a_damaged_checkpoint_is_named(
    file: str, said: str, begun: Path, project: LabeledProject, detector: Path, tmp_path: Path
) -> None:
    shutil.copytree(begun, tmp_path / "mine")
    (tmp_path / "mine" / "training" / file).write_text("[1]")
    with pytest.raises(TrainingError, match=said):
        fit(project, detector, tmp_path / "mine")


@pytest.fixture(scope="module")
def begun(project: LabeledProject, detector: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was killed behind its first checkpoint."""
    out = tmp_path_factory.mktemp("begun") / "mine"
    with pytest.MonkeyPatch.context() as patched:
        whole = course.Course.on_step_end

        def dying(self: course.Course, *arguments: Any, **named: Any) -> None:
            if self.progress.step == 2:
                raise Killed
            whole(self, *arguments, **named)

        patched.setattr(course.Course, "on_step_end", dying)
        with pytest.raises(Killed):
            fit(project, detector, out)
    return out


def test_an_image_that_goes_away_while_it_learns_is_named(detector: Path, tmp_path: Path) -> None:
    project = make_version(tmp_path, sides={"train": 1, "val": 1})
    settings = settings_in(tmp_path, steps=1, evaluations=1)
    with pytest.raises(TrainingError, match=r": put it back, or let it be left out, and run") as error:
        train_version(
            settings,
            "v1",
            base=str(detector),
            out=tmp_path / "a",
            warn=lambda _: project.path(0).unlink(missing_ok=True),  # after all images were looked at
        )
    assert str(error.value).startswith(str(project.path(0)))


def test_of_a_process_that_loads_the_last_line_counts() -> None:
    try:
        raise TrainingError("a.png is gone: put it back")
    except TrainingError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(TrainingError) as error:
        wrapped.reraise()
    assert train.own_words(error.value) == "a.png is gone: put it back"
    assert train.own_words(TrainingError("as it is")) == "as it is"


def test_images_that_vanished_are_left_out_or_refused(detector: Path, tmp_path: Path) -> None:
    project = make_version(tmp_path, sides={"train": 20, "val": 2})
    said: list[str] = []
    settings = settings_in(tmp_path, steps=1, evaluations=1)
    project.path(3).unlink()
    done = train_version(settings, "v1", base=str(detector), out=tmp_path / "a", warn=said.append)
    assert done.n_images == {"train": 19, "val": 2}
    assert any("1 image of 22 of v1 cannot be read any more, the first: " in line for line in said)
    for number in range(6, 12):
        project.path(number).write_bytes(b"another")
    tolerant = settings.updated(run__max_quarantined_share=1.0)
    for number in (20, 21):
        project.path(number).rename(project.path(number).with_suffix(".gone"))
    with pytest.raises(
        DatasetError, match=r"^no image of the split 'val' of v1 can be read any more, the la"
    ):
        train_version(tolerant, "v1", base=str(detector), out=tmp_path / "c")
    for number in (20, 21):
        project.path(number).with_suffix(".gone").rename(project.path(number))
    with pytest.raises(DatasetError, match=r"7 images of 22 .*put them back"):
        train_version(settings, "v1", base=str(detector), out=tmp_path / "b")
