"""Batch norms with fixed statistics, folded into the convolutions before them, cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_DEFAULT_EPS = 1e-5  # of the frozen norms in transformers, which do not say theirs


def fold_batch_norms(model: nn.Module, probe: Callable[[], Any]) -> int:
    """Folds every batch norm that directly follows a convolution, in place; how many there were.

    ``probe`` runs the model once. What follows what is seen there, from the tensors that pass, not from
    names: a norm is folded if its input is the very output of a convolution and each of the two runs once.
    """
    pairs = _pairs(model, probe)
    for convolution, norm in pairs:
        _fold(convolution, norm)
    folded = {id(norm) for _, norm in pairs}
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if id(child) in folded:
                setattr(parent, name, nn.Identity())
    return len(pairs)


def _pairs(model: nn.Module, probe: Callable[[], Any]) -> list[tuple[nn.Conv2d, nn.Module]]:
    made: dict[int, tuple[nn.Conv2d, torch.Tensor]] = {}  # the tensors are held, so that no id comes twice
    taken: dict[int, list[nn.Module]] = {}
    calls: dict[int, int] = {}

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls[id(module)] = calls.get(id(module), 0) + 1
        if isinstance(module, nn.Conv2d):
            made[id(output)] = (module, output)
        else:
            taken.setdefault(id(inputs[0]), []).append(module)

    watched = [module for module in model.modules() if type(module) is nn.Conv2d or is_batch_norm(module)]
    hooks = [module.register_forward_hook(count) for module in watched]
    try:
        with torch.no_grad():
            probe()
    finally:
        for hook in hooks:
            hook.remove()
    return [
        (made[tensor][0], norms[0])
        for tensor, norms in taken.items()
        if tensor in made and len(norms) == 1 and calls[id(made[tensor][0])] == calls[id(norms[0])] == 1
    ]


def is_batch_norm(module: nn.Module) -> bool:
    """Tell whether it is a 2-d batch norm with fixed statistics: in evaluation mode, or a library's frozen
    one."""
    if type(module) is nn.BatchNorm2d:  # subclasses hold more than the norm (timm's: an activation)
        return not module.training and module.running_var is not None and module.weight is not None
    return type(module).__name__.endswith("FrozenBatchNorm2d")


def _fold(convolution: nn.Conv2d, norm: Any) -> None:
    """``w' = w s``, ``b' = (b - mean) s + shift`` with ``s = scale / sqrt(var + eps)``, in float64."""
    eps = getattr(norm, "eps", _DEFAULT_EPS)
    scale = norm.weight.double() * (norm.running_var.double() + eps).rsqrt()  # (C_out,)
    bias = -norm.running_mean.double() if convolution.bias is None else convolution.bias - norm.running_mean
    weight = convolution.weight.double() * scale[:, None, None, None]
    dtype = convolution.weight.dtype
    convolution.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    convolution.bias = nn.Parameter((bias * scale + norm.bias.double()).to(dtype), requires_grad=False)
