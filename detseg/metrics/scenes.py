"""Images as maps of segments: who owns each pixel by the truth, and who by the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError
from detseg.geometry.label_maps import LabelMap, paint, renumber
from detseg.types import Annotation, Kind, Mask, Region


@dataclass(frozen=True, slots=True)
class Segment:
    """A thing, or all that is of one stuff class: what panoptic segmentation counts."""

    label: str
    kind: Kind


@dataclass(frozen=True, slots=True, eq=False)
class Painting:
    """The owner of each pixel: number i + 1 is that of ``segments[i]``, 0 that of nobody."""

    owners: LabelMap
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image as people see it, and as the model does. Both are of one size."""

    truth: Painting
    prediction: Painting


class Kinds:
    """The kind of each label: by the people's word, else by the model's; once a thing, always a thing."""

    def __init__(self) -> None:
        self._true: dict[str, Kind] = {}
        self._predicted: dict[str, Kind] = {}

    def add(self, scene: Scene) -> None:
        """One more image."""
        for kinds, painting in ((self._true, scene.truth), (self._predicted, scene.prediction)):
            for segment in painting.segments:
                if kinds.get(segment.label) != "thing":
                    kinds[segment.label] = segment.kind

    def by_label(self) -> dict[str, Kind]:
        """The kind of every label that was seen."""
        return {**self._predicted, **self._true}


def paint_scene(truth: Annotation, prediction: Annotation) -> Scene:
    """Both sides of an image. FormatError where a mask is of another size than its image."""
    if truth.size != prediction.size:
        raise FormatError(
            f"image {truth.image} is {truth.size} in its review, {prediction.size} in its prediction: "
            "predict it again"
        )
    return Scene(paint_annotation(truth), paint_annotation(prediction))


def paint_annotation(annotation: Annotation) -> Painting:
    """Find the owner of each pixel, by the rules of ``paint_regions``. Regions of one stuff label are one
    segment."""
    owners, regions = paint_regions(annotation)
    segments: dict[object, Segment] = {}
    numbers = np.zeros(len(regions) + 1, dtype=np.int32)
    places: dict[object, int] = {}
    for i, region in enumerate(regions):
        instance = region.instance
        key = instance.label if instance.kind == "stuff" else i
        segments.setdefault(key, Segment(instance.label, instance.kind))
        numbers[i + 1] = places.setdefault(key, len(places) + 1)
    if len(segments) < len(regions):
        owners = renumber(owners, numbers)
    return Painting(owners, tuple(segments.values()))


def paint_regions(annotation: Annotation) -> tuple[LabelMap, tuple[Region, ...]]:
    """Find the owner of each pixel: number i + 1 is that of the region at position i of the answer, 0 that of
    nobody.

    Where masks overlap the higher score wins, then things before stuff, then the smaller mask, then the
    earlier region; a person's region counts as certain. Regions without a mask, or without a pixel left, are
    not in the answer. FormatError for a mask of another size than its image.
    """
    masks = sorted(_masks(annotation), key=lambda entry: _priority(*entry))
    owners = paint([mask for _, mask in masks], annotation.size)
    left = np.flatnonzero(np.bincount(owners.numbers, minlength=len(masks) + 1)[1:])
    if left.size < len(masks):
        numbers = np.zeros(len(masks) + 1, dtype=np.int32)
        numbers[left + 1] = np.arange(1, left.size + 1)
        owners = renumber(owners, numbers)
    return owners, tuple(masks[i][0] for i in left)


def label_numbers(segments: Sequence[Segment], labels: Sequence[str]) -> npt.NDArray[np.int32]:
    """Owner to class, for ``renumber``: 1 + the place of the label of each owner, 0 for nobody."""
    place = {label: n for n, label in enumerate(labels, start=1)}
    return np.array([0, *(place[segment.label] for segment in segments)], dtype=np.int32)


def _masks(annotation: Annotation) -> list[tuple[Region, Mask]]:
    found: list[tuple[Region, Mask]] = []
    for region in annotation.regions:
        if region.instance.mask is None:
            continue
        if region.instance.mask.size != annotation.size:
            raise FormatError(
                f"image {annotation.image} is {annotation.size}, the mask of its region {region.id} is "
                f"{region.instance.mask.size}: review it again"
            )
        found.append((region, region.instance.mask))
    return found


def _priority(region: Region, mask: Mask) -> tuple[float, bool, int]:
    score = region.instance.score
    return (-1.0 if score is None else -score, region.instance.kind == "stuff", mask.area)
