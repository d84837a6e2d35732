"""The protocol of every family of models: images to inputs, inputs to raw output, raw output to detections.

The three steps are apart because they run in different places: ``prepare`` and ``read`` in any thread while
the accelerator is busy, ``run`` in one thread at a time.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from detseg.geometry.boxes import Floats, boxes_to_array
from detseg.types import Box, DecodedImage, Mask, Size

Role = Literal["detector", "segmenter"]


@dataclass(frozen=True, slots=True)
class RawDetection:
    """One object or surface that a network saw, in the network's own label ids.

    ``score`` is in [0, 1]. The box is in pixels of the upright image and may stick out of it; the mask has
    the image's size. One of them may be missing.
    """

    label_id: int
    score: float
    box: Box | None = None
    mask: Mask | None = None


@dataclass(frozen=True, slots=True)
class NetworkRequest:
    """A request to a network. The thresholds are those of ``PredictorOptions``.

    ``panoptic`` says that every pixel has one owner, stuff among them; ``names`` are the class names by label
    id that a zero-shot network looks for (empty for the others).
    """

    boxes: bool
    masks: bool
    box_threshold: float
    mask_threshold: float
    pixel_threshold: float
    overlap_threshold: float
    panoptic: bool = False
    names: tuple[str, ...] = ()


def lowest_score(wanted: NetworkRequest) -> float:
    """The lowest score that a detection needs, of a box or of a mask, for what is wanted."""
    asked = [wanted.box_threshold] if wanted.boxes else []
    return min(asked + ([wanted.mask_threshold] if wanted.masks else []))


def to_logit(probability: float) -> float:
    """The logit of a probability; infinite at 0 and 1."""
    if 0.0 < probability < 1.0:
        return math.log(probability / (1.0 - probability))
    return -math.inf if probability <= 0.0 else math.inf


class Network(Protocol):
    """A checkpoint as its family runs it. Images given together have one size."""

    def prepare(self, images: Sequence[DecodedImage]) -> Any:
        """The inputs of one forward pass, on the CPU. Any thread."""

    def run(self, inputs: Any) -> Any:
        """The raw output, on the device. One thread at a time."""

    def read(self, output: Any, sizes: Sequence[Size]) -> tuple[tuple[RawDetection, ...], ...]:
        """The detections of every image, in any order. Any thread."""


class PromptedNetwork(Protocol):
    """A network that gives a mask to every box that somebody else found (the SAM families)."""

    def prepare(self, images: Sequence[DecodedImage]) -> Any:
        """The inputs of one pass through the image encoder, on the CPU. Any thread."""

    def segment(
        self, inputs: Any, boxes: Sequence[Floats], sizes: Sequence[Size]
    ) -> tuple[tuple[Mask, ...], ...]:
        """One mask per box of every image, in the order of the boxes: (N, 4) pixels ``x0 y0 x1 y1`` each.

        Every image goes through the encoder once, however many boxes it has.
        """


class BoxesThenMasks:
    """A ``Network`` made of two: a detector's boxes, and the masks that a prompted network gives them."""

    def __init__(self, detector: Network, prompted: PromptedNetwork, label_ids: Container[int]) -> None:
        """Only boxes of these label ids get a mask; the others are of no class here."""
        self._detector, self._prompted, self._label_ids = detector, prompted, label_ids

    def prepare(self, images: Sequence[DecodedImage]) -> Any:
        sizes = [image.size for image in images]
        return self._detector.prepare(images), self._prompted.prepare(images), sizes

    def run(self, inputs: Any) -> Any:
        to_detect, to_segment, sizes = inputs
        seen = self._detector.read(self._detector.run(to_detect), sizes)
        kept = [[one for one in detections if one.label_id in self._label_ids] for detections in seen]
        boxes = [boxes_to_array([one.box for one in some if one.box]) for some in kept]
        return seen, kept, self._prompted.segment(to_segment, boxes, sizes)

    def read(self, output: Any, sizes: Sequence[Size]) -> tuple[tuple[RawDetection, ...], ...]:  # noqa: ARG002
        """The detector's detections in its order, those of a known label with their masks."""
        return tuple(
            (
                *(one for one in detections if one.label_id not in self._label_ids),
                *(replace(one, mask=mask) for one, mask in zip(some, masks, strict=True)),
            )
            for detections, some, masks in zip(*output, strict=True)
        )
