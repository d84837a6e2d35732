"""The two architectures, small enough to ship, and the image processors that feed them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    ResNetConfig,
    RTDetrImageProcessor,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
)

from detseg.samples.checkpoints import Role
from detseg.samples.scenes import SAMPLE_CLASSES, THING_NAMES
from detseg.samples.train.data import DETECTOR_SIZE, SEGMENTER_SIZE

PIXEL_MEAN, PIXEL_DEVIATION = 0.45, 0.25

_WIDTHS = (32, 64, 128, 192)
_CHANNELS = 96
_MASK_CHANNELS = 64
DENSE_CHANNELS: dict[Role, int] = {"detector": _CHANNELS, "segmenter": _MASK_CHANNELS}
"""Channels of the feature map that the dense head reads."""


def build_model(role: Role) -> Any:
    """The model with random weights: an RT-DETRv2 of 2.5 M parameters or a Mask2Former of 1.9 M."""
    return _build_detector() if role == "detector" else _build_segmenter()


def _backbone(*, from_stage: int) -> ResNetConfig:
    """A four-stage ResNet of basic blocks; features from ``from_stage`` (1 has stride 4) to stage 4."""
    settings: dict[str, Any] = {
        "embedding_size": 32,
        "hidden_sizes": list(_WIDTHS),
        "depths": [1, 2, 2, 1],
        "layer_type": "basic",
        "out_features": [f"stage{i}" for i in range(from_stage, 5)],
    }
    return ResNetConfig(**settings)


def _labels(names: tuple[str, ...]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


def _build_detector() -> Any:
    # The channels of an attention head have to be a power of two: others make the model warn.
    config = RTDetrV2Config(
        backbone_config=_backbone(from_stage=2),
        freeze_backbone_batch_norms=False,
        encoder_in_channels=list(_WIDTHS[1:]),
        encoder_hidden_dim=_CHANNELS,
        encoder_ffn_dim=256,
        encoder_attention_heads=6,
        hidden_expansion=0.5,
        d_model=_CHANNELS,
        decoder_in_channels=[_CHANNELS] * 3,
        decoder_ffn_dim=256,
        decoder_attention_heads=6,
        decoder_layers=3,
        num_queries=50,
        num_denoising=40,
        **_labels(THING_NAMES),
    )
    # PyTorch's fused attention is several times slower than the plain one for so few queries on a CPU.
    build: Any = RTDetrV2ForObjectDetection._from_config
    return build(config, attn_implementation="eager")


def _build_segmenter() -> Any:
    settings: dict[str, Any] = {
        "feature_size": _MASK_CHANNELS,
        "mask_feature_size": _MASK_CHANNELS,
        "hidden_dim": _CHANNELS,
        "encoder_feedforward_dim": 192,
        "encoder_layers": 1,
        "decoder_layers": 5,
        "num_attention_heads": 2,
        "dim_feedforward": 256,
        "num_queries": 24,
        # transformers' configurations do not say what can be counted.
        "thing_labels": list(THING_NAMES),
        **_labels(tuple(c.name for c in SAMPLE_CLASSES)),
    }
    config = Mask2FormerConfig(backbone_config=_backbone(from_stage=1), **settings)
    return Mask2FormerForUniversalSegmentation(config)


def build_processor(role: Role) -> Any:
    """The image processor that makes of any picture what the model was trained on."""
    size = DETECTOR_SIZE if role == "detector" else SEGMENTER_SIZE
    settings: dict[str, Any] = {
        "size": {"height": size.height, "width": size.width},
        "do_normalize": True,
        "image_mean": [PIXEL_MEAN] * 3,
        "image_std": [PIXEL_DEVIATION] * 3,
    }
    if role == "detector":
        return RTDetrImageProcessor(**settings)
    return Mask2FormerImageProcessor(**settings, ignore_index=255)


class DenseHead(nn.Module):
    """A head that says what every pixel of a feature map belongs to: its class and its instance's box. Only
    for training.

    A plain loss per pixel teaches the features within minutes what the matched queries alone take an hour
    to teach them. The head is thrown away afterwards.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.classes = nn.Conv2d(channels, len(SAMPLE_CLASSES), kernel_size=1)
        self.sides = nn.Conv2d(channels, 4, kernel_size=1)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, C, h, w) -> class logits (B, 7, h, w), distances to the box's sides (B, 4, h, w) in [0, 1]."""
        return self.classes(features).float(), (self.sides(features).float() - 2).sigmoid()
