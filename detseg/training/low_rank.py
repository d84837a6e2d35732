"""Low-rank updates of a backbone's attention in the place of its own weights (Hu et al., "LoRA", ICLR 2022).

PyTorch's parametrizations hold them, so that a model's code need not know of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from detseg.errors import TrainingError
from detseg.models.backbone import find_backbone
from detseg.models.checkpoints import architecture_of
from detseg.training.torchvision_models import without_loss


class LowRank(nn.Module):
    """The update ``up @ down`` of a matrix, 0 at the beginning."""

    def __init__(self, weight: torch.Tensor, rank: int) -> None:
        super().__init__()
        n_out, n_in = weight.shape
        self.down = nn.Parameter(torch.randn(rank, n_in, device=weight.device) / n_in**0.5)
        self.up = nn.Parameter(torch.zeros(n_out, rank, device=weight.device))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.up @ self.down


def add_low_rank(model: Any, rank: int, *, seed: int) -> None:
    """Freeze the backbone, and let its attention learn updates of that rank.

    TrainingError for a backbone without attention.
    """
    backbone = find_backbone(model)
    modules = [] if backbone is None else backbone.named_modules()
    layers = [one for name, one in modules if isinstance(one, nn.Linear) and "att" in name]
    if backbone is None or not layers:
        raise TrainingError(
            f"the backbone of a {architecture_of(without_loss(model))} has no attention here: leave "
            "training.lora_rank at 0"
        )
    torch.manual_seed(seed)
    backbone.requires_grad_(False)
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))


def merged_state(model: Any) -> dict[str, torch.Tensor]:
    """The weights of a model as they are used, with their updates, by the names that they have without."""
    state: dict[str, torch.Tensor] = model.state_dict()
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            state[f"{name}.weight"] = module.weight
    return state
