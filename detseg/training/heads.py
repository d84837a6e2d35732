"""A base with a new head: its backbone, which has learned to see, under one that answers something else."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import (
    SegformerImageProcessor,
    TimmBackbone,
    TimmBackboneConfig,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)
from transformers.backbone_utils import BackboneMixin

from detseg.errors import TrainingError
from detseg.models.backbone import find_backbone
from detseg.models.checkpoints import Checkpoint, quiet_library
from detseg.training.adapt import image_processor, longest_side

UPERNET = UperNetForSemanticSegmentation.__name__
"""The architecture of a base with that head."""

_N_MAPS = 4
"""Feature maps that the head reads: the last ones, of 1/4 to 1/32 of the image in most backbones."""

_MOST_CHANNELS = 512
"""Channels of the head over a large backbone, as Xiao et al. have it."""


def with_upernet(base: Checkpoint, *, seed: int) -> Checkpoint:
    """A UPerNet (Xiao et al., "Unified Perceptual Parsing", ECCV 2018) on the base's backbone.

    It has a class for every pixel and sees images as squares, of the base's longer side. The backbone's
    weights are the base's; the head's are the seed's, and it knows no class yet. TrainingError for a base
    whose backbone cannot be taken out of it.
    """
    if isinstance(base.model, UperNetForSemanticSegmentation):
        return base
    if (backbone := _find(base.model)) is None:
        raise TrainingError(
            f"{base.name} has no backbone of its own that a UPerNet could stand on: leave training.head at "
            '"own", or give --base a checkpoint with one (ResNet, Swin, ConvNeXt, timm)'
        )
    torch.manual_seed(seed)
    with quiet_library():
        model: Any = UperNetForSemanticSegmentation(_config(backbone))
    model.backbone.load_state_dict(backbone.state_dict(), strict=False)  # what only the head reads is new
    return Checkpoint(base.name, model.eval(), _square(base.processor))


def _find(model: Any) -> Any:
    """The backbone as transformers has them, or None. DETR and its kin keep timm's own, unwrapped."""
    modules = model.modules() if isinstance(model, torch.nn.Module) else ()
    if (found := next((one for one in modules if isinstance(one, BackboneMixin)), None)) is not None:
        return found
    inner, config = find_backbone(model), getattr(model.config, "backbone_config", None)
    if inner is None or not isinstance(config, TimmBackboneConfig):
        return None
    config = copy.deepcopy(config)
    config.use_pretrained_backbone = False  # the weights are the base's
    backbone: Any = TimmBackbone(config)
    result = backbone._backbone.load_state_dict(inner.state_dict(), strict=False)
    missing = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
    return None if missing or result.unexpected_keys else backbone  # frozen norms count no batches


def _config(backbone: Any) -> UperNetConfig:
    config = copy.deepcopy(backbone.config)
    config.out_indices = list(range(len(backbone.stage_names)))[-_N_MAPS:]
    return UperNetConfig(
        backbone_config=config,
        hidden_size=min(_MOST_CHANNELS, max(backbone.num_features) // 3),
        use_auxiliary_head=False,
    )


def _square(processor: Any) -> SegformerImageProcessor:
    """A processor that prepares images as the base's does, but for their shape."""
    images, side = image_processor(processor), longest_side(processor)
    known = {name: getattr(images, name, None) for name in ("image_mean", "image_std", "rescale_factor")}
    return SegformerImageProcessor(
        size={"height": side, "width": side},
        do_normalize=bool(getattr(images, "do_normalize", True)),
        **{name: value for name, value in known.items() if value is not None},
    )
