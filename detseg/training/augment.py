"""Augmentation by torchvision's transforms, which move boxes and masks together with the image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from detseg.config.training import TrainingSettings

_GREY = 114
"""What lies outside of an image that was made smaller, as YOLO has it."""

_VISIBLE = 0.3
"""A box of which less than this share is inside is no truth any more."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """An image with its truth: ``image`` uint8 (3, H, W), ``boxes`` float32 (N, 4) as x0 y0 x1 y1 in pixels,
    ``labels`` int64 (N,)."""

    image: torch.Tensor
    boxes: torch.Tensor
    labels: torch.Tensor


def augment(example: Example, settings: TrainingSettings) -> Example:
    """Flip, zoom, shift and recolour an image, and its boxes with it, by torch's random numbers.

    Boxes are cut off at the image's border; those that are mostly outside are left out.
    """
    size = tuple(example.image.shape[-2:])
    image: Any = tv_tensors.Image(example.image)
    boxes: Any = tv_tensors.BoundingBoxes(
        example.boxes.reshape(-1, 4), format="XYXY", canvas_size=size, clamping_mode=None
    )
    for transform in _transforms(settings):
        image, boxes = transform(image, boxes)
    whole = boxes.as_subclass(torch.Tensor)
    height, width = size
    inside = torch.stack(
        [side.clamp(0, most) for side, most in zip(whole.unbind(1), (width, height) * 2, strict=True)], dim=1
    )  # (N, 4)
    kept = _areas(inside) > _VISIBLE * _areas(whole)  # (N,)
    return replace(
        example, image=image.as_subclass(torch.Tensor), boxes=inside[kept], labels=example.labels[kept]
    )


def _transforms(settings: TrainingSettings) -> list[Any]:
    zoom, shift = 1 + settings.zoom, settings.shift
    transforms: list[Any] = []
    if settings.flip:
        transforms.append(v2.RandomHorizontalFlip(settings.flip))
    if settings.flip_vertical:
        transforms.append(v2.RandomVerticalFlip(settings.flip_vertical))
    if settings.zoom or settings.shift:
        transforms.append(
            v2.RandomAffine(
                degrees=0,
                translate=(shift, shift),
                scale=(1 / zoom, zoom),
                interpolation=v2.InterpolationMode.BILINEAR,
                fill=_GREY,
            )
        )
    colours = (settings.brightness, settings.contrast, settings.saturation, settings.hue)
    if any(colours):
        transforms.append(v2.ColorJitter(*colours))
    return transforms


def _areas(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
