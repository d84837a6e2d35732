"""An exponential moving average of a model's weights, which is better than any of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

_FILE = "average.safetensors"


class Average:
    """The average of a model over about ``1 / (1 - decay)`` steps, of fewer at the start."""

    def __init__(self, model: Any, decay: float) -> None:
        self.model: Any = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: Any, step: int) -> None:
        """Take in the weights after so many steps."""
        keep = min(self._decay, (1 + step) / (10 + step))
        here, new = self.model.state_dict(), model.state_dict()
        for name, value in here.items():
            if value.is_floating_point():
                value.lerp_(new[name], 1 - keep)
            else:
                value.copy_(new[name])

    def write(self, folder: Path) -> None:
        """Write the average beside the weights of a checkpoint."""
        state = {name: value.clone().contiguous() for name, value in self.model.state_dict().items()}
        save_file(state, folder / _FILE)

    def read(self, folder: Path) -> None:
        """Read what ``write`` wrote."""
        self.model.load_state_dict(load_file(folder / _FILE))
