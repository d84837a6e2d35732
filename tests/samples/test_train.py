"""The training of the sample checkpoints, on a handful of scenes and steps."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, AutoModelForObjectDetection, AutoModelForUniversalSegmentation

from detseg.samples.checkpoints import Role, checkpoint_path
from detseg.samples.scenes import THING_NAMES, generate_scene
from detseg.samples.train.__main__ import main, measure
from detseg.samples.train.architectures import build_model, build_processor
from detseg.samples.train.rendering import TRAIN_SEEDS_FROM, read_scene, render
from detseg.training.evaluate import Split
from tests.samples.checkpoints import load_sample, sample_classes

N_SCENES = 4
ROLES: tuple[Role, ...] = ("detector", "segmenter")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scenes of the commands below."""
    folder = tmp_path_factory.mktemp("training")
    for seeds in (range(TRAIN_SEEDS_FROM, TRAIN_SEEDS_FROM + N_SCENES), range(10_000, 10_002), range(2)):
        render(folder / "scenes", seeds, n_workers=1)
    return folder


def command(role: Role, scratch: Path, out: Path, *more: str) -> list[str]:
    sizes = ["--scenes", str(N_SCENES), "--batch-size", "2", "--progress", "2", "--held-out", "2"]
    return [role, "--scratch", str(scratch), "--out", str(out), *sizes, "--workers", "1", *more]


def headline(card: str) -> float:
    """The first figure of all classes."""
    found = re.search(r"^\| all \| (\d\.\d+) ", card, flags=re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_a_table_holds_the_scenes_with_their_truth(scratch: Path) -> None:
    table = render(scratch / "scenes", range(2), n_workers=1)
    assert len(table) == 2
    for seed in range(2):
        scene, sample = generate_scene(seed), table[seed]
        assert np.array_equal(read_scene(sample).rgb, scene.image)
        assert tuple(one.instance for one in sample.annotation().regions) == scene.instances


def test_rendering_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    seeds = range(TRAIN_SEEDS_FROM, TRAIN_SEEDS_FROM + 3)
    render(tmp_path, seeds, n_workers=1)
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
    reports: list[int] = []
    assert len(render(tmp_path, seeds, n_workers=1, report=reports.append)) == 3
    assert reports == [3]
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")} == written


@pytest.mark.parametrize("role", ROLES)
def test_the_command_writes_a_checkpoint_that_transformers_loads(
    role: Role, scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It begins with the shipped weights: after a step of nearly nothing it is as good as they are."""
    out = tmp_path / role
    still = ["--steps", "1", "--learning-rate", "1e-12", "--evaluations", "1"]
    assert main(command(role, scratch, out, *still)) == 0
    said = capsys.readouterr().err
    assert "100 % of the training is done" in said
    auto = AutoModelForObjectDetection if role == "detector" else AutoModelForUniversalSegmentation
    _, info = auto.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    processor = AutoImageProcessor.from_pretrained(out)
    pixels = processor(images=[generate_scene(0).image], return_tensors="pt")["pixel_values"]
    assert pixels.shape == ((1, 3, 224, 288) if role == "detector" else (1, 3, 192, 256))
    assert {f.name for f in out.iterdir()} == {f.name for f in checkpoint_path(role).iterdir()}
    card = (out / "README.md").read_text()
    assert (
        f"python -m detseg.samples.train {role} --first-seed {TRAIN_SEEDS_FROM} --scenes {N_SCENES}" in card
    )
    assert "| images seen | 2 in batches of 2 |" in card
    split = Split(render(scratch / "scenes", range(2), n_workers=1), read_scene, sample_classes(role))
    figure = next(iter(measure(load_sample(role), split).figures.values())).value
    assert headline(card) == pytest.approx(figure, abs=0.1)  # batch normalisation has seen two more scenes


def test_it_begins_with_random_weights_where_asked(scratch: Path, tmp_path: Path) -> None:
    first = ["--from-scratch", "--steps", "1", "--evaluations", "1"]
    assert main(command("detector", scratch, tmp_path / "made", *first)) == 0
    card = (tmp_path / "made" / "README.md").read_text()
    assert "| begun with | random weights |" in card
    assert "--from-scratch" in card
    assert headline(card) < 0.1


def test_the_shipped_checkpoints_have_these_architectures() -> None:
    for role in ROLES:
        shipped = load_sample(role)
        made = {name: value.shape for name, value in build_model(role).state_dict().items()}
        there = {name: value.shape for name, value in shipped.model.state_dict().items()}
        assert made == there
        ours, theirs = build_processor(role).to_dict(), shipped.processor.to_dict()
        same = ("size", "image_mean", "image_std", "do_normalize", "rescale_factor")
        assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert load_sample("segmenter").config.thing_labels == list(THING_NAMES)


def test_a_killed_training_goes_on(scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = command("detector", scratch, tmp_path / "out", "--steps", "6", "--evaluations", "3")
    child = subprocess.Popen(
        [sys.executable, "-m", "detseg.samples.train", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    while not list((tmp_path / "out").glob("training/checkpoint-*/progress.json")):
        assert child.poll() is None, "the training ended before it saved anything"
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "16 % of the training is done" not in said  # the first step is not made again
    assert "100 % of the training is done" in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--first-seed", "5"], "the others are for measuring"),
        (["--out", "{full}"], "is there already and holds no training"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(
    more: list[str], said: str, scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    words = [one.format(full=tmp_path / "full") for one in more]
    assert main(command("segmenter", scratch, tmp_path / "out", *words)) == 1
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
