"""Models of torchvision with random weights, built to see something in small images, saved as checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision import models

from detseg.models.networks.torchvision_checkpoints import BACKGROUND, save_torchvision
from detseg.types import DecodedImage
from tests.models.made import made_image

LABELS = (BACKGROUND, "bolt", "nut", "gear")
_Heads = list[tuple[Any, float, float]]
"""Last layers, the mean of their answers, and how far those lie apart."""

SEMANTIC_PRESET = models.get_weight("FCN_ResNet50_Weights.DEFAULT").transforms(resize_size=64)
"""As torchvision prepares images for semantic models, in small."""

_SMALL = {"min_size": 64, "max_size": 128}
_FEW = {"box_detections_per_img": 10, "rpn_post_nms_top_n_test": 60}
_SETTINGS: Mapping[str, Mapping[str, int]] = {
    "fasterrcnn": _SMALL | _FEW,
    "maskrcnn": _SMALL | _FEW,
    "retinanet": _SMALL,
    "fcos": _SMALL,
}
"""As detectors resize, in small; SSD has one size."""


def build(builder: str, *, seed: int = 0) -> nn.Module:
    """The model in evaluation mode. Its scores differ from box to box, pixel to pixel."""
    torch.manual_seed(seed)
    family = builder.split("_")[0]
    settings = _SETTINGS.get(family, {})
    model: Any = models.get_model(
        builder, weights=None, weights_backbone=None, num_classes=len(LABELS), **settings
    )
    _liven(model, _HEADS[family](model))
    return model.eval()


def as_tensor(image: DecodedImage) -> torch.Tensor:
    """The image as torchvision's models take it: (3, H, W) in [0, 1]."""
    return torch.from_numpy(image.rgb.copy()).permute(2, 0, 1).float() / 255


def torchvision_checkpoint(folder: Path, builder: str) -> Path:
    return save_torchvision(build(builder), folder, builder=builder, labels=LABELS)


def _liven(model: Any, stages: list[_Heads]) -> None:
    """Batch norms get the statistics of two images; each head answers to them around a mean, so far apart."""
    model.eval()
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean over all that it sees
        norm.train()
    if norms:
        _answers(model, [])
    for norm in norms:
        norm.eval()
    for heads in stages:  # a stage sees what the one before it chose
        for answer, (head, mean, spread) in zip(_answers(model, heads), heads, strict=True):
            scale = spread / (answer.std(dim=1, correction=0) + 1e-6)
            head.weight.data *= scale.reshape(-1, *[1] * (head.weight.ndim - 1))
            head.bias.data = mean + (head.bias.data - answer.mean(dim=1)) * scale


def _answers(model: Any, heads: _Heads) -> list[torch.Tensor]:
    """What each head answers when the model sees two images: (channels, answers)."""
    images = torch.stack([as_tensor(made_image(90, 60, seed)) for seed in (0, 1)])
    if not hasattr(model, "transform"):
        images = SEMANTIC_PRESET(images)
    seen: dict[nn.Module, list[torch.Tensor]] = {head: [] for head, _, _ in heads}
    hooks = [
        head.register_forward_hook(
            lambda layer, _, answer: seen[layer].append(answer.transpose(0, 1).flatten(1))
        )
        for head in seen
    ]
    with torch.no_grad():
        model(list(images) if hasattr(model, "transform") else images)
    for hook in hooks:
        hook.remove()
    return [torch.cat(answers, dim=1) for answers in seen.values()]


def _two_stage(model: Any) -> list[_Heads]:
    boxes = model.roi_heads.box_predictor
    return [
        [(model.rpn.head.bbox_pred, 0.0, 0.2)],
        [(boxes.cls_score, 0.0, 2.0), (boxes.bbox_pred, 0.0, 1.0)],
    ]


def _one_stage(model: Any, mean: float = 0.0) -> list[_Heads]:
    head = model.head
    return [[(head.classification_head.cls_logits, 0.0, 2.0), (head.regression_head.bbox_reg, mean, 0.5)]]


def _scores(layers: Iterable[Any]) -> list[_Heads]:
    return [[(layer, 0.0, 2.0) for layer in layers]]


_HEADS: Mapping[str, Callable[[Any], list[_Heads]]] = {
    "fasterrcnn": _two_stage,
    "maskrcnn": lambda model: [
        *_two_stage(model),
        *_scores([model.roi_heads.mask_predictor.mask_fcn_logits]),
    ],
    "retinanet": _one_stage,
    "fcos": lambda model: _one_stage(model, 2.0),
    "ssd300": lambda model: _scores(model.head.classification_head.module_list[:3]),
    "ssdlite320": lambda model: _scores(one[-1] for one in model.head.classification_head.module_list[:3]),
    "deeplabv3": lambda model: _scores([model.classifier[-1]]),
    "fcn": lambda model: _scores([model.classifier[-1]]),
    "lraspp": lambda model: _scores([model.classifier.high_classifier]),
}
