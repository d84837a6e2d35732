"""Learning rates of the head, of the backbone and of its layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from detseg.config.training import TrainingSettings
from detseg.models.backbone import find_backbone
from detseg.taxonomy import LabelClass
from detseg.training.plan import Plan
from detseg.training.pretrained import load_pretrained
from detseg.training.trainer import layer_depths, make_optimizer


@pytest.fixture
def model(detector: Path) -> Any:
    return load_pretrained(str(detector)).model.requires_grad_(True)


def rates(model: Any, **settings: float) -> dict[str, float]:
    """The learning rate of each parameter that learns, by its name."""
    plan = Plan("b", "v1", "id", (LabelClass("nut"),), TrainingSettings.model_validate(settings), weights="b")
    optimizer = make_optimizer(model, plan)
    by_id = {id(one): group["lr"] for group in optimizer.param_groups for one in group["params"]}
    return {name: by_id[id(one)] for name, one in model.named_parameters() if one.requires_grad}


def in_backbone(model: Any) -> list[str]:
    """The names of the backbone's parameters, in the order of the network."""
    backbone = find_backbone(model)
    assert backbone is not None
    inside = {id(one) for one in backbone.parameters()}
    return [name for name, one in model.named_parameters() if id(one) in inside]


def test_the_backbone_has_a_rate_of_its_own(model: Any) -> None:
    found, inside = rates(model, learning_rate=0.5, backbone_rate=0.1), in_backbone(model)
    assert {found[name] for name in inside} == {0.5 * 0.1}
    assert {rate for name, rate in found.items() if name not in inside} == {0.5}


def test_deeper_layers_learn_slower(model: Any) -> None:
    found = rates(model, learning_rate=0.5, layer_decay=0.5)
    inside = [found[name] for name in in_backbone(model)]
    assert inside == sorted(inside)
    assert inside[-1] == 0.5
    assert inside[0] < 0.05
    assert {rate for name, rate in found.items() if name not in in_backbone(model)} == {0.5}


def test_a_frozen_backbone_learns_nothing(model: Any) -> None:
    assert not set(rates(model, backbone_rate=0.0)) & set(in_backbone(model))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            "encoder.stages.0.layers.0.layer.1.w",
            "encoder.stages.0.layers.1.layer.0.w",
        ),
        ("encoder.layer.3.attention.query.weight", "encoder.layer.4.attention.query.weight"),
        ("stages_0.blocks.0.conv.weight", "stages_0.blocks.1.conv.weight"),
        ("encoder.layers.0.blocks.1.norm.weight", "encoder.layers.1.blocks.0.norm.weight"),
    ],
)
def test_blocks_are_told_by_their_names(first: str, second: str) -> None:
    assert layer_depths(["embeddings.weight", first, second, second + "x", "norm.weight"]) == [0, 1, 2, 2, 2]


def test_every_weight_learns_once(model: Any) -> None:
    plan = Plan("b", "v1", "id", (), TrainingSettings(layer_decay=0.7), weights="b")
    groups = make_optimizer(model, plan).param_groups
    learned = [id(one) for group in groups for one in group["params"]]
    assert sorted(learned) == sorted(id(one) for one in model.parameters())
    assert all(torch.is_tensor(one) for group in groups for one in group["params"])
