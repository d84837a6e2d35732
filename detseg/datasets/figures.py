"""The figures of a dataset: how much of each class there is, how large, and where. Labels in, numbers out."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np

from detseg.datasets.splits import split_order
from detseg.datasets.version import Version
from detseg.geometry.extent import covered_pixels, extent
from detseg.metrics.edit_rates import Quantiles, quantiles
from detseg.types import Annotation, Instance, Size, State

ObjectSize = Literal["small", "medium", "large"]
OBJECT_SIZES: tuple[ObjectSize, ...] = ("small", "medium", "large")
GRID = 8
"""Cells of a class's positions to each side."""

_SMALL_PX, _MEDIUM_PX = 32.0**2, 96.0**2


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """The figures of one class. An object's area is that of its mask, else of its box, in pixels."""

    n_images: int
    """images that have an object of the class."""
    n_objects: int
    n_masks: int
    """objects that have a mask."""
    images_by_split: Mapping[str, int]
    objects_by_split: Mapping[str, int]
    pixel_share: float | None
    """pixels that masks of the class cover / all pixels of all images, in [0, 1]; None without a mask.
    Objects that have a box alone cover nothing."""
    sizes: Mapping[ObjectSize, int]
    """objects by COCO's limits: small below 32x32 pixels of area, large from 96x96 on."""
    side_px: Quantiles
    """of objects: the root of the area, in pixels."""
    share_of_image: Quantiles
    """of objects: area / area of the image, in [0, 1]."""
    positions: tuple[tuple[int, ...], ...]
    """objects by where the middle of their box is: a grid of 8x8 cells over the image, rows from the top."""


@dataclass(frozen=True, slots=True)
class DatasetFigures:
    """The figures of a dataset's labels."""

    n_images: int
    n_objects: int
    states: Mapping[State, int]
    """images by state; an empty one was checked, and nothing is in it."""
    splits: Mapping[str, int]
    """images by split; none for images without one."""
    authors: Mapping[str, int]
    """images by who labeled them; of several people, each counts."""
    image_width_px: Quantiles
    image_height_px: Quantiles
    objects_per_image: Quantiles
    per_class: Mapping[str, ClassFigures]
    """in the order of the classes; one without objects is there, too."""


@dataclass(slots=True)
class FigureTally:
    """Counts images one by one; keeps a few numbers of each object."""

    _states: Counter[State] = field(default_factory=Counter)
    _splits: Counter[str] = field(default_factory=Counter)
    _authors: Counter[str] = field(default_factory=Counter)
    _classes: dict[str, _ClassTally] = field(default_factory=dict)
    _widths: array[float] = field(default_factory=lambda: array("d"))
    _heights: array[float] = field(default_factory=lambda: array("d"))
    _n_objects: array[float] = field(default_factory=lambda: array("d"))
    _n_pixels: int = 0

    def add(self, said: Annotation, *, authors: Sequence[str], split: str = "") -> None:
        """Count an image and what people said of it; ``split`` is empty where it has none."""
        self._states[said.state] += 1
        self._splits[split] += 1
        self._authors.update(authors)
        self._widths.append(said.size.width)
        self._heights.append(said.size.height)
        self._n_objects.append(len(said.regions))
        self._n_pixels += said.size.area
        instances = [region.instance for region in said.regions]
        for instance in instances:
            self._class(instance.label).add_object(instance, said.size, split)
        for label in {instance.label for instance in instances}:
            self._class(label).images[split] += 1
        for label, n_pixels in covered_pixels(instances, said.size).items():
            self._class(label).n_pixels += n_pixels

    def result(self, classes: Iterable[str] = ()) -> DatasetFigures:
        """Return the figures of all that was added; ``classes`` in their order, others after them."""
        names = dict.fromkeys([*classes, *sorted(self._classes)])
        return DatasetFigures(
            n_images=self._states.total(),
            n_objects=round(sum(self._n_objects)),
            states=dict(sorted(self._states.items())),
            splits=_by_split(self._splits),
            authors=dict(sorted(self._authors.items())),
            image_width_px=_quantiles(self._widths),
            image_height_px=_quantiles(self._heights),
            objects_per_image=_quantiles(self._n_objects),
            per_class={name: self._classes.get(name, _ClassTally()).result(self._n_pixels) for name in names},
        )

    def _class(self, label: str) -> _ClassTally:
        return self._classes.setdefault(label, _ClassTally())


@dataclass(slots=True)
class _ClassTally:
    images: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    n_masks: int = 0
    n_pixels: int = 0
    areas: array[float] = field(default_factory=lambda: array("d"))
    shares: array[float] = field(default_factory=lambda: array("d"))
    positions: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add_object(self, instance: Instance, size: Size, split: str) -> None:
        box = extent(instance)
        area = instance.mask.area if instance.mask is not None else box.area
        self.objects[split] += 1
        self.n_masks += instance.mask is not None
        self.areas.append(area)
        self.shares.append(area / size.area)
        self.positions[_cell(box.y0 + box.y1, size.height), _cell(box.x0 + box.x1, size.width)] += 1

    def result(self, n_pixels: int) -> ClassFigures:
        areas = np.array(self.areas)
        small, up_to_medium = int((areas < _SMALL_PX).sum()), int((areas < _MEDIUM_PX).sum())
        counts = (small, up_to_medium - small, len(areas) - up_to_medium)
        return ClassFigures(
            n_images=self.images.total(),
            n_objects=self.objects.total(),
            n_masks=self.n_masks,
            images_by_split=_by_split(self.images),
            objects_by_split=_by_split(self.objects),
            pixel_share=self.n_pixels / n_pixels if self.n_masks and n_pixels else None,
            sizes=dict(zip(OBJECT_SIZES, counts, strict=True)),
            side_px=quantiles(np.sqrt(areas)),
            share_of_image=_quantiles(self.shares),
            positions=tuple(
                tuple(self.positions[row, column] for column in range(GRID)) for row in range(GRID)
            ),
        )


def _cell(doubled_middle: float, length: int) -> int:
    """Return the cell of a position, given as the sum of two edges; what is outside is in the outer cells."""
    return min(GRID - 1, max(0, math.floor(doubled_middle * GRID / (2 * length))))


def _by_split(counts: Counter[str]) -> dict[str, int]:
    return {split: counts[split] for split in sorted(counts, key=split_order) if split}


def _quantiles(values: array[float]) -> Quantiles:
    return quantiles(np.array(values))


@dataclass(frozen=True, slots=True)
class VersionSize:
    """The size of a version, to see how a dataset grows."""

    name: str
    id: str
    created_at: datetime
    n_images: int
    n_objects: int
    objects_by_class: Mapping[str, int]


def growth(versions: Iterable[Version], project: str) -> tuple[VersionSize, ...]:
    """Return the sizes of a project's versions, in their order."""
    return tuple(
        VersionSize(
            one.name,
            one.id,
            one.created_at,
            one.counts.images,
            one.counts.regions,
            dict(one.counts.regions_by_class),
        )
        for one in versions
        if one.recipe.project == project
    )


def decode_figures(entry: Mapping[str, Any]) -> DatasetFigures:
    """Return the figures whose fields are in an object of JSON. Raises KeyError or TypeError for others."""
    spreads = ("image_width_px", "image_height_px", "objects_per_image")
    decoded = {name: Quantiles(**entry[name]) for name in spreads}
    per_class = {name: _decode_class(one) for name, one in entry["per_class"].items()}
    return DatasetFigures(**{**entry, **decoded, "per_class": per_class})


def _decode_class(entry: Mapping[str, Any]) -> ClassFigures:
    spreads = {name: Quantiles(**entry[name]) for name in ("side_px", "share_of_image")}
    return ClassFigures(**{**entry, **spreads, "positions": tuple(map(tuple, entry["positions"]))})
