"""Checkpoints of torchvision as folders: ``config.json`` names the builder, ``model.safetensors`` the rest.

torchvision itself saves bare state dicts, as pickles, without the sizes and thresholds that the model was
built with. ``save_torchvision`` writes all of it down, ``load_torchvision`` builds the model again, without
a download.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

from detseg.errors import ModelError
from detseg.files import replacing, write_whole
from detseg.models.bounds import check_n_labels, check_preprocessing
from detseg.models.checkpoint_files import find_checkpoint, read_json
from detseg.models.checkpoints import Checkpoint, check_folder, loading

BACKGROUND = "__background__"
"""torchvision's name of the label id that is no class; ids without a name are none either."""

_Setting = Callable[[Any], Any]
_COMMON: dict[str, _Setting] = {
    "image_mean": lambda model: list(model.transform.image_mean),
    "image_std": lambda model: list(model.transform.image_std),
}
_RESIZED: dict[str, _Setting] = _COMMON | {
    "min_size": lambda model: model.transform.min_size[-1],
    "max_size": lambda model: model.transform.max_size,
}
_SUPPRESSED: dict[str, _Setting] = {
    "nms_thresh": lambda model: model.nms_thresh,
    "detections_per_img": lambda model: model.detections_per_img,
    "topk_candidates": lambda model: model.topk_candidates,
}
_PROPOSED: dict[str, _Setting] = {
    "rpn_pre_nms_top_n_test": lambda model: model.rpn._pre_nms_top_n["testing"],
    "rpn_post_nms_top_n_test": lambda model: model.rpn._post_nms_top_n["testing"],
    "rpn_nms_thresh": lambda model: model.rpn.nms_thresh,
    "rpn_score_thresh": lambda model: model.rpn.score_thresh,
    "box_nms_thresh": lambda model: model.roi_heads.nms_thresh,
    "box_detections_per_img": lambda model: model.roi_heads.detections_per_img,
}
SETTINGS: Mapping[str, Mapping[str, _Setting]] = {
    "fasterrcnn": _RESIZED | _PROPOSED,
    "maskrcnn": _RESIZED | _PROPOSED,
    "retinanet": _RESIZED | _SUPPRESSED,
    "fcos": _RESIZED | _SUPPRESSED,
    "ssd300": _COMMON | _SUPPRESSED,
    "ssdlite320": _COMMON | _SUPPRESSED,
}
"""By the first word of a detector's builder: its keywords that change an answer, read from a model."""

_SEMANTIC_FAMILIES = ("deeplabv3", "fcn", "lraspp")
_SEMANTIC: Mapping[str, Any] = {
    "resize_size": 520,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
"""The preparation of an image for a semantic model, which keeps none of it; the values are torchvision's."""

_IN_PIXELS = ("min_size", "max_size", "resize_size")
_OF_ALL = frozenset({"model_type", "architectures", "id2label", "thing_labels", "frozen_norm_eps"})
_AUXILIARY = "aux_classifier."
"""The head of semantic models that only training needs."""


@dataclass(frozen=True, slots=True)
class TorchvisionConfig:
    """``config.json``: the builder, the class names by label id, and the keywords of the builder.

    ``frozen_norm_eps`` is the epsilon of frozen batch norms; builders without weights make ordinary ones.
    """

    builder: str
    id2label: Mapping[int, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    frozen_norm_eps: float | None = None
    thing_labels: tuple[str, ...] | None = None

    @property
    def semantic(self) -> bool:
        return self.builder.split("_")[0] not in SETTINGS

    def to_dict(self) -> dict[str, Any]:
        """Return what changes an answer, for the model version."""
        return {
            "builder": self.builder,
            "settings": dict(self.settings),
            "frozen_norm_eps": self.frozen_norm_eps,
        }


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The preparation of an image for the model; a detector does all of it itself (None)."""

    resize_size: int | None = None
    image_mean: tuple[float, ...] | None = None
    image_std: tuple[float, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"resize_size": self.resize_size, "mean": self.image_mean, "std": self.image_std}


def save_torchvision(
    model: nn.Module,
    folder: str | Path,
    *,
    builder: str,
    labels: Sequence[str],
    resize_size: int | None = None,
) -> Path:
    """The folder, which then holds a torchvision model as a checkpoint.

    ``builder`` is the name of the function that made the model (``"maskrcnn_resnet50_fpn"``), ``labels`` are
    its class names by label id, with ``"__background__"`` (as in ``weights.meta["categories"]``).
    ``resize_size`` is the shorter side of images for a semantic model (520 if None). ModelError if the
    builder does not make such a model: another number of classes, other layers, anchors of one's own.
    """
    if builder.split("_")[0] not in (*SETTINGS, *_SEMANTIC_FAMILIES) or builder not in models.list_models():
        raise ModelError(f"{builder!r} is no builder of torchvision for detection or segmentation")
    config = TorchvisionConfig(
        builder,
        {i: name for i, name in enumerate(labels) if name != BACKGROUND},
        _read_settings(model, builder, resize_size),
        _frozen_norm_eps(model),
    )
    weights = {
        key: value.detach().cpu().contiguous()
        for key, value in model.state_dict().items()
        if not key.startswith(_AUXILIARY)
    }
    twin = _load_weights(str(folder), build(config, n_classes=len(labels)), weights)
    if _anchors(twin) != _anchors(model):
        raise ModelError(f"{builder} has other anchors than this model, and config.json cannot hold them")
    Path(folder).mkdir(parents=True, exist_ok=True)
    content = {
        "model_type": "torchvision",
        "architectures": [builder],
        "id2label": {str(i): name for i, name in config.id2label.items()},
        **config.settings,
        **({} if config.frozen_norm_eps is None else {"frozen_norm_eps": config.frozen_norm_eps}),
    }
    with replacing(Path(folder) / "model.safetensors", binary=True) as file:
        file.write(save(weights))
    write_whole(Path(folder) / "config.json", json.dumps(content, indent=2) + "\n")
    return Path(folder)


def load_torchvision(name: str, architecture: str) -> Checkpoint:
    """The model of a folder that ``save_torchvision`` wrote. ModelError, in one line, for any other."""
    folder = Path(find_checkpoint(name))
    content = read_json(name, folder / "config.json")
    config = _read_config(name, architecture, content)
    check_folder(name, folder, content)
    check_preprocessing(name, {key: content[key] for key in _IN_PIXELS if key in content})
    with loading(name):
        check_n_labels(name, folder, max(config.id2label) + 1)
        weights = load_file(folder / "model.safetensors")
        model = build(config, n_classes=max(config.id2label) + 1)
        _load_weights(name, model, weights)
    broken = [key for key, value in weights.items() if not bool(value.isfinite().all())]
    if broken:
        raise ModelError(f"{name} has weights that are not numbers ({broken[0]}): the checkpoint is damaged")
    model.config = config  # type: ignore[assignment]  # as transformers' models have theirs
    preprocessing = Preprocessing()
    if config.semantic:
        preprocessing = Preprocessing(
            config.settings["resize_size"],
            tuple(config.settings["image_mean"]),
            tuple(config.settings["image_std"]),
        )
    return Checkpoint(name, model.eval().requires_grad_(False), preprocessing)


_DRAWING = (torch.Tensor.uniform_, torch.Tensor.normal_)


class _ZeroWeights(TorchFunctionMode):
    """Make new weights zero: random ones take a second to draw, and those of the file replace them."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if function in _DRAWING or getattr(function, "__module__", "") == nn.init.__name__:
            return (args[0] if args else named["tensor"]).detach().zero_()
        return function(*args, **named)


def build(config: TorchvisionConfig, *, n_classes: int, drawn: bool = False) -> nn.Module:
    """The model with zeros for weights, which are to be loaded, or with ``drawn`` random ones."""
    keywords = {} if config.semantic else dict(config.settings)
    with nullcontext() if drawn else _ZeroWeights():
        model: Any = models.get_model(
            config.builder, weights=None, weights_backbone=None, num_classes=n_classes, **keywords
        )
    if config.frozen_norm_eps is not None:
        for layer in model.backbone.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = config.frozen_norm_eps
    return cast(nn.Module, model)


def _load_weights(name: str, model: nn.Module, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    """The model with these weights; ModelError if one is missing, too many, or of another shape."""
    try:
        result = model.load_state_dict(dict(weights), strict=False)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{name} has weights of another model, or number of classes: {reason}") from error
    wrong = [
        key
        for key in (*result.missing_keys, *result.unexpected_keys)
        if not key.startswith(_AUXILIARY) and not key.endswith("num_batches_tracked")
    ]
    if wrong:
        raise ModelError(
            f"{name} has weights of another model: missing or too many are {len(wrong)}, first {wrong[0]}"
        )
    return model


def _read_settings(model: nn.Module, builder: str, resize_size: int | None) -> dict[str, Any]:
    family = builder.split("_")[0]
    if family not in SETTINGS:
        known = getattr(model, "config", None)  # of one that was loaded
        given = known.settings if isinstance(known, TorchvisionConfig) else _SEMANTIC
        return dict(given) | ({} if resize_size is None else {"resize_size": resize_size})
    try:
        return {keyword: read(model) for keyword, read in SETTINGS[family].items()}
    except AttributeError as error:
        raise ModelError(f"this {type(model).__name__} was not made by {builder} ({error})") from error


def _frozen_norm_eps(model: nn.Module) -> float | None:
    found = {layer.eps for layer in model.modules() if isinstance(layer, FrozenBatchNorm2d)}
    if len(found) > 1:
        raise ModelError(f"frozen batch norms of one model have one epsilon, not {sorted(found)}")
    return found.pop() if found else None


def _anchors(model: Any) -> Any:
    """The settings of what makes a detector's anchors."""
    generator = getattr(getattr(model, "rpn", model), "anchor_generator", None)
    names = ("sizes", "aspect_ratios", "scales", "steps", "clip")
    return [_as_lists(getattr(generator, name, None)) for name in names]


def _as_lists(value: Any) -> Any:
    return [_as_lists(one) for one in value] if isinstance(value, list | tuple) else value


def _read_config(name: str, builder: str, content: Mapping[str, Any]) -> TorchvisionConfig:
    def wrong(what: str) -> ModelError:
        return ModelError(f"{name} cannot be loaded: {what} in config.json (see docs/families.md)")

    try:
        id2label = {int(i): str(label) for i, label in content["id2label"].items() if label != BACKGROUND}
    except (KeyError, ValueError, AttributeError) as error:
        raise wrong('"id2label" with names by label id was expected') from error
    if not id2label or min(id2label) < 0:
        raise wrong('"id2label" names no class')
    defaults = {} if builder.split("_")[0] in SETTINGS else dict(_SEMANTIC)
    known = SETTINGS.get(builder.split("_")[0], _SEMANTIC)
    settings = {key: value for key, value in content.items() if key not in _OF_ALL}
    if unknown := sorted(set(settings) - set(known)):
        raise wrong(f"{unknown[0]!r} is no setting of {builder} ({', '.join(sorted(known))})")
    for key, value in settings.items():
        if not _fits(key, value):
            raise wrong(f"{key!r} is {value!r}, which does not fit")
    eps = content.get("frozen_norm_eps")
    if eps is not None and not _is_number(eps):
        raise wrong(f'"frozen_norm_eps" is {eps!r}')
    declared = content.get("thing_labels")
    things = None if declared is None else tuple(map(str, declared))
    return TorchvisionConfig(builder, id2label, defaults | settings, eps, things)


def _fits(key: str, value: Any) -> bool:
    if key in ("image_mean", "image_std"):
        return isinstance(value, list) and len(value) == 3 and all(_is_number(one) for one in value)
    return _is_number(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf
