"""Tiny random-weight checkpoints of the mask families, by ``model_type``. See ``tiny.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    DetrConfig,
    EomtConfig,
    EomtDinov3Config,
    EomtDinov3ForUniversalSegmentation,
    EomtForUniversalSegmentation,
    EomtImageProcessor,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    MaskFormerImageProcessor,
    OneFormerConfig,
    OneFormerForUniversalSegmentation,
    OneFormerImageProcessor,
    OneFormerProcessor,
    SwinConfig,
)

from tests.models.tiny import SEGMENTER_LABELS, enliven, make_sure, save
from tests.models.tiny_words import clip_tokenizer

ID2LABEL = dict(enumerate(SEGMENTER_LABELS))


def maskformer(folder: Path) -> Path:
    torch.manual_seed(0)
    decoder = DetrConfig(
        d_model=32,
        decoder_layers=1,
        encoder_layers=1,
        decoder_attention_heads=4,
        encoder_attention_heads=4,
        decoder_ffn_dim=32,
        encoder_ffn_dim=32,
        num_queries=10,
    )
    config = MaskFormerConfig(
        backbone_config=_swin(),
        decoder_config=decoder,
        fpn_feature_size=32,
        mask_feature_size=32,
        id2label=ID2LABEL,
    )
    model = MaskFormerForInstanceSegmentation(config)
    enliven(model, model.model.transformer_module.queries_embedder)
    make_sure(model.class_predictor, no_object=True)
    return save(model, MaskFormerImageProcessor(size={"height": 64, "width": 64}), folder)


def oneformer(folder: Path) -> Path:
    torch.manual_seed(0)
    config = OneFormerConfig(
        backbone_config=_swin(),
        num_queries=10,
        task_seq_len=16,
        text_encoder_width=16,
        text_encoder_context_length=8,
        text_encoder_num_layers=1,
        text_encoder_vocab_size=64,
        text_encoder_n_ctx=2,
        conv_dim=32,
        mask_dim=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        encoder_layers=1,
        decoder_layers=3,
        num_attention_heads=4,
        id2label=ID2LABEL,
    )
    model = OneFormerForUniversalSegmentation(config)
    embedding = model.model.transformer_module.queries_embedder
    enliven(model, embedding)
    make_sure(model.model.transformer_module.decoder.class_embed, no_object=True)
    images = OneFormerImageProcessor(size={"height": 64, "width": 64})
    images.class_info_file = "coco_panoptic.json"  # as real ones say; it is on the hub only
    processor = OneFormerProcessor(
        images,
        clip_tokenizer(["the", "task", "is", "panoptic", "instance"]),
        max_seq_length=8,
        task_seq_length=16,
    )
    return save(model, processor, folder)


def eomt(folder: Path) -> Path:
    torch.manual_seed(0)
    model = EomtForUniversalSegmentation(EomtConfig(mlp_ratio=2, **_vit()))
    return _finish_eomt(model, folder)


def eomt_in_pieces(folder: Path) -> Path:
    """As it is trained for semantic segmentation."""
    torch.manual_seed(0)
    model = EomtForUniversalSegmentation(EomtConfig(mlp_ratio=2, **_vit()))
    size = {"shortest_edge": 64, "longest_edge": None}
    return _finish_eomt(model, folder, EomtImageProcessor(size=size, do_split_image=True))


def eomt_dinov3(folder: Path) -> Path:
    torch.manual_seed(0)
    model = EomtDinov3ForUniversalSegmentation(EomtDinov3Config(intermediate_size=64, **_vit()))
    return _finish_eomt(model, folder)


UNIVERSAL: Mapping[str, Callable[[Path], Path]] = {
    "maskformer": maskformer,
    "oneformer": oneformer,
    "eomt": eomt,
    "eomt_dinov3": eomt_dinov3,
}


def _swin() -> SwinConfig:
    return SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def _vit() -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 8,
        "num_blocks": 1,
        "num_upscale_blocks": 1,
        "num_queries": 10,
        "id2label": ID2LABEL,
    }


def _finish_eomt(model: Any, folder: Path, processor: Any = None) -> Path:
    enliven(model, *(one for one in model.modules() if isinstance(one, nn.Embedding)))
    make_sure(model.class_predictor, no_object=True)
    size = {"shortest_edge": 64, "longest_edge": 64}
    return save(model, processor or EomtImageProcessor(size=size, do_pad=True), folder)
