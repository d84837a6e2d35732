"""Checkpoints of a few thousand random weights, built from real configurations and saved as users save them.

The weights of the classifier are stretched so that queries are sure of themselves and differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    DetrForSegmentation,
    DetrImageProcessor,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    ResNetConfig,
    RTDetrImageProcessor,
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
    SwinConfig,
)

from detseg.types import DecodedImage, ImageId, ImageRef, Size

DETECTOR_LABELS = ("bolt", "nut", "gear")
SEGMENTER_LABELS = ("bolt", "nut", "gear", "tray", "belt")


def made_image(width: int, height: int, seed: int = 0) -> DecodedImage:
    """Coloured rectangles on a gradient, with noise: enough structure that answers differ by place."""
    rng = np.random.default_rng((seed, width, height))
    ramp = np.linspace(40, 200, width)[None, :, None] * np.ones((height, 1, 3))
    for _ in range(4):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        ramp[y : y + height // 3 + 1, x : x + width // 3 + 1] = rng.integers(0, 256, 3)
    rgb = np.clip(ramp + rng.normal(0, 12, ramp.shape), 0, 255).astype(np.uint8)
    uri = f"made-{width}x{height}-{seed}.png"
    image_id = ImageId("sha256:" + hashlib.sha256(rgb.tobytes()).hexdigest())
    return DecodedImage(ImageRef(image_id, uri), Size(width, height), rgb)


def stretch(layer: torch.nn.Linear, factor: float, no_object: float | None = None) -> None:
    with torch.no_grad():
        torch.nn.init.normal_(layer.weight, std=factor)
        layer.bias.zero_()
        if no_object is not None:
            layer.bias[-1] = no_object


def save(model: Any, processor: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _id2label(labels: tuple[str, ...]) -> dict[int, str]:
    return dict(enumerate(labels))


def _tiny_detr(labels: tuple[str, ...], seed: int) -> DetrConfig:
    torch.manual_seed(seed)
    backbone = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    return DetrConfig(
        backbone_config=backbone,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=8,
        id2label=_id2label(labels),
    )


def tiny_detr(folder: Path, *, labels: tuple[str, ...] = DETECTOR_LABELS, seed: int = 0) -> Path:
    model = DetrForObjectDetection(_tiny_detr(labels, seed))
    stretch(model.class_labels_classifier, 2.0, no_object=-4.0)
    size = {"shortest_edge": 64, "longest_edge": 128}
    return save(model, DetrImageProcessor(size=size), folder)


def tiny_detr_panoptic(folder: Path, *, labels: tuple[str, ...] = SEGMENTER_LABELS, seed: int = 0) -> Path:
    model = DetrForSegmentation(_tiny_detr(labels, seed))
    stretch(model.detr.class_labels_classifier, 2.0, no_object=-4.0)
    size = {"shortest_edge": 64, "longest_edge": 128}
    return save(model, DetrImageProcessor(size=size), folder)


def tiny_rt_detr(folder: Path, *, labels: tuple[str, ...] = DETECTOR_LABELS, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    model = RTDetrV2ForObjectDetection(
        RTDetrV2Config(
            backbone_config=backbone,
            encoder_hidden_dim=32,
            encoder_in_channels=[16, 24, 32],
            encoder_ffn_dim=32,
            encoder_attention_heads=4,
            d_model=32,
            num_queries=12,
            decoder_in_channels=[32, 32, 32],
            decoder_ffn_dim=32,
            decoder_layers=2,
            decoder_attention_heads=4,
            id2label=_id2label(labels),
        )
    )
    stretch(model.model.decoder.class_embed[-1], 2.0)
    return save(model, RTDetrImageProcessor(size={"height": 96, "width": 96}), folder)


def tiny_mask2former(
    folder: Path,
    *,
    labels: tuple[str, ...] = SEGMENTER_LABELS,
    thing_labels: tuple[str, ...] | None = None,
    seed: int = 0,
) -> Path:
    torch.manual_seed(seed)
    backbone = SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=4,
        dim_feedforward=32,
        num_queries=10,
        id2label=_id2label(labels),
    )
    if thing_labels is not None:
        config.thing_labels = list(thing_labels)
    model = Mask2FormerForUniversalSegmentation(config)
    stretch(model.class_predictor, 1.0, no_object=-4.0)
    processor = Mask2FormerImageProcessor(size={"height": 64, "width": 64})
    return save(model, processor, folder)


@pytest.fixture(scope="session")
def shared_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a tiny checkpoint by kind; built once, never written to."""
    root = tmp_path_factory.mktemp("checkpoints")
    builders: dict[str, Callable[[Path], Path]] = {
        "detr": tiny_detr,
        "detr-panoptic": tiny_detr_panoptic,
        "rt-detr": tiny_rt_detr,
        "mask2former": tiny_mask2former,
    }

    def folder(kind: str) -> str:
        path = root / kind
        return str(path if path.exists() else builders[kind](path))

    return folder
