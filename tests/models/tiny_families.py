"""The families of tiny checkpoints, by ``model_type``, a row each; ``tiny.py`` builds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import transformers

from tests.models import tiny_settings as sizes
from tests.models import tiny_weights as weights
from tests.models.tiny_settings import Settings
from tests.models.tiny_words import bert_tokenizer, clip_tokenizer

DETECTOR_LABELS = ("bolt", "nut", "gear")
SEGMENTER_LABELS = ("bolt", "nut", "gear", "tray", "belt")
NAMES = ("bolt", "Hex Nut", "gear")
"""What models that take texts look for."""

Processor = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Tiny:
    """A family: its model by name, the settings that make it tiny, what prepares images, and its weights."""

    model: str
    settings: Settings
    processor: Processor
    enliven: weights.Enliven
    labels: Sequence[str] = ()
    seed: int = 0


# ---- what prepares images, and texts ----


def _images(name: str, size: Mapping[str, int | None], **more: Any) -> Processor:
    return lambda: getattr(transformers, f"{name}ImageProcessor")(size=size, **more)


def _with_texts(name: str, images: Processor, tokenizer: Processor, **more: Any) -> Processor:
    return lambda: getattr(transformers, f"{name}Processor")(images(), tokenizer(), **more)


def _oneformer_images() -> Any:
    images = transformers.OneFormerImageProcessor(size=_SQUARE)
    images.class_info_file = "coco_panoptic.json"  # as real ones say; it is on the hub only
    return images


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


_MOBILE_HEAD = "segmentation_head.classifier.convolution"
_EDGES, _SQUARE = {"shortest_edge": 64, "longest_edge": 128}, _square(64)
_WORDS = ("a", "photo", "of", "detect", "bolt", "hex", "nut", "gear")
_AS_DETR = _images("Detr", _EDGES)
_AS_CONDITIONAL = _images("ConditionalDetr", _EDGES)
_AS_RT_DETR = _images("RTDetr", _square(96))
_AS_EOMT = _images("Eomt", {"shortest_edge": 64, "longest_edge": 64}, do_pad=True)
_AS_MOBILE_VIT = _images("MobileViT", {"shortest_edge": 72}, crop_size=_SQUARE)
_AS_SAM = _images("Sam", {"longest_edge": 128}, pad_size=_square(128))
_AS_SAM_2 = _images("Sam2", _square(128))
_SAM_3_TOKENS = partial(clip_tokenizer, ("bolt", "hex", "nut", "gear"), model_max_length=32)
_AS_SAM_3 = _with_texts("Sam3", _images("Sam3", _square(112)), _SAM_3_TOKENS)
_TASK_TOKENS = partial(clip_tokenizer, ("the", "task", "is", "panoptic", "instance"))
_AS_ONEFORMER = _with_texts(
    "OneFormer", _oneformer_images, _TASK_TOKENS, max_seq_length=8, task_seq_length=16
)
_AS_GROUNDING = _with_texts(
    "GroundingDino", _images("GroundingDino", _EDGES), partial(bert_tokenizer, _WORDS)
)
_OMDET_TOKENS = partial(clip_tokenizer, _WORDS, model_max_length=77)
_AS_OMDET = _with_texts("OmDetTurbo", _images("Detr", _SQUARE), _OMDET_TOKENS)
_OWL_TOKENS = partial(clip_tokenizer, _WORDS, model_max_length=16, pad_token="!")
_AS_OWL = _with_texts("OwlViT", _images("OwlViT", _SQUARE), _OWL_TOKENS)
_AS_OWL_2 = _with_texts("Owlv2", _images("Owlv2", _SQUARE), _OWL_TOKENS)


# ---- the table ----


def _detector(model: str, settings: Settings, processor: Processor) -> Tiny:
    return Tiny(f"{model}ForObjectDetection", settings, processor, weights.detecting, DETECTOR_LABELS)


def _segmenter(model: str, settings: Settings, processor: Processor, enliven: weights.Enliven) -> Tiny:
    return Tiny(model, settings, processor, enliven, SEGMENTER_LABELS)


def _semantic(
    model: str, settings: Settings, processor: Processor, last: str = "decode_head.classifier"
) -> Tiny:
    return _segmenter(f"{model}ForSemanticSegmentation", settings, processor, weights.labeling(last))


def _prompted(model: str, settings: Settings, processor: Processor) -> Tiny:
    return Tiny(f"{model}Model", settings, processor, weights.following_prompts)


def _zero_shot(model: str, settings: Settings, processor: Processor, enliven: weights.Enliven) -> Tiny:
    return Tiny(f"{model}ForObjectDetection", settings, processor, enliven)


DETECTORS = {
    "conditional_detr": _detector(
        "ConditionalDetr",
        {**sizes.LATER_DETR, "d_model": 32, "backbone_config": sizes.resnet(4)},
        _AS_CONDITIONAL,
    ),
    "deformable_detr": _detector(
        "DeformableDetr",
        {**sizes.LATER_DETR, "d_model": 32, "backbone_config": sizes.resnet(2, 3, 4)}
        | {"with_box_refine": True, "two_stage": True, "two_stage_num_proposals": 8},
        _images("DeformableDetr", _EDGES),
    ),
    "dab-detr": _detector(
        "DabDetr",
        {**sizes.LATER_DETR, "hidden_size": 32, "backbone_config": sizes.resnet(4)},
        _AS_CONDITIONAL,
    ),
    "rt_detr": _detector("RTDetr", sizes.RT_DETR, _AS_RT_DETR),
    "d_fine": _detector("DFine", sizes.OVER_HGNET, _AS_RT_DETR),
    "deimv2": _detector("Deimv2", sizes.OVER_HGNET, _AS_RT_DETR),
    "lw_detr": _detector(
        "LwDetr",
        {**sizes.LW_DETR, "backbone_config": sizes.LW_VIT, "projector_scale_factors": [1.0]},
        _images("DeformableDetr", _SQUARE, do_pad=False),
    ),
    "rf_detr": _detector(
        "RfDetr",
        {**sizes.LW_DETR, "backbone_config": sizes.RF_VIT, "intermediate_size": 64},
        _images("RfDetr", _SQUARE),
    ),
    "yolos": replace(
        _detector(
            "Yolos",
            {**sizes.LAYERS, "intermediate_size": 64, "image_size": [64, 96], "num_detection_tokens": 8},
            _images("Yolos", _EDGES),
        ),
        enliven=weights.detecting_by_tokens,
    ),
    "table-transformer": _detector(
        "TableTransformer", {**sizes.LATER_DETR, "d_model": 32, "backbone_config": sizes.resnet(4)}, _AS_DETR
    ),
}
UNIVERSAL = {
    "maskformer": _segmenter(
        "MaskFormerForInstanceSegmentation",
        sizes.each(32, "fpn_feature_size", "mask_feature_size")
        | {"decoder_config": sizes.MASKFORMER_DECODER, "backbone_config": sizes.swin(1, 2, 3, 4)},
        _images("MaskFormer", _SQUARE),
        weights.sure("class_predictor", "model.transformer_module.queries_embedder"),
    ),
    "oneformer": _segmenter(
        "OneFormerForUniversalSegmentation",
        sizes.MASK_QUERIES
        | sizes.each(16, "task_seq_len", "text_encoder_width")
        | {"text_encoder_context_length": 8, "text_encoder_num_layers": 1, "text_encoder_vocab_size": 64}
        | {"text_encoder_n_ctx": 2, "conv_dim": 32, "mask_dim": 32, "decoder_layers": 3},
        _AS_ONEFORMER,
        weights.sure(
            "model.transformer_module.decoder.class_embed", "model.transformer_module.queries_embedder"
        ),
    ),
    "eomt": _segmenter(
        "EomtForUniversalSegmentation",
        {**sizes.EOMT, "mlp_ratio": 2},
        _AS_EOMT,
        weights.sure("class_predictor", "embeddings.position_embeddings", "query"),
    ),
    "eomt_dinov3": _segmenter(
        "EomtDinov3ForUniversalSegmentation",
        {**sizes.EOMT, "intermediate_size": 64},
        _AS_EOMT,
        weights.sure("class_predictor", "query"),
    ),
}
SEMANTIC = {
    "segformer": _semantic(
        "Segformer",
        {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32], "num_attention_heads": [1, 1, 2, 2]}
        | {"mlp_ratios": [2, 2, 2, 2], "decoder_hidden_size": 32},
        _images("Segformer", _SQUARE),
    ),
    "upernet": _semantic(
        "UperNet",
        {**sizes.each(16, "hidden_size", "auxiliary_channels"), "auxiliary_in_channels": 24}
        | {"backbone_config": sizes.resnet(1, 2, 3, 4)},
        _images("Segformer", _SQUARE),
    ),
    "dpt": _semantic(
        "DPT",
        sizes.PIXEL_VIT
        | {"backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 16, 16]}
        | {"fusion_hidden_size": 16, "use_batch_norm_in_fusion_residual": True},
        _images("DPT", _SQUARE),
        "head.head.4",
    ),
    "beit": _semantic(
        "Beit",
        {**sizes.BEIT, "out_indices": [1, 2, 3, 4]},
        _images("Beit", _square(80), crop_size=_SQUARE, do_center_crop=True),
    ),
    "data2vec-vision": _semantic(
        "Data2VecVision", {**sizes.BEIT, "out_indices": [0, 1, 2, 3]}, _images("Beit", _SQUARE)
    ),
    "mobilenet_v2": replace(
        _semantic(
            "MobileNetV2",
            {"depth_multiplier": 0.35, "image_size": 64, "output_stride": 8},
            _images("MobileNetV2", {"shortest_edge": 64}, crop_size=_SQUARE),
            _MOBILE_HEAD,
        ),
        seed=1,
    ),
    "mobilevit": _semantic(
        "MobileViT",
        {**sizes.MOBILE, "hidden_sizes": [16, 16, 16], "num_attention_heads": 2}
        | {"neck_hidden_sizes": [4, 8, 8, 16, 16, 16, 32]},
        _AS_MOBILE_VIT,
        _MOBILE_HEAD,
    ),
    "mobilevitv2": _semantic(
        "MobileViTV2",
        {**sizes.MOBILE, "base_attn_unit_dims": [16, 16, 16], "n_attn_blocks": [1, 1, 1]}
        | {"width_multiplier": 0.25},
        _AS_MOBILE_VIT,
        _MOBILE_HEAD,
    ),
}
PROMPTED = {  # as the hub has them: also the models for videos, of which images need a part
    "sam": _prompted("Sam", sizes.SAM_1, _AS_SAM),
    "sam_hq": _prompted(
        "SamHQ", {**sizes.SAM_1, "mask_decoder_config": {**sizes.MASKS, "vit_dim": 32}}, _AS_SAM
    ),
    "sam2": _prompted("Sam2", sizes.SAM_2, _AS_SAM_2),
    "sam2_video": _prompted("Sam2Video", {**sizes.SAM_2, **sizes.VIDEO}, _AS_SAM_2),
    "edgetam": _prompted("EdgeTam", sizes.EDGETAM, _AS_SAM_2),
    "edgetam_video": _prompted(
        "EdgeTamVideo", {**sizes.EDGETAM, **sizes.VIDEO, **sizes.PERCEIVER}, _AS_SAM_2
    ),
    "sam3": _prompted("Sam3", sizes.SAM_3, _AS_SAM_3),
}
ZERO_SHOT = {
    "grounding-dino": _zero_shot("GroundingDino", sizes.GROUNDING, _AS_GROUNDING, weights.matching_words),
    "mm-grounding-dino": _zero_shot(
        "MMGroundingDino", sizes.GROUNDING, _AS_GROUNDING, weights.matching_words
    ),
    "omdet-turbo": _zero_shot("OmDetTurbo", sizes.OMDET, _AS_OMDET, weights.matching_classes),
    "owlvit": _zero_shot("OwlViT", sizes.OWL, _AS_OWL, weights.matching_texts),
    "owlv2": _zero_shot("Owlv2", sizes.OWL, _AS_OWL_2, weights.matching_texts),
}
MORE = {
    "detr": replace(
        _detector("Detr", sizes.DETR, _AS_DETR),
        enliven=weights.sure("class_labels_classifier", "model.query_position_embeddings"),
    ),
    "detr_panoptic": _segmenter("DetrForSegmentation", sizes.DETR, _AS_DETR, weights.sure_with_masks),
    "rt_detr_v2": replace(
        _detector("RTDetrV2", sizes.RT_DETR, _AS_RT_DETR),
        enliven=weights.sure("model.decoder.class_embed.1", no_object=False),
    ),
    "pp_doclayout_v2": _detector("PPDocLayoutV2", sizes.LAYOUT_2, _images("PPDocLayoutV2", _square(96))),
    "pp_doclayout_v3": _detector("PPDocLayoutV3", sizes.LAYOUT_3, _images("PPDocLayoutV3", _square(96))),
    "rf_detr_masks": replace(DETECTORS["rf_detr"], model="RfDetrForInstanceSegmentation"),
    "mask2former": _segmenter(
        "Mask2FormerForUniversalSegmentation",
        {**sizes.MASK_QUERIES, "feature_size": 32, "mask_feature_size": 32, "decoder_layers": 2},
        _images("Mask2Former", _SQUARE),
        weights.sure(
            "class_predictor",
            "model.transformer_module.queries_embedder",
            "model.transformer_module.queries_features",
        ),
    ),
    "eomt_in_pieces": replace(  # as it is trained for semantic segmentation
        UNIVERSAL["eomt"],
        processor=_images("Eomt", {"shortest_edge": 64, "longest_edge": None}, do_split_image=True),
    ),
}
ROWS = {**DETECTORS, **UNIVERSAL, **SEMANTIC, **PROMPTED, **ZERO_SHOT, **MORE}
