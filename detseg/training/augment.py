"""Augmentation by torchvision's transforms, which move boxes and masks together with the image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from scipy import ndimage
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.transforms import v2

from detseg.config.training import TrainingSettings

IGNORED = -100
"""The label of pixels that teach nothing: that of no class, however many there are."""

_GREY = 114
"""The colour outside of an image that was made smaller, as YOLO has it, and of what hides a part."""

_VISIBLE = 0.3
"""A box of which less than this share is inside the image is left out."""

_TAKEN = 0.5
"""The probability with which a thing is pasted."""

_SMOOTH = 5.0
"""The width of the Gaussian, in pixels, that smooths an elastic deformation."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """An image with its truth: ``image`` uint8 (3, H, W), ``boxes`` float32 (N, 4) as x0 y0 x1 y1 in pixels,
    ``labels`` int64 (N,).

    ``layers`` int32 (L, H, W) are the masks, where a model learns them: number i + 1 in one of the layers is
    the mask of object i, 0 is nothing. Masks that overlap are in different layers.
    """

    image: torch.Tensor
    boxes: torch.Tensor
    labels: torch.Tensor
    layers: torch.Tensor | None = None

    @property
    def mask_layers(self) -> torch.Tensor:
        """The layers. ValueError for an example without masks."""
        if self.layers is None:
            raise ValueError("this example has no masks")
        return self.layers


def augment(example: Example, settings: TrainingSettings) -> Example:
    """Flip, zoom, turn, shift, bend, recolour and hide a part of an image, by torch's random numbers, and
    move its truth with it."""
    moved = _moved(example, settings)
    return hide(moved, settings.cutout) if settings.cutout else moved


def _moved(example: Example, settings: TrainingSettings) -> Example:
    """An example after all that moves or recolours pixels.

    Boxes are cut off at the image's border; those that are mostly outside are left out. Where there are
    masks, the boxes are the tight ones of what is left of them, and an object without a pixel is left out.
    """
    size = tuple(example.image.shape[-2:])
    boxes: Any = tv_tensors.BoundingBoxes(
        example.boxes.reshape(-1, 4), format="XYXY", canvas_size=size, clamping_mode=None
    )
    parts: tuple[Any, ...] = (tv_tensors.Image(example.image), boxes)
    if example.layers is not None:
        parts = (*parts, tv_tensors.Mask(example.layers))
    for transform in _transforms(settings):
        parts = transform(*parts)
    image, whole, *layers = (part.as_subclass(torch.Tensor) for part in parts)
    if layers:
        return tighten_boxes(replace(example, image=image, layers=layers[0]))
    height, width = size
    inside = torch.stack(
        [side.clamp(0, most) for side, most in zip(whole.unbind(1), (width, height) * 2, strict=True)], dim=1
    )  # (N, 4)
    kept = _areas(inside) > _VISIBLE * _areas(whole)  # (N,)
    return replace(example, image=image, boxes=inside[kept], labels=example.labels[kept])


def hide(example: Example, most: float) -> Example:
    """Hide up to that part of an image behind a grey rectangle (DeVries and Taylor, "Cutout", 2017).

    An object that lies behind it whole is left out; of others the truth stays.
    """
    height, width = example.image.shape[-2:]
    rows, columns = _rectangle(height, width, most)
    image = example.image.clone()
    image[:, rows, columns] = _GREY
    low = torch.tensor([columns.start, rows.start])
    high = torch.tensor([columns.stop, rows.stop])
    seen = ((example.boxes[:, :2] < low) | (example.boxes[:, 2:] > high)).any(dim=1)  # (N,)
    if example.layers is None:
        return replace(example, image=image, boxes=example.boxes[seen], labels=example.labels[seen])
    kept = torch.cat((torch.tensor([False]), seen))
    layers = torch.where(kept[example.layers.long()], example.layers, 0)
    return tighten_boxes(replace(example, image=image, layers=layers))


def _rectangle(height: int, width: int, most: float) -> tuple[slice, slice]:
    """Rows and columns of a rectangle anywhere in an image: any part of its area up to ``most``."""
    area, y, x = torch.rand(3).tolist()
    half = (most * area) ** 0.5 / 2
    rows, columns = (
        slice(max(0, round((centre - half) * length)), max(0, round((centre + half) * length)))
        for centre, length in ((y, height), (x, width))
    )
    return rows, columns


def paste(example: Example, other: Example, things: frozenset[int]) -> Example:
    """Put each thing of another image into this one, or not, as a coin falls (Ghiasi et al., "Simple
    Copy-Paste", CVPR 2021). Both have masks.

    They stay where they are in their image, from its upper left corner, and hide what lies there; what is
    hidden whole is left out. ``things`` are their labels.
    """
    of_things = torch.tensor([int(label) in things for label in other.labels], dtype=torch.bool)
    taken = torch.cat((torch.tensor([False]), of_things & (torch.rand(len(of_things)) < _TAKEN)))
    layers = other.mask_layers
    pasted = _fitted(torch.where(taken[layers.long()], layers, 0), example)
    return _over(example, other, pasted, (pasted > 0).any(dim=0))


def cutmix(example: Example, other: Example) -> Example:
    """Put a rectangle of another image into this one, with all that is to be found in it (Yun et al.,
    "CutMix", ICCV 2019). Both have masks.

    It is at the same place in both, and of any size up to that of the smaller one.
    """
    height, width = (
        min(one, more) for one, more in zip(example.image.shape[-2:], other.image.shape[-2:], strict=True)
    )
    covered = torch.zeros(example.image.shape[-2:], dtype=torch.bool)
    covered[:height, :width][_rectangle(height, width, 1.0)] = True
    return _over(example, other, _fitted(other.mask_layers, example).masked_fill(~covered, 0), covered)


def _over(example: Example, other: Example, layers: torch.Tensor, covered: torch.Tensor) -> Example:
    """The example with another one's pixels where those are ``covered``, and what ``layers`` show of it."""
    below = example.mask_layers.masked_fill(covered, 0)
    above = torch.where(layers > 0, layers + len(example.labels), 0)
    n_layers = max(len(below), len(above))
    below, above = (functional.pad(one, (0, 0, 0, 0, 0, n_layers - len(one))) for one in (below, above))
    return tighten_boxes(
        Example(
            torch.where(covered, _fitted(other.image, example), example.image),
            torch.cat((example.boxes, other.boxes)),
            torch.cat((example.labels, other.labels)),
            torch.where(above > 0, above, below),
        )
    )


def _fitted(maps: torch.Tensor, example: Example) -> torch.Tensor:
    """The upper left of maps (..., h, w) in the size of an example, with zeros where they are smaller."""
    height, width = example.image.shape[-2:]
    below, right = max(0, height - maps.shape[-2]), max(0, width - maps.shape[-1])
    return functional.pad(maps, (0, right, 0, below))[..., :height, :width]


def tighten_boxes(example: Example) -> Example:
    """Return the example with the tight boxes of its masks, without objects that have no pixel any more."""
    if example.layers is None:
        return example
    left = torch.unique(example.layers)
    left = left[left > 0].long()  # (M,), ascending
    renumbered = torch.zeros(len(example.labels) + 1, dtype=torch.int32)
    renumbered[left] = torch.arange(1, len(left) + 1, dtype=torch.int32)
    return Example(
        example.image, _tight_boxes(example.layers, left), example.labels[left - 1],
        renumbered[example.layers.long()],
    )  # fmt: skip


def _tight_boxes(layers: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """The boxes (N, 4) of the pixels that hold each number; all of them are there, each in one layer."""
    found: dict[int, tuple[float, ...]] = {}
    for layer in layers.numpy():
        for number, place in enumerate(ndimage.find_objects(layer), 1):
            if place is not None:
                rows, columns = place
                found[number] = (columns.start, rows.start, columns.stop, rows.stop)
    return torch.tensor([found[number] for number in numbers.tolist()], dtype=torch.float32).reshape(-1, 4)


def _transforms(settings: TrainingSettings) -> list[Any]:
    zoom, shift = 1 + settings.zoom, settings.shift
    fill: Any = {tv_tensors.Image: _GREY, tv_tensors.Mask: 0}
    transforms: list[Any] = []
    if settings.flip:
        transforms.append(v2.RandomHorizontalFlip(settings.flip))
    if settings.flip_vertical:
        transforms.append(v2.RandomVerticalFlip(settings.flip_vertical))
    if settings.zoom or settings.shift or settings.rotate:
        transforms.append(
            v2.RandomAffine(
                degrees=settings.rotate,
                translate=(shift, shift),
                scale=(1 / zoom, zoom),
                interpolation=v2.InterpolationMode.BILINEAR,
                fill=fill,
            )
        )
    if settings.elastic:
        transforms.append(v2.ElasticTransform(alpha=settings.elastic, sigma=_SMOOTH, fill=fill))
    colours = (settings.brightness, settings.contrast, settings.saturation, settings.hue)
    if any(colours):
        transforms.append(v2.ColorJitter(*colours))
    return transforms


def _areas(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
