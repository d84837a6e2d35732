"""Annotations as columns of numbers, which the evaluation reads without a record per object."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from detseg.formats.coco_entries import IouType
from detseg.geometry.extent import extent
from detseg.geometry.masks import encode_mask
from detseg.types import Annotation, ImageId, Instance, Region

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_CORNERS = attrgetter("x0", "y0", "x1", "y1")


@dataclass(frozen=True, slots=True)
class Objects:
    """N objects of one side, truth or detections, sorted by image and in the order of their regions.

    ``image`` and ``label`` are positions in ``DetectionData``, both (N,); ``xywh`` is (N, 4) in pixels,
    ``area`` (N,) in pixels, ``score`` (N,) in [0, 1]. Where masks are compared, ``masks`` are COCO's
    compressed run lengths, and ``xywh`` means nothing.
    """

    image: Ints
    label: Ints
    xywh: Floats
    area: Floats
    score: Floats
    masks: tuple[dict[str, Any], ...] | None

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True, slots=True)
class DetectionData:
    """The truth of images and what was detected on them. Images are sorted by id, labels by name."""

    iou_type: IouType
    images: tuple[ImageId, ...]
    labels: tuple[str, ...]
    truth: Objects
    found: Objects


@dataclass(slots=True)
class DetectionColumns:
    """Takes images one by one and keeps of each object what the evaluation needs, 64 bytes and its mask.

    As in COCO, a true box has the area of its mask where there is one. ``n_left_out`` things have no mask
    where masks are compared; ``n_misfit_masks`` have one of another size than the truth's image, which
    overlaps nothing.
    """

    iou_type: IouType
    n_left_out: int = 0
    n_misfit_masks: int = 0
    _images: list[ImageId] = field(default_factory=list)
    _labels: dict[str, int] = field(default_factory=dict)
    _truth: _Side = field(default_factory=lambda: _Side())
    _found: _Side = field(default_factory=lambda: _Side())

    def add(self, truth: Annotation, prediction: Annotation) -> None:
        """Takes the things of one image; those of stuff have no part in it."""
        self._images.append(truth.image)
        true, found = self._shaped(truth.regions, truth), self._shaped(prediction.regions, truth)
        self._truth.extend(true, self._labels, self.iou_type)
        self._found.extend(found, self._labels, self.iou_type)
        mask_areas = self.iou_type == "segm"
        self._truth.mask_area.extend([i.mask.area if i.mask else -1 for i in true])
        self._found.mask_area.extend([i.mask.area if i.mask and mask_areas else -1 for i in found])

    def data(self) -> DetectionData:
        """Everything so far, in an order that does not depend on that of adding."""
        by_id = sorted(range(len(self._images)), key=self._images.__getitem__)
        by_name = sorted(self._labels)
        image_ranks, label_ranks = _ranks(by_id), _ranks([self._labels[name] for name in by_name])
        return DetectionData(
            self.iou_type,
            tuple(self._images[i] for i in by_id),
            tuple(by_name),
            self._truth.objects(image_ranks, label_ranks, self.iou_type),
            self._found.objects(image_ranks, label_ranks, self.iou_type),
        )

    def _shaped(self, regions: Sequence[Region], truth: Annotation) -> list[Instance]:
        things = [region.instance for region in regions if region.instance.kind == "thing"]
        if self.iou_type == "bbox":
            return things
        shaped = [instance for instance in things if instance.mask is not None]
        self.n_left_out += len(things) - len(shaped)
        self.n_misfit_masks += sum(i.mask is not None and i.mask.size != truth.size for i in shaped)
        return shaped


@dataclass(slots=True)
class _Side:
    """The objects of truth or of detections, in the order in which they came."""

    n_per_image: array[int] = field(default_factory=lambda: array("q"))
    label: array[int] = field(default_factory=lambda: array("q"))
    corners: array[float] = field(default_factory=lambda: array("d"))
    mask_area: array[int] = field(default_factory=lambda: array("q"))
    score: array[float] = field(default_factory=lambda: array("d"))
    masks: list[dict[str, Any]] = field(default_factory=list)

    def extend(self, things: Sequence[Instance], labels: dict[str, int], iou_type: IouType) -> None:
        self.n_per_image.append(len(things))
        self.label.extend([labels.setdefault(instance.label, len(labels)) for instance in things])
        self.score.extend([1.0 if instance.score is None else instance.score for instance in things])
        if iou_type == "segm":
            self.masks.extend(encode_mask(instance.mask) for instance in things if instance.mask)
            return
        for instance in things:
            self.corners.extend(_CORNERS(instance.box or extent(instance)))

    def objects(self, image_ranks: Ints, label_ranks: Ints, iou_type: IouType) -> Objects:
        image = np.repeat(image_ranks, np.array(self.n_per_image, dtype=np.int64))
        order = np.argsort(image, kind="stable")
        corners: Floats = np.zeros((len(order), 4))
        if iou_type == "bbox":
            corners = np.array(self.corners, dtype=np.float64).reshape(-1, 4)[order]
        sides = corners[:, 2:] - corners[:, :2]
        mask_area = np.array(self.mask_area, dtype=np.float64)[order]
        return Objects(
            image=image[order],
            label=label_ranks[np.array(self.label, dtype=np.int64)[order]],
            xywh=np.concatenate([corners[:, :2], sides], axis=1),
            area=np.where(mask_area >= 0.0, mask_area, sides.prod(axis=1)),
            score=np.array(self.score, dtype=np.float64)[order],
            masks=tuple(self.masks[i] for i in order) if iou_type == "segm" else None,
        )


def _ranks(order: Sequence[int]) -> Ints:
    """Return where each comes in that order."""
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[np.array(order, dtype=np.int64)] = np.arange(len(order))
    return ranks
