"""Tiny random-weight checkpoints of the detection families, by ``model_type``. See ``tiny.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    ConditionalDetrConfig,
    ConditionalDetrForObjectDetection,
    ConditionalDetrImageProcessor,
    DabDetrConfig,
    DabDetrForObjectDetection,
    DeformableDetrConfig,
    DeformableDetrForObjectDetection,
    DeformableDetrImageProcessor,
    Deimv2Config,
    Deimv2ForObjectDetection,
    DFineConfig,
    DFineForObjectDetection,
    HGNetV2Config,
    LwDetrConfig,
    LwDetrForObjectDetection,
    LwDetrViTConfig,
    ResNetConfig,
    RfDetrConfig,
    RfDetrDinov2Config,
    RfDetrForInstanceSegmentation,
    RfDetrForObjectDetection,
    RfDetrImageProcessor,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessor,
    RTDetrResNetConfig,
    YolosConfig,
    YolosForObjectDetection,
    YolosImageProcessor,
)

from tests.models.tiny import DETECTOR_LABELS, enliven, save

BY_EDGES = {"shortest_edge": 64, "longest_edge": 128}
"""As DETR resizes, in small."""


def conditional_detr(folder: Path) -> Path:
    model = ConditionalDetrForObjectDetection(ConditionalDetrConfig(**_as_detr(["stage4"])))
    return _finish(model, ConditionalDetrImageProcessor(size=BY_EDGES), folder)


def deformable_detr(folder: Path) -> Path:
    settings = _as_detr(["stage2", "stage3", "stage4"])
    model = DeformableDetrForObjectDetection(
        DeformableDetrConfig(**settings, with_box_refine=True, two_stage=True, two_stage_num_proposals=8)
    )
    return _finish(model, DeformableDetrImageProcessor(size=BY_EDGES), folder)


def dab_detr(folder: Path) -> Path:
    settings = _as_detr(["stage4"])
    model = DabDetrForObjectDetection(DabDetrConfig(hidden_size=settings.pop("d_model"), **settings))
    return _finish(model, ConditionalDetrImageProcessor(size=BY_EDGES), folder)


def rt_detr(folder: Path) -> Path:
    torch.manual_seed(0)
    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    model = RTDetrForObjectDetection(RTDetrConfig(backbone_config=backbone, **_as_rt_detr([16, 24, 32])))
    return _finish(model, RTDetrImageProcessor(size={"height": 96, "width": 96}), folder)


def d_fine(folder: Path) -> Path:
    model = DFineForObjectDetection(DFineConfig(**_over_hgnet()))
    return _finish(model, RTDetrImageProcessor(size={"height": 96, "width": 96}), folder)


def deimv2(folder: Path) -> Path:
    model = Deimv2ForObjectDetection(Deimv2Config(**_over_hgnet()))
    return _finish(model, RTDetrImageProcessor(size={"height": 96, "width": 96}), folder)


def lw_detr(folder: Path) -> Path:
    torch.manual_seed(0)
    backbone = LwDetrViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=64,
        pretrain_image_size=64,
        num_windows=4,
        window_block_indices=[0],
        out_indices=[1, 2],
    )
    model = LwDetrForObjectDetection(
        LwDetrConfig(backbone_config=backbone, projector_scale_factors=[1.0], **_as_lw_detr())
    )
    size = {"height": 64, "width": 64}
    return _finish(model, DeformableDetrImageProcessor(size=size, do_pad=False), folder)


def rf_detr(folder: Path) -> Path:
    model = RfDetrForObjectDetection(_rf_detr_config())
    return _finish(model, RfDetrImageProcessor(size={"height": 64, "width": 64}), folder)


def rf_detr_masks(folder: Path) -> Path:
    model = RfDetrForInstanceSegmentation(_rf_detr_config())
    return _finish(model, RfDetrImageProcessor(size={"height": 64, "width": 64}), folder)


def yolos(folder: Path) -> Path:
    torch.manual_seed(0)
    model = YolosForObjectDetection(
        YolosConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            image_size=[64, 96],
            num_detection_tokens=8,
            id2label=dict(enumerate(DETECTOR_LABELS)),
        )
    )
    for tokens in (model.vit.embeddings.detection_tokens, model.vit.embeddings.position_embeddings):
        nn.init.normal_(tokens, std=1.0)
    return _finish(model, YolosImageProcessor(size=BY_EDGES), folder)


DETECTORS: Mapping[str, Callable[[Path], Path]] = {
    "conditional_detr": conditional_detr,
    "deformable_detr": deformable_detr,
    "dab-detr": dab_detr,
    "rt_detr": rt_detr,
    "d_fine": d_fine,
    "deimv2": deimv2,
    "lw_detr": lw_detr,
    "rf_detr": rf_detr,
    "yolos": yolos,
}


def _as_detr(out_features: list[str]) -> dict[str, Any]:
    torch.manual_seed(0)
    backbone = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=out_features,
    )
    return {
        "backbone_config": backbone,
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "num_queries": 8,
        "id2label": dict(enumerate(DETECTOR_LABELS)),
    }


def _as_rt_detr(channels: list[int]) -> dict[str, Any]:
    return {
        "encoder_hidden_dim": 32,
        "encoder_in_channels": channels,
        "encoder_ffn_dim": 32,
        "encoder_attention_heads": 4,
        "d_model": 32,
        "num_queries": 12,
        "decoder_in_channels": [32, 32, 32],
        "decoder_ffn_dim": 32,
        "decoder_layers": 2,
        "decoder_attention_heads": 4,
        "id2label": dict(enumerate(DETECTOR_LABELS)),
    }


def _over_hgnet() -> dict[str, Any]:
    torch.manual_seed(0)
    backbone = HGNetV2Config(
        depths=[1, 1, 1, 1],
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 16, 24, 32],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[16, 24, 32, 40],
        hidden_sizes=[16, 24, 32, 40],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        out_indices=[2, 3, 4],
    )
    return {"backbone_config": backbone, **_as_rt_detr([24, 32, 40])}


def _as_lw_detr() -> dict[str, Any]:
    return {
        "d_model": 32,
        "c2f_num_blocks": 1,
        "decoder_ffn_dim": 32,
        "decoder_layers": 2,
        "decoder_self_attention_heads": 4,
        "decoder_cross_attention_heads": 4,
        "num_queries": 8,
        "group_detr": 2,
        "id2label": dict(enumerate(DETECTOR_LABELS)),
    }


def _rf_detr_config() -> RfDetrConfig:
    torch.manual_seed(0)
    backbone = RfDetrDinov2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=64,
        patch_size=8,
        num_windows=2,
        out_features=["stage1", "stage2"],
    )
    return RfDetrConfig(backbone_config=backbone, intermediate_size=64, **_as_lw_detr())


def _finish(model: Any, processor: Any, folder: Path) -> Path:
    """Scores on both sides of one half, different boxes for different queries."""
    enliven(model, *(one for one in model.modules() if isinstance(one, nn.Embedding)))
    for layer in last_layers(model, "class"):
        with torch.no_grad():
            layer.weight.mul_(1.5)
            layer.bias.zero_()
    for layer in last_layers(model, "bbox"):
        nn.init.normal_(layer.weight, std=0.5 / layer.in_features**0.5)
        nn.init.normal_(layer.bias, std=0.3)
    return save(model, processor, folder)


def last_layers(model: nn.Module, role: str) -> Iterator[nn.Linear]:
    """The layers that give the numbers of that role: a head is a layer, or ends in one."""
    for name, head in model.named_modules():
        if role in name and not any(role in part for part in name.split(".")[:-1]):
            for one in head if isinstance(head, nn.ModuleList) else [head]:
                linear = [layer for layer in one.modules() if isinstance(layer, nn.Linear)]
                yield from linear[-1:]
