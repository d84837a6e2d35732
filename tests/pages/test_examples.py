"""The programs of the pages run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from detseg.cli.app import app
from detseg.config import load_settings
from detseg.formats.coco import read_coco
from detseg.pipeline.predict import predict
from detseg.samples.checkpoints import checkpoint_path
from detseg.samples.scenes import generate_scene
from detseg.types import Size
from tests.models import tiny
from tests.pipeline.labeled import CLASSES, bolt, make_project, ring

if TYPE_CHECKING:
    from collections.abc import Callable

    from detseg.labelstudio.server import Connection

DOCS = Path(__file__).parents[2] / "docs"


def programs(page: str) -> list[str]:
    """The blocks of Python on a page."""
    return re.findall(r"(?ms)^```python\n(.*?)^```", (DOCS / page).read_text())


def test_the_examples_of_the_python_page_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    label_studio: Connection,
    document_root: Path,
    new_title: Callable[[], str],
) -> None:
    (tmp_path / "photos").mkdir()
    for seed in range(2):
        Image.fromarray(generate_scene(seed, Size(320, 240)).image).save(tmp_path / "photos" / f"{seed}.png")
    server = {"url": label_studio.url, "files": str(document_root)}
    lines = ["[label_studio]", *(f"{name} = {json.dumps(value)}" for name, value in server.items())]
    (tmp_path / "detseg.toml").write_text("\n".join(lines))
    monkeypatch.setenv("DETSEG_LABEL_STUDIO__TOKEN", label_studio.token)
    monkeypatch.chdir(tmp_path)
    blocks = [block.replace('"parts"', repr(new_title())) for block in programs("python.md")]
    exec("\n".join(blocks), {})


@pytest.mark.parametrize("page", ["datasets.md", "curator.md"])
def test_the_commands_of_the_pages_about_datasets_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path)
    project.add(range(40))
    for number in range(40):
        project.review(number, [bolt(f"a{number}"), ring(f"b{number}")])
    classes = [f'[[classes]]\nname = "{cls.name}"\nkind = "{cls.kind}"' for cls in CLASSES]
    (tmp_path / "detseg.toml").write_text("\n".join(classes))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```", (DOCS / page).read_text())
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("detseg dataset")]
    assert len(commands) >= 4
    for command in commands:
        app(shlex.split(command)[1:], standalone_mode=False)
    shown = capfd.readouterr().out
    assert "40 images with 80 regions as coco" in shown
    read = read_coco(tmp_path / "v1-coco" / "annotations" / "instances_train.json", "bbox")
    assert 0 < len(read.images) < 40
    assert len(read.annotations) == 2 * len(read.images)


def test_the_commands_of_the_page_about_training_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """From a tiny random detector, for two steps."""
    project = make_project(tmp_path)
    project.add(range(20))
    for number in range(20):
        project.review(number, [bolt(f"a{number}"), ring(f"b{number}")])
    classes = [f'[[classes]]\nname = "{cls.name}"\nkind = "{cls.kind}"' for cls in CLASSES]
    (tmp_path / "detseg.toml").write_text("\n".join(classes))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DETSEG_TRAINING__STEPS", "2")
    small = tiny.save("rt_detr", tmp_path / "small")
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```", (DOCS / "training.md").read_text())
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("detseg ")]
    assert [shlex.split(command)[1] for command in commands] == [
        *("dataset", "train", "predict"),
        *["models"] * 6,
        *["retrain"] * 3,
    ]
    assert commands[3].startswith("detseg models compare")
    for command in (*commands[:3], *commands[4:10]):  # the others judge with the large models
        words = shlex.split(command.replace("PekingU/rtdetr_v2_r18vd", str(small)), comments=True)
        force = ["--force"] if words[1:3] == ["models", "promote"] else []
        app([*words[1:], *force], standalone_mode=False)
    said = capfd.readouterr().out
    assert "boxes on val" in said
    assert "predicts with mine from now on" in said
    assert "mine is out of the list" in said
    assert "not due: 20 images reviewed" in said
    assert len(json.loads((tmp_path / "found" / "predictions.json").read_text())["images"]) == 20


def test_a_detector_learns_from_an_export_and_labels_the_next_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/datasets.md shows it, from the small detector that comes with the package."""
    project = make_project(tmp_path)
    project.add(range(6))
    for number in range(6):
        project.review(number, [bolt(f"a{number}"), ring(f"b{number}")] if number else [])
    classes = [f'[[classes]]\nname = "{cls.name}"\nkind = "{cls.kind}"' for cls in CLASSES]
    (tmp_path / "detseg.toml").write_text("\n".join(classes))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    app(["dataset", "create", "v1", "--split", "train=1"], standalone_mode=False)
    app(["dataset", "export", "v1", "--format", "hf", "--out", "v1-hf"], standalone_mode=False)
    (program,) = programs("datasets.md")
    assert '"PekingU/rtdetr_v2_r18vd"' in program
    small = repr(str(checkpoint_path("detector")))
    exec(program.replace('"PekingU/rtdetr_v2_r18vd"', small), {})
    settings = load_settings(model__detector="mine", model__segmenter="", model__box_threshold=0.0)
    report = predict(settings, [tmp_path / "photos"], tmp_path / "found", pictures=False)
    assert report.failed == ()
    assert report.unmapped.keys() <= {"belt"}  # a surface, which has no boxes
    found = json.loads(report.file.read_text())["images"]
    assert {one["label"] for image in found for one in image["instances"]} <= {"bolt", "nut"}
    learned = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert learned["id2label"] == {str(number): cls.name for number, cls in enumerate(CLASSES)}
