"""What the models of each architecture learn: from which truth, in which inputs, by which figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.training.augment import Example
from detseg.training.collate import DetectionCollator, make_segment_collator
from detseg.training.evaluate import Split, Tally, tally_boxes, tally_segments

Collator = Callable[[Sequence[Example]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Task:
    """What a family learns. ``masks``: from masks, of things and surfaces, else from the boxes of things.

    ``collate`` makes what makes inputs, from a checkpoint's processor and whether there are surfaces among
    the classes; ``tally`` takes in what a model in evaluation mode finds in a split.
    """

    masks: bool
    collate: Callable[[Any, bool], Collator]
    tally: Callable[[Checkpoint, Split, Engine], Tally]


_BOXES = Task(False, lambda processor, _panoptic: DetectionCollator(processor), tally_boxes)
_SEGMENTS = Task(True, make_segment_collator, tally_segments)

TASKS: Mapping[str, Task] = {
    **dict.fromkeys(
        (
            "DetrForObjectDetection",
            "ConditionalDetrForObjectDetection",
            "DeformableDetrForObjectDetection",
            "DabDetrForObjectDetection",
            "RTDetrForObjectDetection",
            "RTDetrV2ForObjectDetection",
            "DFineForObjectDetection",
            "Deimv2ForObjectDetection",
            "LwDetrForObjectDetection",
            "RfDetrForObjectDetection",
            "YolosForObjectDetection",
        ),
        _BOXES,
    ),
    **dict.fromkeys(
        (
            "MaskFormerForInstanceSegmentation",
            "Mask2FormerForUniversalSegmentation",
            "OneFormerForUniversalSegmentation",
            "EomtForUniversalSegmentation",
            "EomtDinov3ForUniversalSegmentation",
        ),
        _SEGMENTS,
    ),
}
"""The architectures that can be trained."""
