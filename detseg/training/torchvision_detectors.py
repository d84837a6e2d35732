"""Detectors of torchvision as a training takes models: with a loss, and saved and loaded as a checkpoint.

torchvision computes the losses itself, of images of any size and boxes in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from detseg.errors import TrainingError
from detseg.models.checkpoints import Checkpoint, read_architecture
from detseg.models.networks.torchvision_checkpoints import (
    BACKGROUND,
    TorchvisionConfig,
    build,
    load_torchvision,
    save_torchvision,
)
from detseg.training.augment import Example

_THINNEST_PX = 1.0
"""A box that is thinner is no truth: torchvision divides by its sides."""

_BY_CLASS = "bbox_pred"
"""The layer of Faster R-CNN that answers all numbers of a class together; others answer class by class for
each anchor."""


class TorchvisionLearner(nn.Module):
    """A detector of torchvision that answers its loss.

    Label ids begin with 1, 0 is nothing. It has no ``config`` of its own, into which ``Trainer`` would write.
    """

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.detector = detector
        if detector.config.frozen_norm_eps is not None:
            _freeze_norms(detector.backbone, eps=detector.config.frozen_norm_eps)

    def forward(
        self, pixel_values: list[torch.Tensor], labels: list[dict[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """The ``loss`` of images (3, H, W) in [0, 1], with the boxes and labels of ``DetectorCollator``."""
        losses: Mapping[str, torch.Tensor] = self.detector(pixel_values, labels)
        return {"loss": torch.stack([*losses.values()]).sum()}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that ``detseg predict --detector`` takes."""
        config: TorchvisionConfig = self.detector.config
        labels = [config.id2label.get(i, BACKGROUND) for i in range(max(config.id2label) + 1)]
        save_torchvision(self.detector, folder, builder=config.builder, labels=labels)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: Any) -> Self:
        """Load what ``save_pretrained`` wrote."""
        return cls(load_torchvision(str(folder), read_architecture(str(folder))).model)


def without_loss(model: Any) -> Any:
    """The detector that answers boxes, out of a learner; any other model as it is."""
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
    """The checkpoint of a detector with what the training asks of a processor."""
    return replace(base, processor=DetectorInputs(base.model.transform.max_size))


def resize(base: Checkpoint, longest: int) -> None:
    """Let the detector see images of that longest side, in its own proportions.

    TrainingError for one that is made for one size alone.
    """
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
class DetectorCollator:
    """Examples to the inputs of a detector of torchvision.

    ``pixel_values`` are float32 (3, H, W) in [0, 1]; ``labels`` has for each image ``labels`` int64 (N,),
    from 1 on, and ``boxes`` float32 (N, 4) as x0 y0 x1 y1 in pixels.
    """

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        return {
            "pixel_values": [example.image.float() / 255 for example in examples],
            "labels": [_truth(example) for example in examples],
        }


def _truth(example: Example) -> dict[str, torch.Tensor]:
    seen = (example.boxes[:, 2:] - example.boxes[:, :2]).amin(dim=1) >= _THINNEST_PX
    return {"boxes": example.boxes[seen], "labels": example.labels[seen] + 1}


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
