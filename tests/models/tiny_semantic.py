"""Tiny random-weight checkpoints of the semantic families, by ``model_type``. See ``tiny.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    BeitConfig,
    BeitForSemanticSegmentation,
    BeitImageProcessor,
    Data2VecVisionConfig,
    Data2VecVisionForSemanticSegmentation,
    DPTConfig,
    DPTForSemanticSegmentation,
    DPTImageProcessor,
    MobileNetV2Config,
    MobileNetV2ForSemanticSegmentation,
    MobileNetV2ImageProcessor,
    MobileViTConfig,
    MobileViTForSemanticSegmentation,
    MobileViTImageProcessor,
    MobileViTV2Config,
    MobileViTV2ForSemanticSegmentation,
    ResNetConfig,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)

from tests.models.made import made_image
from tests.models.tiny import SEGMENTER_LABELS, enliven, save

ID2LABEL = dict(enumerate(SEGMENTER_LABELS))
SQUARE = {"height": 64, "width": 64}


def segformer(folder: Path) -> Path:
    torch.manual_seed(0)
    config = SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        num_attention_heads=[1, 1, 2, 2],
        mlp_ratios=[2, 2, 2, 2],
        decoder_hidden_size=32,
        id2label=ID2LABEL,
    )
    model = SegformerForSemanticSegmentation(config)
    return _finish(model, model.decode_head.classifier, SegformerImageProcessor(size=SQUARE), folder)


def upernet(folder: Path) -> Path:
    torch.manual_seed(0)
    backbone = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = UperNetConfig(
        backbone_config=backbone,
        hidden_size=16,
        auxiliary_in_channels=24,
        auxiliary_channels=16,
        id2label=ID2LABEL,
    )
    model = UperNetForSemanticSegmentation(config)
    return _finish(model, model.decode_head.classifier, SegformerImageProcessor(size=SQUARE), folder)


def dpt(folder: Path) -> Path:
    torch.manual_seed(0)
    config = DPTConfig(
        **_vit(),
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        auxiliary_channels=16,
        use_batch_norm_in_fusion_residual=True,
        id2label=ID2LABEL,
    )
    model = DPTForSemanticSegmentation(config)
    return _finish(model, model.head.head[-2], DPTImageProcessor(size=SQUARE), folder)


def beit(folder: Path) -> Path:
    torch.manual_seed(0)
    config = BeitConfig(**_beit(), out_indices=[1, 2, 3, 4])
    model = BeitForSemanticSegmentation(config)
    processor = BeitImageProcessor(size={"height": 80, "width": 80}, crop_size=SQUARE, do_center_crop=True)
    return _finish(model, model.decode_head.classifier, processor, folder)


def data2vec_vision(folder: Path) -> Path:
    torch.manual_seed(0)
    config = Data2VecVisionConfig(**_beit(), out_indices=[0, 1, 2, 3])
    model = Data2VecVisionForSemanticSegmentation(config)
    return _finish(model, model.decode_head.classifier, BeitImageProcessor(size=SQUARE), folder)


def mobilenet_v2(folder: Path) -> Path:
    torch.manual_seed(1)
    config = MobileNetV2Config(depth_multiplier=0.35, image_size=64, output_stride=8, id2label=ID2LABEL)
    model = MobileNetV2ForSemanticSegmentation(config)
    processor = MobileNetV2ImageProcessor(size={"shortest_edge": 64}, crop_size=SQUARE)
    return _finish(model, model.segmentation_head.classifier.convolution, processor, folder)


def mobilevit(folder: Path) -> Path:
    torch.manual_seed(0)
    config = MobileViTConfig(
        image_size=64,
        hidden_sizes=[16, 16, 16],
        neck_hidden_sizes=[4, 8, 8, 16, 16, 16, 32],
        num_attention_heads=2,
        aspp_out_channels=16,
        output_stride=8,
        id2label=ID2LABEL,
    )
    model = MobileViTForSemanticSegmentation(config)
    processor = MobileViTImageProcessor(size={"shortest_edge": 72}, crop_size=SQUARE)
    return _finish(model, model.segmentation_head.classifier.convolution, processor, folder)


def mobilevitv2(folder: Path) -> Path:
    torch.manual_seed(0)
    config = MobileViTV2Config(
        image_size=64,
        base_attn_unit_dims=[16, 16, 16],
        n_attn_blocks=[1, 1, 1],
        width_multiplier=0.25,
        aspp_out_channels=16,
        output_stride=8,
        id2label=ID2LABEL,
    )
    model = MobileViTV2ForSemanticSegmentation(config)
    processor = MobileViTImageProcessor(size={"shortest_edge": 72}, crop_size=SQUARE)
    return _finish(model, model.segmentation_head.classifier.convolution, processor, folder)


SEMANTIC: Mapping[str, Callable[[Path], Path]] = {
    "segformer": segformer,
    "upernet": upernet,
    "dpt": dpt,
    "beit": beit,
    "data2vec-vision": data2vec_vision,
    "mobilenet_v2": mobilenet_v2,
    "mobilevit": mobilevit,
    "mobilevitv2": mobilevitv2,
}


def _vit() -> dict[str, Any]:
    return {
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 64,
        "patch_size": 8,
    }


def _beit() -> dict[str, Any]:
    return {
        **_vit(),
        "use_relative_position_bias": True,
        "layer_scale_init_value": 1.0,
        "auxiliary_channels": 16,
        "id2label": ID2LABEL,
    }


def _finish(model: Any, classifier: nn.Conv2d, processor: Any, folder: Path) -> Path:
    enliven(model)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    nn.init.normal_(classifier.weight, std=4.0 / classifier.in_channels**0.5)
    _let_it_see_images(model, classifier, processor)
    return save(model, processor, folder)


def _let_it_see_images(model: nn.Module, classifier: nn.Conv2d, processor: Any) -> None:
    """Norms with statistics, without which activations fade from layer to layer; each class somewhere."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
            nn.init.ones_(layer.weight)
    images = [made_image(80, 80, seed=seed).rgb.copy() for seed in range(4)]
    inputs = processor(images=images, return_tensors="pt")
    with torch.no_grad():
        model.train()(**inputs)
        logits = model.eval()(**inputs).logits  # (4, labels, h, w)
        classifier.bias.sub_(logits.mean((0, 2, 3)))
