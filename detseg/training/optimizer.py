"""The optimizer of a training: which weights change how fast."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch

from detseg.models.backbone import find_backbone
from detseg.training.plan import Plan

_BLOCK = re.compile(r".*?(?:layers?|blocks?|stages?)[._]?\d+(?:\.(?:layers?\.|blocks?\.)?\d+)?(?=\.)")
"""The beginning of a parameter's name that names its block: ``encoder.stages.0.layers.1`` of a longer one."""


def make_optimizer(model: Any, plan: Plan) -> torch.optim.Optimizer:
    """AdamW with a rate of its own for the backbone, and for each of its layers; biases and norms do not
    decay."""
    settings = plan.settings
    rates = _backbone_rates(model, rate=settings.backbone_rate, decay=settings.layer_decay)
    if settings.backbone_rate == 0 and (backbone := find_backbone(model)) is not None:
        backbone.requires_grad_(False)
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            key = rates.get(id(parameter), 1.0), parameter.ndim > 1
            groups.setdefault(key, []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": settings.learning_rate * rate,
                "weight_decay": settings.weight_decay if decays else 0.0,
            }
            for (rate, decays), parameters in groups.items()
        ]
    )


def _backbone_rates(model: Any, *, rate: float, decay: float) -> dict[int, float]:
    """The learning rates of the backbone's parameters by their ``id``, as multiples of the head's."""
    backbone = find_backbone(model)
    if backbone is None:
        return {}
    names, parameters = zip(*backbone.named_parameters(), strict=True)
    depths = layer_depths(names)
    return {
        id(one): rate * decay ** (max(depths) - depth) for one, depth in zip(parameters, depths, strict=True)
    }


def layer_depths(names: Iterable[str]) -> list[int]:
    """The number of each parameter's block, from 1, in the order of the network; 0 for what comes before.

    >>> layer_depths(["stem.weight", "layer1.0.conv.weight", "layer1.0.bn.bias", "layer1.1.w", "norm"])
    [0, 1, 1, 2, 2]
    """
    depths: list[int] = []
    blocks: dict[str, int] = {}
    for name in names:
        found = _BLOCK.match(name)
        if found:
            depths.append(blocks.setdefault(found[0], len(blocks) + 1))
        else:
            depths.append(len(blocks))
    return depths
