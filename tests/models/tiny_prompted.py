"""Tiny random-weight checkpoints of the SAM families, by ``model_type``. See ``tiny.py``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    CLIPTextConfig,
    EdgeTamConfig,
    EdgeTamModel,
    EdgeTamVideoConfig,
    EdgeTamVideoModel,
    Sam2Config,
    Sam2ImageProcessor,
    Sam2Model,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam3Config,
    Sam3ImageProcessor,
    Sam3Model,
    Sam3Processor,
    SamConfig,
    SamHQConfig,
    SamHQModel,
    SamImageProcessor,
    SamModel,
    TimmWrapperConfig,
)

from tests.models.tiny import save
from tests.models.tiny_words import clip_tokenizer

SIDE = 128
NAMES = ("bolt", "hex nut", "gear")
_PROMPTS: dict[str, Any] = {
    "hidden_size": 32,
    "image_size": SIDE,
    "patch_size": 16,
    "mask_input_channels": 4,
}
_MASKS: dict[str, Any] = {
    "hidden_size": 32,
    "mlp_dim": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "iou_head_hidden_dim": 16,
}
_VISION: dict[str, Any] = {
    "hidden_size": 32,
    "output_channels": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "window_size": 4,
    "global_attn_indexes": [1],
    "num_pos_feats": 16,
    "mlp_dim": 32,
}
_MEMORY: dict[str, Any] = {
    "image_size": SIDE,
    "memory_attention_hidden_size": 32,
    "memory_attention_num_layers": 1,
    "memory_encoder_hidden_size": 32,
    "memory_encoder_output_channels": 16,
    "mask_downsampler_embed_dim": 32,
    "memory_fuser_num_layers": 1,
    "memory_fuser_embed_dim": 32,
    "memory_fuser_intermediate_dim": 32,
}
"""What models for videos have beside those for images."""

_PYRAMID: dict[str, Any] = {
    "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    "fpn_hidden_size": 32,
}


def sam(folder: Path) -> Path:
    torch.manual_seed(0)
    config = SamConfig(vision_config=_VISION, prompt_encoder_config=_PROMPTS, mask_decoder_config=_MASKS)
    return _finish(SamModel(config), _square(), folder)


def sam_hq(folder: Path) -> Path:
    torch.manual_seed(0)
    masks = _MASKS | {"vit_dim": 32}
    config = SamHQConfig(vision_config=_VISION, prompt_encoder_config=_PROMPTS, mask_decoder_config=masks)
    return _finish(SamHQModel(config), _square(), folder)


def sam2(folder: Path) -> Path:
    torch.manual_seed(0)
    return _finish(Sam2Model(Sam2Config(**_sam2_settings())), _stretched(), folder)


def sam2_video(folder: Path) -> Path:
    """As the hub has SAM 2: the model for videos, of which images need a part."""
    torch.manual_seed(0)
    settings = _sam2_settings() | _MEMORY | {"memory_attention_rope_feat_sizes": [8, 8]}
    return _finish(Sam2VideoModel(Sam2VideoConfig(**settings)), _stretched(), folder)


def edgetam(folder: Path) -> Path:
    torch.manual_seed(0)
    return _finish(EdgeTamModel(EdgeTamConfig(**_edgetam_settings())), _stretched(), folder)


def edgetam_video(folder: Path) -> Path:
    torch.manual_seed(0)
    settings = (
        _edgetam_settings()
        | _MEMORY
        | {
            "memory_attention_rope_feat_sizes": [8, 8],
            "perceiver_resampler_hidden_size": 16,
            "perceiver_resampler_mlp_intermediate_size": 16,
            "perceiver_resampler_num_layers": 1,
            "perceiver_resampler_attention_head_dim": 16,
        }
    )
    return _finish(EdgeTamVideoModel(EdgeTamVideoConfig(**settings)), _stretched(), folder)


def sam3(folder: Path) -> Path:
    torch.manual_seed(0)
    layers = {"hidden_size": 32, "num_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    config = Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model",
                "hidden_size": 32,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 112,
                "patch_size": 14,
                "window_size": 4,
                "global_attn_indexes": [1],
                "pretrain_image_size": 56,
            },
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        },
        text_config=CLIPTextConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=32,
            projection_dim=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=32,
            bos_token_id=62,
            eos_token_id=63,
        ).to_dict(),
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config=layers | {"num_queries": 12},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 4},
    )
    model = Sam3Model(config)
    processor = Sam3Processor(
        Sam3ImageProcessor(size={"height": 112, "width": 112}),
        clip_tokenizer([word for name in NAMES for word in name.split()], model_max_length=32),
    )
    return _finish(model, processor, folder)


def sam3_video(folder: Path) -> Path:
    """As the hub has SAM 3: its model for images is the detector of the one for videos."""
    sam3(folder)
    config = json.loads((folder / "config.json").read_text())
    config = {"architectures": ["Sam3VideoModel"], "model_type": "sam3_video", "detector_config": config}
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    save_file(
        {f"detector_model.{key}": value for key, value in weights.items()}, folder / "model.safetensors"
    )
    return folder


BUILDERS: Mapping[str, Callable[[Path], Path]] = {
    "sam": sam,
    "sam_hq": sam_hq,
    "sam2": sam2,
    "sam2_video": sam2_video,
    "edgetam": edgetam,
    "edgetam_video": edgetam_video,
    "sam3": sam3,
    "sam3_video": sam3_video,
}


def _sam2_settings() -> dict[str, Any]:
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 16,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [16, 32, 64, 128],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [8, 4, 4, 2],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [7, 7],
    }
    vision = _PYRAMID | {"backbone_config": backbone, "backbone_channel_list": [128, 64, 32, 16]}
    return {
        "vision_config": {"model_type": "sam2_vision_model", **vision},
        "prompt_encoder_config": _PROMPTS,
        "mask_decoder_config": _MASKS,
    }


def _edgetam_settings() -> dict[str, Any]:
    backbone = TimmWrapperConfig(
        architecture="repvit_m1",
        model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
    )
    vision = _PYRAMID | {"backbone_config": backbone, "backbone_channel_list": [384, 192, 96, 48]}
    return {
        "vision_config": {"model_type": "edgetam_vision_model", **vision},
        "prompt_encoder_config": _PROMPTS,
        "mask_decoder_config": _MASKS,
    }


def _square() -> SamImageProcessor:
    side = {"height": SIDE, "width": SIDE}
    return SamImageProcessor(size={"longest_edge": SIDE}, pad_size=side)


def _stretched() -> Sam2ImageProcessor:
    return Sam2ImageProcessor(size={"height": SIDE, "width": SIDE})


def _finish(model: nn.Module, processor: Any, folder: Path) -> Path:
    """Weights large enough that masks follow boxes and image."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=1.5 / layer.weight[0].numel() ** 0.5)
    return save(model.eval(), processor, folder)
