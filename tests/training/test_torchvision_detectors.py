"""Detectors of torchvision learn by their own losses, and the folder is one that predicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from detseg.config import Settings
from detseg.errors import TrainingError
from detseg.pipeline.predict import predict
from detseg.taxonomy import LabelClass
from detseg.training.adapt import resize_inputs, with_classes
from detseg.training.augment import Example
from detseg.training.pretrained import load_pretrained
from detseg.training.torchvision_detectors import DetectorCollator, without_loss
from tests.models.tiny_torchvision import torchvision_checkpoint
from tests.pipeline.labeled import LabeledProject
from tests.training.test_train import fit

BUILDERS = (
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "retinanet_resnet50_fpn",
    "fcos_resnet50_fpn",
    "ssdlite320_mobilenet_v3_large",
)
CLASSES = tuple(map(LabelClass, ("gear", "belt", "bolt")))


@pytest.mark.parametrize("builder", BUILDERS)
def test_every_family_learns_and_predicts(builder: str, project: LabeledProject, tmp_path: Path) -> None:
    base = torchvision_checkpoint(tmp_path / "base", builder)
    done = fit(project, base, tmp_path / "out", steps=2, evaluations=1)
    assert done.steps == 2
    before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "out"))
    weights = [
        name for name in before if name.endswith(".weight") and before[name].shape == after[name].shape
    ]
    changed = {name for name in weights if not torch.equal(before[name], after[name])}
    assert {name.partition(".")[0] for name in changed} == {name.partition(".")[0] for name in weights}
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["architectures"], config["id2label"]) == ([builder], {"1": "bolt", "2": "nut"})
    settings = Settings(root=tmp_path).updated(
        model__detector="out", model__segmenter=None, model__box_threshold=0.0, engine__device="cpu"
    )
    report = predict(settings, [project.path(0)], tmp_path / "found", pictures=False)
    assert report.failed == ()
    assert {label for counts in report.counts.values() for label in counts} <= {"bolt", "nut"}


def answers_by_class(model: Any) -> list[torch.Tensor]:
    """Return what a detector answers for each class, as torchvision reads it: (..., classes, numbers)."""
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        if hasattr(model, "roi_heads"):
            seen = torch.rand(5, model.roi_heads.box_predictor.cls_score.in_features, generator=drawn)
            scores, deltas = model.roi_heads.box_predictor(seen)
            return [scores[..., None], deltas.reshape(len(seen), -1, 4)]
        features = model.backbone(torch.rand(1, 3, 64, 64, generator=drawn))
        return [model.head([*features.values()])["cls_logits"][..., None]]


@pytest.mark.parametrize("builder", BUILDERS)
def test_rows_move_with_their_classes(builder: str, tmp_path: Path) -> None:
    base = load_pretrained(str(torchvision_checkpoint(tmp_path, builder)))
    model = without_loss(with_classes(base, CLASSES, seed=0, on_cpu=True)).eval()
    for old, new in zip(answers_by_class(base.model), answers_by_class(model), strict=True):
        for there, here in ((0, 0), (1, 3), (3, 1)):  # nothing, bolt and gear
            assert torch.equal(old[..., there, :], new[..., here, :])
        assert not torch.equal(old[..., 2, :], new[..., 2, :])  # nut, and belt


def test_boxes_are_pixels_and_labels_begin_with_one() -> None:
    boxes = torch.tensor([[1.0, 2.0, 5.0, 9.0], [3.0, 3.0, 3.5, 9.0]])
    image = torch.full((3, 20, 30), 255, dtype=torch.uint8)
    inputs = DetectorCollator()([Example(image, boxes, torch.tensor([0, 1]))])
    assert [(float(one.min()), one.shape) for one in inputs["pixel_values"]] == [(1.0, (3, 20, 30))]
    (truth,) = inputs["labels"]
    assert (truth["boxes"].tolist(), truth["labels"].tolist()) == ([[1.0, 2.0, 5.0, 9.0]], [1])


def test_an_image_without_objects_has_a_loss(tmp_path: Path) -> None:
    model = with_classes(
        load_pretrained(str(torchvision_checkpoint(tmp_path, BUILDERS[1]))), CLASSES, seed=0, on_cpu=True
    )
    nothing = Example(torch.zeros(3, 60, 90, dtype=torch.uint8), torch.zeros(0, 4), torch.zeros(0).long())
    loss = model(**DetectorCollator()([nothing, nothing]))["loss"]
    assert bool(loss.isfinite())
    loss.backward()


def test_another_size_of_images_is_for_those_that_resize(tmp_path: Path) -> None:
    base = load_pretrained(str(torchvision_checkpoint(tmp_path / "a", BUILDERS[1])))
    resize_inputs(base, 256)
    model = without_loss(with_classes(base, CLASSES, seed=0, on_cpu=True))
    assert (model.transform.min_size, model.transform.max_size) == ((128,), 256)
    fixed = load_pretrained(str(torchvision_checkpoint(tmp_path / "b", BUILDERS[3])))
    with pytest.raises(TrainingError, match=r"one size alone: leave training\.image_size at 0"):
        resize_inputs(fixed, 256)
    with pytest.raises(TrainingError, match="has no queries to choose the number of"):
        with_classes(fixed, CLASSES, seed=0, on_cpu=True, queries=9)
