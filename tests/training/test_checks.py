"""What is said of versions and bases that cannot be learned from, a line each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from detseg.config import load_settings
from detseg.datasets.store import DatasetStore
from detseg.errors import DetsegError, TrainingError
from detseg.pipeline.training import train_version
from detseg.training.adapt import resize_inputs
from detseg.training.checks import check_version, describe_crowds
from detseg.training.plan import differences
from detseg.training.pretrained import load_pretrained
from tests.models import tiny
from tests.pipeline.labeled import belt, bolt
from tests.training.versions import make_version, settings_in

FEW_STEPS = {
    "engine__device": "cpu",
    "engine__precision": "float32",
    "training__steps": 1,
    "training__batch_size": 2,
    "training__evaluations": 1,
}


def lines(root: Path, detector: Path) -> list[str]:
    """What is said on the way of a training of one step."""
    said: list[str] = []
    settings = settings_in(root, steps=1, evaluations=1)
    train_version(settings, "v1", base=str(detector), out=root / "out", warn=said.append)
    return said


def refused(root: Path, detector: Path) -> str:
    with pytest.raises(TrainingError) as refusal:
        lines(root, detector)
    assert not (root / "out").exists()
    return str(refusal.value)


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        (
            {"train": 3},
            "v1 has no split 'val' to choose the best weights by (it has train): make a version with",
        ),
        ({"val": 3, "test": 1}, "v1 has no split 'train' to learn from (it has val, test)"),
    ],
)
def test_a_version_without_a_split_is_refused(
    sides: dict[str, int], said: str, detector: Path, tmp_path: Path
) -> None:
    make_version(tmp_path, sides=sides)
    assert refused(tmp_path, detector).startswith(said)


def test_without_a_test_split_nothing_is_left_to_judge_by(detector: Path, tmp_path: Path) -> None:
    make_version(tmp_path, sides={"train": 2, "val": 1})
    said = lines(tmp_path, detector)
    assert any(
        line.startswith("v1 has no split 'test': nothing is left to judge the model by") for line in said
    )
    assert any("the split 'train' of v1 has 2 images only" in line for line in said)


def test_an_empty_class_and_a_rare_one_are_said(detector: Path, tmp_path: Path) -> None:
    make_version(tmp_path, sides={"train": 2, "val": 1, "test": 1}, regions=(bolt("a"),))
    said = lines(tmp_path, detector)
    assert "the split 'train' of v1 has no nut: that will not be found" in said
    assert "few objects to learn from: bolt 2" in said


RENAMED = """
[[classes]]
name = "screw"
[[classes]]
name = "nut"
[[classes]]
name = "belt"
kind = "stuff"
[[taxonomy.changes]]
id = "1-rename"
date = 2026-11-01
kind = "rename"
old = "bolt"
new = "screw"
reason = "the catalogue's word"
"""


def test_classes_that_were_renamed_since_are_said_and_learned_as_they_were(
    detector: Path, tmp_path: Path
) -> None:
    make_version(tmp_path, sides={"train": 2, "val": 1})
    (tmp_path / "detseg.toml").write_text(RENAMED)
    settings = load_settings(tmp_path / "detseg.toml", environ={}, **FEW_STEPS)
    said: list[str] = []
    train_version(settings, "v1", base=str(detector), out=tmp_path / "out", warn=said.append)
    assert "v1 was made before the classes changed (1-rename), and holds them as they were" in said
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "bolt", "1": "nut"}


def test_surfaces_alone_have_no_boxes(detector: Path, tmp_path: Path) -> None:
    make_version(tmp_path, regions=(belt("a"),))
    assert refused(tmp_path, detector).startswith(
        "the split 'train' of v1 has no object of bolt, nut: label more"
    )


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ("results:found.json", "it is a file of predictions"),
        ("reviews", "it stands for the boxes of people"),
        ("plugin:mine", "it is a plug-in, whose weights detseg does not know"),
        ("gone.onnx", "it is an exported model (ONNX), which answers and does not learn"),
    ],
)
def test_what_is_no_checkpoint_cannot_be_trained(base: str, reason: str) -> None:
    with pytest.raises(TrainingError) as refusal:
        load_pretrained(base)
    assert str(refusal.value) == (
        f"{base} cannot be trained: {reason}; give the checkpoint that it was made of, a folder of "
        "save_pretrained or a hub's model name"
    )


def test_compiled_models_cannot_be_trained(tmp_path: Path) -> None:
    with pytest.warns(FutureWarning, match="is deprecated"):
        torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "model.pt")  # type: ignore[no-untyped-call]
    with pytest.raises(TrainingError, match=r"it is a compiled model \(TorchScript\), which answers and"):
        load_pretrained(str(tmp_path / "model.pt"))


def test_a_broken_archive_is_no_compiled_model(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"PK\x05\x06" + b"\xff" * 18)
    with pytest.raises(DetsegError):
        load_pretrained(str(tmp_path / "model.pt"))


@pytest.mark.parametrize("kind", ["maskformer", "segformer"])
def test_a_model_of_masks_does_not_learn_from_boxes(kind: str, tmp_path: Path) -> None:
    make_version(tmp_path, sides={"train": 2, "val": 1})
    said = refused(tmp_path, tiny.save(kind, tmp_path / kind))
    assert said.startswith("3 of the 6 things of v1 have a box alone, and ")
    assert "let SAM draw one in each box (`detseg preannotate --detector reviews" in said


@pytest.mark.parametrize("mixing", ["copy_paste", "cutmix"])
def test_images_without_masks_are_not_mixed(mixing: str, detector: Path, tmp_path: Path) -> None:
    make_version(tmp_path)
    with pytest.raises(
        TrainingError, match=r"only images with masks can be mixed: leave training\.copy_paste"
    ):
        train_version(settings_in(tmp_path, **{mixing: 0.5}), "v1", base=str(detector), out=tmp_path / "out")


def test_without_a_class_of_things_a_model_of_masks_is_wanted(tmp_path: Path) -> None:
    project = make_version(tmp_path)
    version = DatasetStore(project.settings.datasets_location).version("v1")
    with pytest.raises(TrainingError, match="give --base a model of masks, such as sample-segmenter"):
        list(check_version(version, ()))


def test_more_objects_than_a_model_finds_are_said() -> None:
    assert list(describe_crowds(50, 50, base="sample", masks=False)) == []
    assert list(describe_crowds(50, None, base="sample", masks=False)) == []
    (of_masks,) = describe_crowds(51, 50, base="sample-segmenter", masks=True)
    assert of_masks.endswith('lets it find all, and training.head = "upernet" has no such limit')
    assert list(describe_crowds(51, 50, base="sample", masks=False)) == [
        "an image has 51 objects, and sample finds at most 50 in one: training.queries = 51 lets it find all"
    ]


def test_a_model_that_looks_at_pieces_is_refused(tmp_path: Path) -> None:
    base = tiny.save("eomt_in_pieces", tmp_path / "eomt")
    with pytest.raises(TrainingError, match=r"cannot be trained: it looks at an image in square pieces"):
        load_pretrained(str(base))


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("rf_detr_masks", "of its family that learns (RfDetrForObjectDetection), or of another one"),
        ("sam2", "of one of the families beit, "),
    ],
)
def test_a_model_that_does_not_learn_names_its_kin_that_does(tmp_path: Path, kind: str, named: str) -> None:
    base = tiny.save(kind, tmp_path / kind)
    with pytest.raises(TrainingError, match=rf"it is a \w+; give a checkpoint {re.escape(named)}"):
        load_pretrained(str(base))


def test_another_size_of_images_is_for_models_that_can_see_it(detector: Path, tmp_path: Path) -> None:
    base = load_pretrained(str(detector))
    resize_inputs(base, 130)
    assert base.processor.size == {"height": 128, "width": 128}
    fixed = load_pretrained(str(tiny.save("eomt", tmp_path / "eomt")))
    with pytest.raises(TrainingError, match=r"cannot see images of 130 pixels \(.*leave training.image_size"):
        resize_inputs(fixed, 130)


def test_families_that_do_not_learn_yet_are_named(tmp_path: Path) -> None:
    base = tiny.save("owlvit", tmp_path / "owlvit")
    with pytest.raises(TrainingError, match=r"a OwlViTForObjectDetection; give .* families .*detr"):
        load_pretrained(str(base))


def test_plans_that_differ_are_told_apart() -> None:
    assert differences({"seed": 1, "settings": {"zoom": 0.1}}, {"seed": 1, "settings": {"zoom": 0.2}}) == [
        "zoom (0.1, now 0.2)"
    ]


def test_a_plan_of_before_a_setting_had_its_usual_value() -> None:
    assert differences({"settings": {}}, {"settings": {"head": "own"}}) == []
    assert differences({"settings": {}}, {"settings": {"head": "upernet"}}) == ["head (own, now upernet)"]
