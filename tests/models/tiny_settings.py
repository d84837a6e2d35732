"""The settings that make models tiny. A part of a model that is a model of its own says its type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Settings = dict[str, Any]


def resnet(*stages: int, kind: str = "resnet") -> Settings:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
    return sizes | {"model_type": kind, "layer_type": "basic", "out_features": [f"stage{n}" for n in stages]}


def swin(*stages: int) -> Settings:
    sizes = {"image_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
    return sizes | {"model_type": "swin", "window_size": 4, "out_features": [f"stage{n}" for n in stages]}


def each(n: int, *names: str) -> dict[str, int]:
    return dict.fromkeys(names, n)


HGNET = (
    {"model_type": "hgnet_v2", "depths": [1, 1, 1, 1], "stem_channels": [3, 8, 8], "out_indices": [2, 3, 4]}
    | {"stage_in_channels": [8, 16, 24, 32], "stage_mid_channels": [8, 8, 8, 8]}
    | {"stage_out_channels": [16, 24, 32, 40], "hidden_sizes": [16, 24, 32, 40]}
    | {"stage_num_blocks": [1, 1, 1, 1], "stage_numb_of_layers": [1, 1, 1, 1]}
)
ENCODER = {"encoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 32}
DECODER = {"decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 32}
LATER_DETR = {**ENCODER, **DECODER, "num_queries": 8}
MASKFORMER_DECODER = (
    ENCODER | DECODER | {"model_type": "detr", "d_model": 32, "decoder_layers": 1, "num_queries": 10}
)
DETR = (
    LATER_DETR
    | each(8, "encoder_attention_heads", "decoder_attention_heads")
    | {"d_model": 32, "decoder_layers": 1, "backbone_config": resnet(1, 2, 3, 4)}
)
RT_DETR = (
    DECODER
    | each(32, "d_model", "encoder_hidden_dim", "encoder_ffn_dim")
    | {"encoder_attention_heads": 4, "num_queries": 12, "decoder_in_channels": [32, 32, 32]}
    | {"encoder_in_channels": [16, 24, 32], "backbone_config": resnet(2, 3, 4, kind="rt_detr_resnet")}
)
OVER_HGNET = {**RT_DETR, "encoder_in_channels": [24, 32, 40], "backbone_config": HGNET}
READING_ORDER = (
    {"num_hidden_layers": 1, "num_attention_heads": 2}
    | each(32, "hidden_size", "intermediate_size")
    | each(8, "relation_bias_embed_dim", "global_pointer_head_size")
)
LAYOUT_2 = (
    OVER_HGNET
    | {"reading_order_config": READING_ORDER}
    | {"class_thresholds": [0.5, 0.5, 0.5], "class_order": [0, 1, 2]}
)
LAYOUT_3 = (
    OVER_HGNET
    | {"backbone_config": {**HGNET, "out_indices": [1, 2, 3, 4]}, "mask_feature_channels": [16, 16]}
    | {"x4_feat_dim": 16, "num_prototypes": 8, "global_pointer_head_size": 8}
)
LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
LW_DETR = (
    each(32, "d_model", "decoder_ffn_dim")
    | each(4, "decoder_self_attention_heads", "decoder_cross_attention_heads")
    | {"num_queries": 8, "c2f_num_blocks": 1, "decoder_layers": 2, "group_detr": 2}
)
LW_VIT = (
    LAYERS
    | {"model_type": "lw_detr_vit", "image_size": 64, "pretrain_image_size": 64}
    | {"num_windows": 4, "window_block_indices": [0], "out_indices": [1, 2]}
)
RF_VIT = (
    LAYERS
    | {"model_type": "rf_detr_dinov2", "image_size": 64, "patch_size": 8}
    | {"num_windows": 2, "out_features": ["stage1", "stage2"]}
)
MASK_QUERIES = (
    each(32, "hidden_dim", "encoder_feedforward_dim", "dim_feedforward")
    | {"backbone_config": swin(1, 2, 3, 4)}
    | {"num_queries": 10, "encoder_layers": 1, "num_attention_heads": 4}
)
EOMT = (
    LAYERS
    | each(1, "num_blocks", "num_upscale_blocks")
    | {"num_hidden_layers": 3, "image_size": 64, "patch_size": 8, "num_queries": 10}
)
PIXEL_VIT = (
    each(16, "hidden_size", "auxiliary_channels")
    | {"num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
    | {"image_size": 64, "patch_size": 8}
)
BEIT = {**PIXEL_VIT, "use_relative_position_bias": True, "layer_scale_init_value": 1.0}
MOBILE = {"image_size": 64, "aspp_out_channels": 16, "output_stride": 8}
MASKS = {**LAYERS, "mlp_dim": 32, "num_attention_heads": 4, "iou_head_hidden_dim": 16}
PROMPTS = {"hidden_size": 32, "image_size": 128, "patch_size": 16, "mask_input_channels": 4}
SAM = {"prompt_encoder_config": PROMPTS, "mask_decoder_config": MASKS}
SAM_VIT = (
    LAYERS
    | each(32, "output_channels", "mlp_dim")
    | {"image_size": 128, "window_size": 4, "global_attn_indexes": [1], "num_pos_feats": 16}
)
SAM_1 = {**SAM, "vision_config": SAM_VIT}
PYRAMID = {"backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]], "fpn_hidden_size": 32}
HIERA = (
    {"model_type": "sam2_hiera_det_model", "hidden_size": 16, "image_size": [128, 128]}
    | {"blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": [16, 32, 64, 128]}
    | {"num_attention_heads_per_stage": [1, 2, 4, 8], "window_size_per_stage": [8, 4, 4, 2]}
    | {"global_attention_blocks": [3], "window_positional_embedding_background_size": [7, 7]}
)
REPVIT = {
    "model_type": "timm_wrapper",
    "architecture": "repvit_m1",
    "model_args": {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
    "label_names": ["LABEL_0", "LABEL_1"],  # else those of ImageNet, of which there are 1,000
    "num_classes": 2,
}


def pyramid(kind: str, backbone: Settings, channels: Sequence[int]) -> Settings:
    parts = {"model_type": kind, "backbone_config": backbone, "backbone_channel_list": channels}
    return {**SAM, "vision_config": {**PYRAMID, **parts}}


SAM_2 = pyramid("sam2_vision_model", HIERA, [128, 64, 32, 16])
EDGETAM = pyramid("edgetam_vision_model", REPVIT, [384, 192, 96, 48])
VIDEO = (
    each(32, "memory_attention_hidden_size", "memory_encoder_hidden_size", "mask_downsampler_embed_dim")
    | each(32, "memory_fuser_embed_dim", "memory_fuser_intermediate_dim")
    | each(1, "memory_attention_num_layers", "memory_fuser_num_layers")
    | {"image_size": 128, "memory_attention_rope_feat_sizes": [8, 8], "memory_encoder_output_channels": 16}
)
"""What models for videos have beside those for images."""

PERCEIVER = (
    each(16, "perceiver_resampler_hidden_size", "perceiver_resampler_mlp_intermediate_size")
    | each(16, "perceiver_resampler_attention_head_dim")
    | each(1, "perceiver_resampler_num_layers")
)
SAM_3_VIT = (
    {**LAYERS, "model_type": "sam3_vit_model", "intermediate_size": 32}
    | {"image_size": 112, "patch_size": 14, "pretrain_image_size": 56}
    | {"window_size": 4, "global_attn_indexes": [1]}
)
SAM_3_TEXT = (
    {"model_type": "clip_text_model", "num_hidden_layers": 1, "num_attention_heads": 2}
    | each(32, "hidden_size", "intermediate_size", "projection_dim", "max_position_embeddings")
    | {"vocab_size": 64, "bos_token_id": 62, "eos_token_id": 63}
)
SAM_3_LAYERS = {"hidden_size": 32, "num_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
SAM_3 = {
    "vision_config": {**PYRAMID, "backbone_config": SAM_3_VIT},
    "text_config": SAM_3_TEXT,
    "geometry_encoder_config": SAM_3_LAYERS,
    "detr_encoder_config": SAM_3_LAYERS,
    "detr_decoder_config": {**SAM_3_LAYERS, "num_queries": 12},
    "mask_decoder_config": {"hidden_size": 32, "num_attention_heads": 4},
}
BERT = (
    {"model_type": "bert", "vocab_size": 1050, "max_position_embeddings": 64}
    | each(32, "hidden_size", "intermediate_size")
    | {"num_hidden_layers": 1, "num_attention_heads": 2}
)
GROUNDING = (
    {**ENCODER, **DECODER, "backbone_config": swin(2, 3, 4), "text_config": BERT}
    | each(32, "d_model", "max_text_len")
    | {"num_queries": 20, "num_feature_levels": 4}
)
CLIP = (
    {"model_type": "clip_text_model", "vocab_size": 128, "intermediate_size": 32}
    | each(48, "hidden_size", "projection_dim")
    | {"num_hidden_layers": 1, "num_attention_heads": 2}
)
OMDET = (
    {"text_config": CLIP, "backbone_config": swin(2, 3, 4), "image_size": 64, "num_queries": 12}
    | {"apply_layernorm_after_vision_backbone": False}  # for timm's backbones alone
    | each(48, "text_projection_in_dim", "text_projection_out_dim", "task_encoder_hidden_dim")
    | each(48, "class_embed_dim")
    | each(32, "encoder_hidden_dim", "encoder_dim_feedforward", "decoder_hidden_dim")
    | each(32, "decoder_dim_feedforward")
    | each(2, "encoder_attention_heads", "decoder_num_heads", "decoder_num_layers")
    | {"vision_features_channels": [32, 32, 32], "encoder_in_channels": [16, 32, 64]}
)
OWL_TOWER = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
OWL = {
    "text_config": {**OWL_TOWER, "vocab_size": 128},
    "vision_config": {**OWL_TOWER, "image_size": 64, "patch_size": 16},
    "projection_dim": 32,
}
