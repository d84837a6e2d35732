"""Trainings that begin from the backbone of a base, under a new head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from detseg.errors import TrainingError
from detseg.pipeline.predict import predict
from detseg.pipeline.training import train_version
from detseg.samples.checkpoints import checkpoint_path
from detseg.training.pretrained import load_pretrained
from tests.models import tiny
from tests.pipeline.labeled import LabeledProject
from tests.training.versions import settings_in

BACKBONES = {
    "detr": "resnet",
    "rt_detr_v2": "rt_detr_resnet",
    "d_fine": "hgnet_v2",
    "lw_detr": "lw_detr_vit",
    "rf_detr": "rf_detr_dinov2",
    "mask2former": "swin",
    "maskformer": "maskformer-swin",
}
"""The backbones of checkpoints, by their kinds."""

BOTTLENECK = "decode_head.fpn_bottleneck.conv.weight"


def train(project: LabeledProject, base: Path, out: Path, *, steps: int = 1, **training: Any) -> Any:
    settings = settings_in(project.settings.root, head="upernet", steps=steps, evaluations=1, **training)
    return train_version(settings, "v1", base=str(base), out=out, seed=3)


@pytest.mark.parametrize("kind", BACKBONES)
def test_any_backbone_learns_a_class_for_every_pixel(
    kind: str, scenes: LabeledProject, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = train(scenes, tiny.save(kind, tmp_path / kind), out)
    assert done.best.chosen_by == "miou"
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == ["UperNetForSemanticSegmentation"]
    assert config["backbone_config"]["model_type"] == BACKBONES[kind]
    assert list(config["id2label"].values()) == ["bolt", "nut", "belt", "background"]
    settings = scenes.settings.updated(
        model__detector=None,
        model__segmenter=str(out),
        model__mask_threshold=0.0,
        engine__device="cpu",
    )
    found = predict(settings, [scenes.path(0)], tmp_path / "found", pictures=False)
    assert found.failed == ()


@pytest.mark.parametrize("role", ["detector", "segmenter"])
def test_the_backbone_keeps_its_weights_and_the_head_begins_by_the_seed(role: Any) -> None:
    base = str(checkpoint_path(role))
    own = load_pretrained(base).model.state_dict()
    first, same, other = (
        load_pretrained(base, head="upernet", seed=seed).model.state_dict() for seed in (1, 1, 2)
    )
    place = {"detector": "model.backbone.model", "segmenter": "model.pixel_level_module.encoder"}[role]
    backbone = {name: value for name, value in first.items() if name.startswith("backbone.")}
    assert len(backbone) > 50
    for name, value in backbone.items():
        assert torch.equal(value, own[place + name.removeprefix("backbone")]), name
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    assert not torch.equal(first[BOTTLENECK], other[BOTTLENECK])


def test_the_backbone_of_timm_that_detr_keeps_is_taken(tmp_path: Path) -> None:
    timm = {"model_type": "timm_backbone", "backbone": "test_resnet", "out_indices": [1, 2, 3, 4]}
    base = str(tiny.save("detr", tmp_path / "detr", backbone_config=timm, use_timm_backbone=True))
    own = load_pretrained(base).model.state_dict()
    taken = load_pretrained(base, head="upernet").model
    assert taken.config.backbone_config.model_type == "timm_backbone"
    backbone = {
        name: value
        for name, value in taken.backbone._backbone.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert len(backbone) > 30
    for name, value in backbone.items():
        assert torch.equal(value, own[f"model.backbone.model.{name}"]), name


def test_images_reach_the_backbone_in_the_numbers_that_it_knows(tmp_path: Path) -> None:
    base = str(tiny.save("mask2former", tmp_path / "base"))
    image = Image.new("RGB", (64, 64), (200, 100, 50))
    before, after = (
        load_pretrained(base, head=head).processor([image], return_tensors="pt")["pixel_values"]
        for head in ("own", "upernet")
    )
    assert torch.allclose(before[0, :, 8, 8], after[0, :, 8, 8])


def test_a_head_that_has_learned_stays(scenes: LabeledProject, tmp_path: Path) -> None:
    learned = train(scenes, tiny.save("rt_detr", tmp_path / "base"), tmp_path / "first").checkpoint
    plain, again = (
        load_pretrained(str(learned), head=head).model.state_dict() for head in ("own", "upernet")
    )
    assert plain.keys() == again.keys()
    assert all(torch.equal(value, again[name]) for name, value in plain.items())


@pytest.mark.parametrize("kind", ["yolos", "eomt", "segformer"])
def test_checkpoints_without_a_backbone_of_their_own_are_refused(
    kind: str, scenes: LabeledProject, tmp_path: Path
) -> None:
    base = tiny.save(kind, tmp_path / kind)
    with pytest.raises(TrainingError, match=r'has no backbone .*training\.head at "own"'):
        train(scenes, base, tmp_path / "out")
