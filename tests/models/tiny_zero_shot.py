"""Tiny random-weight checkpoints of the zero-shot families, by ``model_type``. See ``tiny.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    BertConfig,
    CLIPTextConfig,
    DetrImageProcessor,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    OmDetTurboConfig,
    OmDetTurboForObjectDetection,
    OmDetTurboProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    Owlv2Processor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    OwlViTProcessor,
    SwinConfig,
)

from tests.models.tiny import enliven, save
from tests.models.tiny_detection import last_layers
from tests.models.tiny_words import bert_tokenizer, clip_tokenizer

NAMES = ("bolt", "Hex Nut", "gear")
WORDS = ("a", "photo", "of", "detect", "bolt", "hex", "nut", "gear")
SQUARE = {"height": 64, "width": 64}


def grounding_dino(folder: Path) -> Path:
    return _grounding(GroundingDinoForObjectDetection(GroundingDinoConfig(**_grounding_settings())), folder)


def mm_grounding_dino(folder: Path) -> Path:
    return _grounding(
        MMGroundingDinoForObjectDetection(MMGroundingDinoConfig(**_grounding_settings())), folder
    )


def omdet_turbo(folder: Path) -> Path:
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=128,
        hidden_size=48,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        projection_dim=48,
    )
    config = OmDetTurboConfig(
        text_config=text,
        backbone_config=_swin(),
        image_size=64,
        apply_layernorm_after_vision_backbone=False,  # for timm's backbones alone
        text_projection_in_dim=48,
        text_projection_out_dim=48,
        task_encoder_hidden_dim=48,
        class_embed_dim=48,
        num_queries=12,
        encoder_hidden_dim=32,
        vision_features_channels=[32, 32, 32],
        encoder_in_channels=[16, 32, 64],
        encoder_attention_heads=2,
        encoder_dim_feedforward=32,
        decoder_hidden_dim=32,
        decoder_num_heads=2,
        decoder_num_layers=2,
        decoder_dim_feedforward=32,
    )
    model = OmDetTurboForObjectDetection(config)
    processor = OmDetTurboProcessor(
        DetrImageProcessor(size=SQUARE), clip_tokenizer(WORDS, model_max_length=77)
    )
    enliven(model)
    nn.init.normal_(model.language_backbone.text_projection)
    for layer in last_layers(model, "bbox"):
        nn.init.normal_(layer.weight, std=0.5 / layer.in_features**0.5)
    return save(model, processor, folder)


def owlvit(folder: Path) -> Path:
    model = OwlViTForObjectDetection(OwlViTConfig(**_owl_settings()))
    processor = OwlViTProcessor(OwlViTImageProcessor(size=SQUARE), _owl_tokenizer())
    return _owl(model, model.owlvit.vision_model, processor, folder)


def owlv2(folder: Path) -> Path:
    model = Owlv2ForObjectDetection(Owlv2Config(**_owl_settings()))
    processor = Owlv2Processor(Owlv2ImageProcessor(size=SQUARE), _owl_tokenizer())
    return _owl(model, model.owlv2.vision_model, processor, folder)


ZERO_SHOT: Mapping[str, Callable[[Path], Path]] = {
    "grounding-dino": grounding_dino,
    "mm-grounding-dino": mm_grounding_dino,
    "omdet-turbo": omdet_turbo,
    "owlvit": owlvit,
    "owlv2": owlv2,
}


def _swin() -> SwinConfig:
    return SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_indices=[2, 3, 4],
    )


def _grounding_settings() -> dict[str, Any]:
    torch.manual_seed(0)
    text = BertConfig(
        vocab_size=1050,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    return {
        "backbone_config": _swin(),
        "text_config": text,
        "num_queries": 20,
        "encoder_layers": 1,
        "encoder_ffn_dim": 32,
        "encoder_attention_heads": 4,
        "decoder_layers": 2,
        "decoder_ffn_dim": 32,
        "decoder_attention_heads": 4,
        "d_model": 32,
        "num_feature_levels": 4,
        "max_text_len": 32,
    }


def _grounding(model: Any, folder: Path) -> Path:
    enliven(model, *(one for one in model.modules() if isinstance(one, nn.Embedding)))
    for name, bias in model.named_parameters():
        if "class_embed" in name and name.endswith("bias"):
            nn.init.zeros_(bias)
    processor = GroundingDinoProcessor(
        GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 128}), bert_tokenizer(WORDS)
    )
    return save(model, processor, folder)


def _owl_settings() -> dict[str, Any]:
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    return {
        "text_config": {**sizes, "vocab_size": 128},
        "vision_config": {**sizes, "image_size": 64, "patch_size": 16},
        "projection_dim": 32,
    }


def _owl_tokenizer() -> Any:
    return clip_tokenizer(WORDS, model_max_length=16, pad_token="!")


def _owl(model: Any, vision: Any, processor: Any, folder: Path) -> Path:
    enliven(model, *(one for one in model.modules() if isinstance(one, nn.Embedding)))
    nn.init.normal_(vision.embeddings.patch_embedding.weight, std=0.1)
    return save(model, processor, folder)
