"""The two architectures, small enough to ship, and the image processors that feed them."""

from __future__ import annotations

from typing import Any

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
from detseg.types import Size

INPUTS: dict[Role, Size] = {"detector": Size(288, 224), "segmenter": Size(256, 192)}
"""The size that every picture is resized to."""

_PIXEL_MEAN, _PIXEL_DEVIATION = 0.45, 0.25
_WIDTHS = (32, 64, 128, 192)
_CHANNELS = 96
_MASK_CHANNELS = 64
_NO_OBJECT_WEIGHT = 0.4
"""With Mask2Former's 0.1, made for 100 queries, twice as many queries as parts claim to be a part here, and
the panoptic form drops most of what several of them claim."""


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
    return RTDetrV2ForObjectDetection(
        RTDetrV2Config(
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
    )


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
        "no_object_weight": _NO_OBJECT_WEIGHT,
        # transformers' configurations do not say what can be counted.
        "thing_labels": list(THING_NAMES),
        **_labels(tuple(c.name for c in SAMPLE_CLASSES)),
    }
    config = Mask2FormerConfig(backbone_config=_backbone(from_stage=1), **settings)
    return Mask2FormerForUniversalSegmentation(config)


def build_processor(role: Role) -> Any:
    """The image processor that makes of any picture what the model was trained on."""
    settings: dict[str, Any] = {
        "size": {"height": INPUTS[role].height, "width": INPUTS[role].width},
        "do_normalize": True,
        "image_mean": [_PIXEL_MEAN] * 3,
        "image_std": [_PIXEL_DEVIATION] * 3,
    }
    if role == "detector":
        return RTDetrImageProcessor(**settings)
    return Mask2FormerImageProcessor(**settings, ignore_index=255)
