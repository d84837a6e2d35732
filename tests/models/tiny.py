"""Checkpoints of a few thousand random weights, built from real configurations and saved as users save them.

Their weights are larger than fresh ones, so that there is something to see and it differs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from transformers.utils import logging

DETECTOR_LABELS = ("bolt", "nut", "gear")
SEGMENTER_LABELS = ("bolt", "nut", "gear", "tray", "belt")


def enliven(model: torch.nn.Module, *queries: torch.nn.Embedding) -> None:
    """Weights large enough that answers depend on the image and differ from query to query."""
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and "bbox_embed" not in name:
            torch.nn.init.normal_(layer.weight, std=2.0 / layer.in_features**0.5)
    for embedding in queries:
        torch.nn.init.normal_(embedding.weight, std=2.0)


def make_sure(classifier: torch.nn.Linear, *, no_object: bool) -> None:
    """Scores near 1, and "no object" rarely the best of them."""
    with torch.no_grad():
        classifier.weight.mul_(2.0)
        classifier.bias.zero_()
        if no_object:
            classifier.bias[-1] = -8.0


def save(model: Any, processor: Any, folder: Path) -> Path:
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _id2label(labels: tuple[str, ...]) -> dict[int, str]:
    return dict(enumerate(labels))


def _detr_config(labels: tuple[str, ...], seed: int) -> DetrConfig:
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


def detr(folder: Path, *, labels: tuple[str, ...] = DETECTOR_LABELS, seed: int = 0) -> Path:
    model = DetrForObjectDetection(_detr_config(labels, seed))
    enliven(model, model.model.query_position_embeddings)
    make_sure(model.class_labels_classifier, no_object=True)
    size = {"shortest_edge": 64, "longest_edge": 128}
    return save(model, DetrImageProcessor(size=size), folder)


def detr_panoptic(folder: Path, *, labels: tuple[str, ...] = SEGMENTER_LABELS, seed: int = 0) -> Path:
    model = DetrForSegmentation(_detr_config(labels, seed))
    enliven(model, model.detr.model.query_position_embeddings)
    make_sure(model.detr.class_labels_classifier, no_object=True)
    torch.nn.init.normal_(model.mask_head.output_conv.weight, std=3.0)
    size = {"shortest_edge": 64, "longest_edge": 128}
    return save(model, DetrImageProcessor(size=size), folder)


def rt_detr(folder: Path, *, labels: tuple[str, ...] = DETECTOR_LABELS, seed: int = 0) -> Path:
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
    enliven(model)
    make_sure(model.model.decoder.class_embed[-1], no_object=False)
    return save(model, RTDetrImageProcessor(size={"height": 96, "width": 96}), folder)


def mask2former(
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
    transformer = model.model.transformer_module
    enliven(model, transformer.queries_embedder, transformer.queries_features)
    make_sure(model.class_predictor, no_object=True)
    processor = Mask2FormerImageProcessor(size={"height": 64, "width": 64})
    return save(model, processor, folder)
