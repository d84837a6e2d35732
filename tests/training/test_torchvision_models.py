"""Models of torchvision learn, and the folder is one that predicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torchvision.ops import masks_to_boxes

from detseg.config import Settings
from detseg.errors import TrainingError
from detseg.pipeline.predict import predict
from detseg.taxonomy import LabelClass
from detseg.training.adapt import resize_inputs, with_classes
from detseg.training.augment import IGNORED, Example
from detseg.training.pretrained import load_pretrained
from detseg.training.torchvision_models import (
    DetectorCollator,
    SemanticCollator,
    SemanticInputs,
    without_loss,
)
from tests.models.tiny_torchvision import torchvision_checkpoint
from tests.pipeline.labeled import LabeledProject
from tests.training.test_train import fit

BUILDERS = (
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "retinanet_resnet50_fpn",
    "fcos_resnet50_fpn",
    "ssdlite320_mobilenet_v3_large",
)
MASKS = "maskrcnn_resnet50_fpn"
SEMANTIC = ("deeplabv3_mobilenet_v3_large", "fcn_resnet50", "lraspp_mobilenet_v3_large")
CLASSES = tuple(map(LabelClass, ("gear", "belt", "bolt")))


def all_weights_changed(base: Path, out: Path) -> bool:
    """Tell whether every part of the model has learned, of the weights that have a place in both."""
    before, after = (load_file(folder / "model.safetensors") for folder in (base, out))
    weights = [
        name for name in before if name.endswith(".weight") and before[name].shape == after[name].shape
    ]
    changed = {name for name in weights if not torch.equal(before[name], after[name])}
    return {name.partition(".")[0] for name in changed} == {name.partition(".")[0] for name in weights}


def labels_of(folder: Path) -> tuple[list[str], dict[str, str]]:
    config = json.loads((folder / "config.json").read_text())
    return config["architectures"], config["id2label"]


def shown_labels(project: LabeledProject, place: Path, **models: Any) -> set[str]:
    """The labels of what is found in the first image, with the model in the folder ``out`` of ``place``."""
    settings = Settings(root=place).updated(
        **{f"model__{name}": value for name, value in models.items()},
        model__box_threshold=0.0,
        model__mask_threshold=0.0,
        engine__device="cpu",
    )
    report = predict(settings, [project.path(0)], place / "found", pictures=False)
    assert report.failed == ()
    return {label for counts in report.counts.values() for label in counts}


@pytest.mark.parametrize("builder", BUILDERS)
def test_every_family_learns_and_predicts(builder: str, project: LabeledProject, tmp_path: Path) -> None:
    base, out = torchvision_checkpoint(tmp_path / "base", builder), tmp_path / "out"
    done = fit(project, base, out, steps=2, evaluations=1)
    assert done.steps == 2
    assert all_weights_changed(base, out)
    assert labels_of(out) == ([builder], {"1": "bolt", "2": "nut"})
    assert shown_labels(project, tmp_path, detector="out", segmenter=None) <= {"bolt", "nut"}


def test_masks_of_things_are_learned_with_their_boxes(scenes: LabeledProject, tmp_path: Path) -> None:
    base, out = torchvision_checkpoint(tmp_path / "base", MASKS), tmp_path / "out"
    done = fit(scenes, base, out, steps=2, evaluations=1)
    assert done.best.chosen_by == "pq"
    assert all_weights_changed(base, out)
    before, after = (load_file(folder / "model.safetensors") for folder in (base, out))
    mask_head = "roi_heads.mask_predictor.conv5_mask.weight"
    assert not torch.equal(before[mask_head], after[mask_head])
    assert labels_of(out) == ([MASKS], {"1": "bolt", "2": "nut"})  # the belt is a surface
    assert shown_labels(scenes, tmp_path, detector=None, segmenter="out") <= {"bolt", "nut"}


@pytest.mark.parametrize("builder", SEMANTIC)
def test_classes_of_pixels_are_learned(builder: str, scenes: LabeledProject, tmp_path: Path) -> None:
    base, out = torchvision_checkpoint(tmp_path / "base", builder), tmp_path / "out"
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "resize_size": 48, "image_mean": [0.5] * 3}))
    done = fit(scenes, base, out, steps=2, evaluations=1)
    assert done.best.chosen_by == "miou"
    assert all_weights_changed(base, out)
    assert labels_of(out) == ([builder], {"1": "bolt", "2": "nut", "3": "belt"})
    after = json.loads((out / "config.json").read_text())
    assert (after["resize_size"], after["image_mean"]) == (48, [0.5] * 3)
    assert shown_labels(scenes, tmp_path, detector=None, segmenter="out") <= {"bolt", "nut", "belt"}


def answers_by_class(model: Any) -> list[torch.Tensor]:
    """Return what a detector answers for each class, as torchvision reads it: (..., classes, numbers)."""
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        if hasattr(model, "roi_heads"):
            seen = torch.rand(5, model.roi_heads.box_predictor.cls_score.in_features, generator=drawn)
            scores, deltas = model.roi_heads.box_predictor(seen)
            answers = [scores[..., None], deltas.reshape(len(seen), -1, 4)]
            if model.roi_heads.has_mask():
                inside = torch.rand(2, 256, 3, 3, generator=drawn)
                answers.append(model.roi_heads.mask_predictor(inside).flatten(2))
            return answers
        features = model.backbone(torch.rand(1, 3, 64, 64, generator=drawn))
        return [model.head([*features.values()])["cls_logits"][..., None]]


@pytest.mark.parametrize("builder", [*BUILDERS, MASKS])
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


def test_each_box_has_its_mask_from_whatever_layer() -> None:
    layers = torch.zeros(2, 8, 9, dtype=torch.int32)
    layers[0, 1:4, 1:4], layers[1, 2:6, 2:7], layers[0, 6:, :3] = 2, 1, 3
    boxes = torch.tensor([[2.0, 2.0, 7.0, 6.0], [1.0, 1.0, 4.0, 4.0], [0.0, 6.0, 3.0, 8.0]])
    example = Example(torch.zeros(3, 8, 9, dtype=torch.uint8), boxes, torch.tensor([5, 6, 7]), layers)
    (truth,) = DetectorCollator()([example])["labels"]
    assert truth["labels"].tolist() == [6, 7, 8]
    assert torch.equal(truth["masks"], torch.stack([layers[1] == 1, layers[0] == 2, layers[0] == 3]).byte())
    assert torch.equal(masks_to_boxes(truth["masks"]) + torch.tensor([0, 0, 1, 1]), boxes)


def test_pixels_of_nothing_have_the_label_of_nothing_and_borders_none() -> None:
    layers = torch.full((1, 20, 40), 3, dtype=torch.int32)
    layers[0, :, :10], layers[0, :, 10:20], layers[0, :, 20:30] = 0, 1, 2
    image = torch.full((3, 20, 40), 255, dtype=torch.uint8)
    wide = Example(image, torch.zeros(3, 4), torch.tensor([0, 1, 2]), layers)
    high = Example(image.mT, torch.zeros(1, 4), torch.tensor([2]), torch.ones(1, 40, 20, dtype=torch.int32))
    inputs = SemanticCollator(SemanticInputs(10, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), 2)([wide, high])
    assert inputs["pixel_values"].shape == (2, 3, 20, 20)
    assert float(inputs["pixel_values"][0, :, :10].min()) == 1.0
    row = [IGNORED] * 5 + [1] * 5 + [2] * 5 + [0] * 5
    assert inputs["labels"][0].tolist() == [row] * 10 + [[IGNORED] * 20] * 10
    assert inputs["labels"][1].tolist() == [[0] * 10 + [IGNORED] * 10] * 20


def test_a_thin_image_does_not_fill_the_memory() -> None:
    layers = torch.ones(1, 1, 40, dtype=torch.int32)
    thin = Example(torch.zeros(3, 1, 40, dtype=torch.uint8), torch.zeros(1, 4), torch.tensor([0]), layers)
    inputs = SemanticCollator(SemanticInputs(10, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), 1)([thin])
    assert inputs["pixel_values"].shape == (1, 3, 4, 160)
    assert inputs["labels"].shape == (1, 4, 160)


@pytest.mark.parametrize("builder", [BUILDERS[1], MASKS])
def test_an_image_without_objects_has_a_loss(builder: str, tmp_path: Path) -> None:
    model = with_classes(
        load_pretrained(str(torchvision_checkpoint(tmp_path, builder))), CLASSES, seed=0, on_cpu=True
    )
    nothing = Example(
        torch.zeros(3, 60, 90, dtype=torch.uint8), torch.zeros(0, 4), torch.zeros(0).long(),
        torch.zeros(1, 60, 90, dtype=torch.int32),
    )  # fmt: skip
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
    semantic = load_pretrained(str(torchvision_checkpoint(tmp_path / "c", SEMANTIC[2])))
    with pytest.raises(TrainingError, match=r"shorter side .* at 520 pixels: .*resize_size, and leave"):
        resize_inputs(semantic, 256)
    with pytest.raises(TrainingError, match="has no queries to choose the number of"):
        with_classes(fixed, CLASSES, seed=0, on_cpu=True, queries=9)
