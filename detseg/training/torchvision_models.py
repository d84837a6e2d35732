"""Models of torchvision as a training takes models: with a loss, and saved and loaded as a checkpoint.

torchvision computes the losses of detectors itself, of images of any size and boxes in pixels. Of semantic
models the loss is the cross entropy of every pixel, as in torchvision's own training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional
from torchvision.ops import FrozenBatchNorm2d
from torchvision.transforms.functional import InterpolationMode, normalize, resize

from detseg.errors import TrainingError
from detseg.models.checkpoints import Checkpoint, read_architecture
from detseg.models.networks.torchvision_checkpoints import (
    BACKGROUND,
    TorchvisionConfig,
    build,
    load_torchvision,
    save_torchvision,
)
from detseg.models.networks.torchvision_models import THINNEST
from detseg.training.augment import IGNORED, Example

_THINNEST_PX = 1.0
"""A box that is thinner is no truth: torchvision divides by its sides."""

_BY_CLASS = "bbox_pred"
"""The layer of Faster R-CNN that answers all numbers of a class together; others answer class by class for
each anchor."""


class TorchvisionLearner(nn.Module):
    """A model of torchvision that answers its loss.

    Label ids begin with 1, 0 is nothing. It has no ``config`` of its own, into which ``Trainer`` would write.
    """

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.detector = detector
        if detector.config.frozen_norm_eps is not None:
            _freeze_norms(detector.backbone, eps=detector.config.frozen_norm_eps)

    def forward(self, pixel_values: Any, labels: Any) -> dict[str, torch.Tensor]:
        """The ``loss`` of what ``DetectorCollator`` gives, or ``SemanticCollator`` for a semantic model."""
        if self.detector.config.semantic:
            logits: torch.Tensor = self.detector(pixel_values)["out"]  # (B, labels, h, w)
            return {"loss": functional.cross_entropy(logits, labels, ignore_index=IGNORED)}
        losses: Mapping[str, torch.Tensor] = self.detector(pixel_values, labels)
        return {"loss": torch.stack([*losses.values()]).sum()}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that ``detseg predict`` takes."""
        config: TorchvisionConfig = self.detector.config
        labels = [config.id2label.get(i, BACKGROUND) for i in range(max(config.id2label) + 1)]
        save_torchvision(self.detector, folder, builder=config.builder, labels=labels)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: Any) -> Self:
        """Load what ``save_pretrained`` wrote."""
        return cls(load_torchvision(str(folder), read_architecture(str(folder))).model)


def without_loss(model: Any) -> Any:
    """The model that answers, out of a learner; any other model as it is."""
    return model.detector if isinstance(model, TorchvisionLearner) else model


def with_rows(
    base: Checkpoint, names: Sequence[str], rows: Mapping[int, int], *, seed: int
) -> TorchvisionLearner:
    """The base's model for these classes. Those of ``rows``, label ids of the base and places among
    ``names``, keep their weights, and so does what stands for nothing; others begin at random."""
    config = replace(base.config, id2label={i + 1: name for i, name in enumerate(names)}, thing_labels=None)
    n_new, n_old = len(names) + 1, max(base.config.id2label) + 1
    torch.manual_seed(seed)
    detector: Any = build(config, n_classes=n_new, drawn=True)
    detector.config = config
    learner = TorchvisionLearner(detector)
    more, old = build(config, n_classes=n_new + 1).state_dict(), base.model.state_dict()
    for key, value in learner.detector.state_dict().items():
        if value.shape == more[key].shape:
            value.copy_(old[key])
            continue
        new, before = _by_class(key, value, n_new), _by_class(key, old[key], n_old)
        for there, here in {0: 0, **{there: here + 1 for there, here in rows.items()}}.items():
            new[:, here].copy_(before[:, there])
    return learner


def _by_class(key: str, layer: torch.Tensor, n_classes: int) -> torch.Tensor:
    """A view of a layer with a row for each class, as (anchors, classes, ...)."""
    if _BY_CLASS in key:
        return layer.view(1, n_classes, -1)
    return layer.view(-1, n_classes, *layer.shape[1:])


def show_inputs(base: Checkpoint) -> Checkpoint:
    """The checkpoint with what the training asks of a processor."""
    if base.config.semantic:
        how = base.processor
        return replace(base, processor=SemanticInputs(how.resize_size, how.image_mean, how.image_std))
    return replace(base, processor=DetectorInputs(base.model.transform.max_size))


def resize_detector(base: Checkpoint, longest: int) -> None:
    """Let the detector see images of that longest side, in its own proportions.

    TrainingError for one that is made for one size alone, and for semantic models.
    """
    if base.config.semantic:
        raise TrainingError(
            f"{base.name} sees the shorter side of an image at {base.processor.resize_size} pixels: give "
            "its config.json another resize_size, and leave training.image_size at 0"
        )
    transform = base.model.transform
    if transform.fixed_size is not None:
        raise TrainingError(f"{base.name} sees images of one size alone: leave training.image_size at 0")
    shortest = max(1, round(longest * transform.min_size[-1] / transform.max_size))
    sides = {"min_size": shortest, "max_size": longest}
    base.model.config = replace(base.config, settings={**base.config.settings, **sides})
    base.processor.size = {"longest_edge": longest}


class DetectorInputs:
    """Stand in for a processor, whose sizes the training asks for; the detector prepares images itself."""

    def __init__(self, longest: int) -> None:
        self.size = {"longest_edge": longest}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write nothing: the sizes are in the detector's own configuration."""


@dataclass(frozen=True, slots=True)
class SemanticInputs:
    """Stand in for a processor of a semantic model, which sees the shorter side at ``resize_size`` pixels."""

    resize_size: int
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]

    @property
    def size(self) -> dict[str, int]:
        """The sides of the longest image that loses nothing before it is augmented."""
        return {"shortest_edge": self.resize_size, "longest_edge": 2 * self.resize_size}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write nothing: the size is in the model's own configuration."""


@dataclass(frozen=True, slots=True)
class SemanticCollator:
    """Examples with one layer to the inputs of a semantic model of torchvision.

    ``pixel_values`` are float32 (B, 3, h, w), ``labels`` int64 (B, h, w): classes from 1 on, 0 of nothing,
    and ``IGNORED`` behind the border of an image that is smaller than the largest of the batch. In examples
    nothing is behind the ``n_classes``.
    """

    inputs: SemanticInputs
    n_classes: int

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        pixels, labels = zip(*map(self._prepared, examples), strict=True)
        return {"pixel_values": _padded(pixels, 0.0), "labels": _padded(labels, IGNORED)}

    def _prepared(self, example: Example) -> tuple[torch.Tensor, torch.Tensor]:
        """The pixels (3, h, w) as the model sees them, and their labels (h, w)."""
        how = self.inputs
        longest = THINNEST * how.resize_size
        pixels = resize(example.image, [how.resize_size], max_size=longest, antialias=True)
        size = list(pixels.shape[-2:])
        numbers = resize(example.mask_layers, size, InterpolationMode.NEAREST_EXACT)[0].long()
        classes = torch.where(example.labels < self.n_classes, example.labels + 1, 0)
        labels = torch.cat((torch.tensor([IGNORED]), classes))[numbers]
        return normalize(pixels.float() / 255, how.image_mean, how.image_std), labels


def _padded(maps: Sequence[torch.Tensor], value: float) -> torch.Tensor:
    """Maps (..., h, w) of several sizes as one tensor; below and right of smaller ones is that value."""
    height, width = (max(one.shape[axis] for one in maps) for axis in (-2, -1))
    return torch.stack(
        [
            functional.pad(one, (0, width - one.shape[-1], 0, height - one.shape[-2]), value=value)
            for one in maps
        ]
    )


@dataclass(frozen=True, slots=True)
class DetectorCollator:
    """Examples to the inputs of a detector of torchvision.

    ``pixel_values`` are float32 (3, H, W) in [0, 1]; ``labels`` has for each image ``labels`` int64 (N,),
    from 1 on, and ``boxes`` float32 (N, 4) as x0 y0 x1 y1 in pixels; where masks are learned also ``masks``
    uint8 (N, H, W), 0 and 1.
    """

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        return {
            "pixel_values": [example.image.float() / 255 for example in examples],
            "labels": [_truth(example) for example in examples],
        }


def _truth(example: Example) -> dict[str, torch.Tensor]:
    seen = (example.boxes[:, 2:] - example.boxes[:, :2]).amin(dim=1) >= _THINNEST_PX
    truth = {"boxes": example.boxes[seen], "labels": example.labels[seen] + 1}
    if example.layers is None:
        return truth
    numbers = (torch.nonzero(seen).flatten() + 1)[:, None, None]
    masks = torch.zeros(len(numbers), *example.layers.shape[-2:], dtype=torch.uint8)
    for layer in example.layers:
        masks |= layer == numbers
    return {**truth, "masks": masks}


def _freeze_norms(module: nn.Module, *, eps: float) -> None:
    """Batch norms keep their statistics, as torchvision has them where it fine-tunes a backbone."""
    for name, layer in module.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(layer.num_features, eps=eps)
            kept = {key: value for key, value in layer.state_dict().items() if key != "num_batches_tracked"}
            frozen.load_state_dict(kept)
            setattr(module, name, frozen)
        else:
            _freeze_norms(layer, eps=eps)
