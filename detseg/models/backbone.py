"""Embeddings of images, from the pass through the network that is made anyway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

_BACKBONES = (
    "backbone",
    "conv_encoder",
    "vision_backbone",
    "pixel_level_module.encoder",
    "vision_encoder",
    "vision_model",
)
_INNER = ("backbone", "conv_encoder", "vision_backbone", "model", "body")
"""The names that libraries give backbones, and those of a backbone in a module around it."""

_SMALLEST = 1e-12


class BackboneTap:
    """Keeps the last feature map of a backbone, averaged over the image, of the pass that ran last.

    ``name`` says which embeddings can be compared: those of equal weights.
    """

    def __init__(self, backbone: nn.Module, name: str) -> None:
        self.name = name
        self._pooled: torch.Tensor | None = None
        self._n_channels = 0
        backbone.register_forward_hook(self._keep)

    def take(self, n_images: int) -> npt.NDArray[np.float16] | None:
        """The embeddings of the images that ran last, (n_images, D), of length 1; None if there are none.

        A network that looks at parts of images, or whose feature map cannot be told, gives none.
        """
        pooled, self._pooled = self._pooled, None
        if pooled is None or len(pooled) != n_images or not bool(pooled.isfinite().all()):
            return None
        self._n_channels = self._n_channels or pooled.shape[1]
        if pooled.shape[1] != self._n_channels:
            return None
        values = pooled / pooled.norm(dim=1, keepdim=True).clamp_min(_SMALLEST)
        half: npt.NDArray[np.float16] = values.cpu().numpy().astype(np.float16)
        return half

    def _keep(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        features = _deepest(output)
        self._pooled = None if features is None else _pool(features)


def find_backbone(model: nn.Module) -> nn.Module | None:
    """The part of a model that makes feature maps of images; None where its name is not known."""
    modules = dict(model.named_modules())
    for known in _BACKBONES:
        for name, module in modules.items():
            if name == known or name.endswith(f".{known}"):
                return _innermost(module)
    whole = getattr(model, "base_model", model)  # of transformers: the model without its head
    return whole if isinstance(whole, nn.Module) and whole is not model else None


def _innermost(module: nn.Module) -> nn.Module:
    for name in _INNER:
        if isinstance(inner := getattr(module, name, None), nn.Module):
            return _innermost(inner)
    return module


def _deepest(output: Any) -> torch.Tensor | None:
    """The last feature map in what a backbone answers: (B, C, H, W), or tokens (B, N, C)."""
    if isinstance(output, torch.Tensor):
        return output
    for name in ("feature_maps", "last_hidden_state"):
        if getattr(output, name, None) is not None:
            return _deepest(getattr(output, name))
    if isinstance(output, Mapping):
        output = list(output.values())
    return _deepest(output[-1]) if isinstance(output, (list, tuple)) and output else None


def _pool(features: torch.Tensor) -> torch.Tensor | None:
    """The mean over all places, (B, C) in float32."""
    if features.ndim == 3:
        return features.float().mean(1)
    if features.ndim != 4:
        return None
    channels_last = (
        features.shape[-1] > features.shape[1]
    )  # a deep map has more channels than places in a row
    return features.float().mean((1, 2) if channels_last else (2, 3))
