"""Boxes: what a detector's raw output means in pixels and in the project's classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from detseg.errors import ModelError
from detseg.geometry.boxes import clip_box
from detseg.models.checkpoints import Checkpoint
from detseg.models.forward import answering, forward, target_sizes
from detseg.models.labels import Findings, LabelMap, is_placeholder
from detseg.types import Box, DecodedImage, Instance, Size


def detect(
    checkpoint: Checkpoint, labels: LabelMap, images: Sequence[DecodedImage], *, threshold: float
) -> tuple[Findings, ...]:
    """The boxes of every image, best first; all images have one size."""
    with answering(checkpoint, images):
        found = checkpoint.processor.post_process_object_detection(
            forward(checkpoint, images), threshold=threshold, target_sizes=target_sizes(images)
        )
    return tuple(
        _findings(result, labels, image.size, model=checkpoint.name)
        for result, image in zip(found, images, strict=True)
    )


def _findings(result: Any, labels: LabelMap, size: Size, *, model: str) -> Findings:
    """Boxes clipped to the image; without area inside it they are none. Of equal ones the best stays."""
    best: dict[tuple[str, Box], Instance] = {}
    unmapped: Counter[str] = Counter()
    rows = zip(result["scores"].tolist(), result["labels"].tolist(), result["boxes"].tolist(), strict=True)
    for score, label_id, xyxy_px in sorted(rows, key=lambda row: -row[0]):
        cls = labels.classes.get(label_id)
        if cls is None:
            if not is_placeholder(labels.name(label_id)):
                unmapped[labels.name(label_id)] += 1
            continue
        box = clip_box(_box(xyxy_px, model=model), size)
        if box is not None:
            instance = Instance(cls.name, "thing", box=box, score=score, seen_by="detector")
            best.setdefault((cls.name, box), instance)
    return Findings(tuple(best.values()), unmapped)


def _box(xyxy_px: list[float], *, model: str) -> Box:
    try:
        return Box(*xyxy_px)
    except ValueError as error:
        raise ModelError(
            f"{model} answered a box that is none ({error}): the checkpoint is damaged"
        ) from error
