"""Trainings of models that answer masks: of things and surfaces, of surfaces alone, of empty images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detseg.cli.app import app
from detseg.config import ClassSettings, Settings
from detseg.datasets.splits import SplitRule
from detseg.pipeline.datasets import Wish, create_version
from detseg.pipeline.predict import predict
from detseg.pipeline.training import train_version
from detseg.training.plan import Trained, decode_trained, encode_trained
from tests.models import tiny
from tests.models.tiny_families import UNIVERSAL
from tests.pipeline.labeled import LabeledProject, belt
from tests.training.versions import make_version, settings_in


def fit(root: Path, base: Path, out: Path, **training: Any) -> Trained:
    settings = settings_in(root, **{"steps": 1, "evaluations": 1, **training})
    return train_version(settings, "v1", base=str(base), out=out, seed=3)


@pytest.mark.parametrize("kind", [*sorted(UNIVERSAL), "mask2former"])
def test_every_family_learns_and_predicts(kind: str, scenes: LabeledProject, tmp_path: Path) -> None:
    base = tiny.save(kind, tmp_path / kind)
    done = fit(scenes.settings.root, base, tmp_path / "out")
    assert done.curve[0].loss > 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "bolt", "1": "nut", "2": "belt"}
    assert config["thing_labels"] == ["bolt", "nut"]
    classes = [
        ClassSettings(name="bolt"),
        ClassSettings(name="nut"),
        ClassSettings(name="belt", kind="stuff"),
    ]
    settings = Settings(root=tmp_path, classes=classes).updated(
        model__detector=None, model__segmenter="out", model__mask_threshold=0.0, engine__device="cpu"
    )
    report = predict(settings, [scenes.path(0)], tmp_path / "found", pictures=False)
    assert report.failed == ()
    assert {label for counts in report.counts.values() for label in counts} <= {"bolt", "nut", "belt"}


def test_the_weights_are_chosen_by_panoptic_quality(
    scenes: LabeledProject, segmenter: Path, tmp_path: Path
) -> None:
    done = fit(scenes.settings.root, segmenter, tmp_path / "out", steps=2, evaluations=2, flip=0.0)
    assert (done.best.chosen_by, list(done.best.figures)) == ("pq", ["pq", "ap", "ap50"])
    assert {name: one.n_truth for name, one in done.best.per_class.items()} == {
        "bolt": 2,
        "nut": 2,
        "belt": 2,
    }
    assert done.best.per_class["belt"].figures["ap"].value is None
    best = max(done.curve, key=lambda point: (point.figures["pq"] or 0.0, -point.step))
    assert best.step == done.best.step
    assert decode_trained(json.loads(json.dumps(encode_trained(done))), done.checkpoint) == done
    card = (tmp_path / "out" / "README.md").read_text()
    for line in ("pipeline_tag: image-segmentation", "| masks | PQ | AP | AP50 | objects |", "| belt | "):
        assert line in card


def test_surfaces_alone_can_be_learned(segmenter: Path, tmp_path: Path) -> None:
    make_version(tmp_path, regions=(belt("a"),))
    done = fit(tmp_path, segmenter, tmp_path / "out")
    assert (done.best.figures["ap"].value, done.best.per_class["belt"].n_truth) == (None, 2)


def test_images_without_objects_teach_too(segmenter: Path, tmp_path: Path) -> None:
    project = make_version(tmp_path, sides={"train": 2, "val": 1}, regions=(belt("a"),), name="whole")
    project.add([7, 8], metadata='{"side": "train"}')
    project.review(7)
    project.review(8)
    create_version(project.settings, "v1", Wish(split=SplitRule(column="side")))
    done = fit(tmp_path, segmenter, tmp_path / "out", batch_size=2, steps=2)
    assert done.n_images["train"] == 4
    assert np.isfinite(done.curve[0].loss)


def test_the_shipped_segmenter_learns_by_its_name(
    scenes: LabeledProject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(scenes.settings.root)
    lines = ["[[classes]]", 'name = "bolt"', "[training]", "batch_size = 1", "image_size = 64"]
    (scenes.settings.root / "detseg.toml").write_text("\n".join(lines))
    words = ["train", "v1", "--base", "sample-segmenter", "--out", str(tmp_path / "out"), "--steps", "1"]
    app([*words, "--json"], standalone_mode=False)
    answer = json.loads(capfd.readouterr().out)
    assert answer["best"].keys() >= {"pq", "pq_interval", "ap", "ap50", "step", "per_class"}
    assert answer["curve"][0].keys() == {"step", "seconds", "loss", "pq", "ap", "ap50"}
    app(words, standalone_mode=False)
    said = capfd.readouterr().out
    assert "masks on val" in said
    assert f"--segmenter {tmp_path / 'out'} --detector ''" in said
