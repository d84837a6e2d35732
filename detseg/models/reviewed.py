"""The boxes that people drew, in the place of a detector: ``reviews``. They stay exactly as they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detseg.models.network import NetworkRequest, RawDetection
from detseg.types import Box, DecodedImage, ImageId, Size

REVIEWS = "reviews"
"""The name of the detector; ``reviews:TITLE`` takes another project's."""


def is_reviews(name: str | None) -> bool:
    """Tell whether a name stands for the boxes of people."""
    return name is not None and name.partition(":")[0] == REVIEWS


@dataclass(frozen=True, slots=True)
class ReviewedBoxes:
    """Boxes by image, each with its label; an image without any was looked at, and nothing is there.

    Equal ones have equal digests, whatever reviews they come from.
    """

    digest: str
    labels: tuple[str, ...] = field(compare=False)
    boxes: Mapping[ImageId, tuple[tuple[str, Box], ...]] = field(compare=False)

    @property
    def config(self) -> ReviewedBoxes:
        """Itself: the networks beside it have their labels in a configuration."""
        return self

    @property
    def id2label(self) -> Mapping[int, str]:
        return dict(enumerate(self.labels))

    def to_dict(self) -> dict[str, Any]:
        """Return what changes an answer beside the digest: nothing."""
        return {}

    def to(self, device: Any) -> None:
        """Stay where they are, whatever the device of the others."""


def collect_boxes(images: Iterable[tuple[ImageId, Sequence[tuple[str, Box]]]]) -> ReviewedBoxes:
    """The boxes of images that come sorted by their ids."""
    digest, labels = hashlib.sha256(), set()
    boxes: dict[ImageId, tuple[tuple[str, Box], ...]] = {}
    for image, reviewed in images:
        boxes[image] = tuple(reviewed)
        labels |= {label for label, _ in reviewed}
        facts = [image, [(label, box.xyxy) for label, box in reviewed]]
        digest.update(json.dumps(facts, separators=(",", ":")).encode() + b"\n")
    return ReviewedBoxes(digest.hexdigest(), tuple(sorted(labels)), boxes)


class Reviewed:
    """A ``Network`` that answers the boxes of the images that it knows, and none of others."""

    def __init__(self, checkpoint: Any, wanted: NetworkRequest, engine: Any) -> None:  # noqa: ARG002
        self._reviewed: ReviewedBoxes = checkpoint.model
        self._ids = {label: number for number, label in self._reviewed.id2label.items()}

    def prepare(self, images: Sequence[DecodedImage]) -> list[ImageId]:
        return [image.ref.id for image in images]

    def run(self, inputs: Sequence[ImageId]) -> Sequence[ImageId]:
        return inputs

    def read(
        self,
        output: Sequence[ImageId],
        sizes: Sequence[Size],  # noqa: ARG002
    ) -> tuple[tuple[RawDetection, ...], ...]:
        return tuple(
            tuple(
                RawDetection(self._ids[label], 1.0, box) for label, box in self._reviewed.boxes.get(image, ())
            )
            for image in output
        )
