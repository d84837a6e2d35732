"""The size of what a model sees: read from its image processor, and chosen."""

from __future__ import annotations

from typing import Any

import torch

from detseg.errors import TrainingError, short_reason
from detseg.models.checkpoints import Checkpoint

_MULTIPLE = 32
"""The sides of images are multiples of this, as most backbones want them."""

_STRIDE = 4
"""Pixels to a side of a cell of the maps in which segmenters answer masks."""

_UNFIT = (RuntimeError, ValueError, AssertionError)
"""The errors of models for images of a size that they are not made for."""


def image_processor(processor: Any) -> Any:
    """The part of a processor that prepares images."""
    return getattr(processor, "image_processor", processor)


def longest_side(processor: Any) -> int:
    """Return the longest side of an image as the model sees it, in pixels."""
    return max(int(side) for side in dict(image_processor(processor).size).values() if side)


def resize_inputs(base: Checkpoint, longest: int) -> None:
    """Let the model see images of that longest side, in its own proportions and multiples of 32.

    TrainingError for a model that is made for one size alone.
    """
    images = image_processor(base.processor)
    factor = longest / longest_side(images)
    images.size = {
        name: max(_MULTIPLE, _MULTIPLE * round(side * factor / _MULTIPLE))
        for name, side in dict(images.size).items()
        if side
    }
    blank = torch.zeros(3, longest, longest, dtype=torch.uint8)
    inputs = images([blank], input_data_format="channels_first", return_tensors="pt")
    try:
        with torch.no_grad():
            base.model(pixel_values=inputs["pixel_values"])
    except _UNFIT as error:
        raise TrainingError(
            f"{base.name} cannot see images of {longest} pixels ({short_reason(error)}): leave "
            "training.image_size at 0"
        ) from error


def spare_points(model: Any, processor: Any) -> None:
    """Let the loss of masks look at no more points than their maps have cells.

    Mask2Former and its kin compare masks at 12,544 points, which is a fifth of a map for images of 1024
    pixels; for smaller images it would be several times all there is.
    """
    criterion: Any = getattr(model, "criterion", None)
    if not hasattr(criterion, "num_points"):
        return
    sides = [int(side) for side in dict(image_processor(processor).size).values() if side]
    cells = max(sides) * min(sides) // _STRIDE**2
    criterion.num_points = min(criterion.num_points, cells)
    criterion.matcher.num_points = min(criterion.matcher.num_points, cells)
