"""``detseg train`` as a program runs it: killed by a signal that nothing can catch, run again, one object."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from detseg.cli.app import app
from detseg.errors import LockHeld
from detseg.locking import file_lock
from detseg.pipeline.training import train_version
from detseg.pipeline.workspace import opened_catalog
from tests.models import tiny
from tests.training.versions import QUICK, make_version, settings_in


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with settings, the version v1 and a tiny detector."""
    root = tmp_path_factory.mktemp("root")
    make_version(root)
    tiny.save("rt_detr", root / "base")
    lines = ["[engine]", 'device = "cpu"', 'precision = "float32"', "[training]"]
    lines += [f"{name} = {value}" for name, value in QUICK.items()]
    (root / "detseg.toml").write_text("\n".join(lines))
    return root


def test_a_kill_loses_no_step(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    words = ["train", "v1", "--base", "base", "--out", "mine", "--seed", "3", "--json"]
    killed = subprocess.run(
        [sys.executable, "-m", "detseg", *words],
        env={**os.environ, "DETSEG_FAILPOINT": "train.after_step:3", "OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL
    assert (root / "mine" / "training" / "checkpoint-2" / "progress.json").is_file()
    there = sorted((root / "mine").rglob("*"))
    with (
        file_lock(root / "mine" / "training" / "lock"),  # as another that trains there has it
        pytest.raises(LockHeld, match=rf"^the training in mine is not free: process {os.getpid()} holds it"),
    ):
        app(words, standalone_mode=False)
    assert sorted((root / "mine").rglob("*")) == there
    app(words, standalone_mode=False)
    answer = json.loads(capfd.readouterr().out)
    assert answer.keys() >= {"checkpoint", "dataset", "steps", "seconds", "best"}
    assert (answer["checkpoint"], answer["dataset"], answer["steps"]) == ("mine", "v1", 4)
    assert answer["best"].keys() >= {"ap", "ap50", "step", "per_class"}
    assert answer["model"] == "mine"
    whole = train_version(settings_in(root), "v1", base="base", out=root / "whole", seed=3)
    assert [point["loss"] for point in answer["curve"]] == [point.loss for point in whole.curve]
    broken, unbroken = (load_file(root / name / "model.safetensors") for name in ("mine", "whole"))
    assert all(torch.equal(value, broken[name]) for name, value in unbroken.items())


def test_a_checkpoint_that_was_not_registered_is_by_the_same_command(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As after a kill between the two."""
    monkeypatch.chdir(root)
    settings = settings_in(root, steps=1, evaluations=1)
    done = train_version(settings, "v1", base="base", out=root / "left")
    words = ["train", "v1", "--base", "base", "--out", "left", "--steps", "1", "--json"]
    monkeypatch.setenv("DETSEG_TRAINING__EVALUATIONS", "1")
    names = []
    for _ in range(2):
        app(words, standalone_mode=False)
        names.append(json.loads(capfd.readouterr().out)["model"])
    assert names == ["left", "left"]
    with opened_catalog(settings) as catalog:
        model = catalog.models.get("left")
    assert model is not None
    assert (model.path, model.dataset, model.steps) == (str(root / "left"), "v1", 1)
    assert model.seconds == done.seconds


def test_people_get_a_table(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    app(["train", "v1", "--base", "base", "--out", "short", "--steps", "1"], standalone_mode=False)
    said = capfd.readouterr()
    assert said.out.startswith("short: 1 step in ")
    assert "boxes on val" in said.out
    assert "registered as short" in said.out
    assert "the split 'train' of v1 has 4 images only" in said.err
