"""Detections in the project's classes. Knows no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from detseg.geometry.boxes import clip_box
from detseg.geometry.masks import mask_to_box, unite_masks
from detseg.models.labels import LabelMap, is_placeholder
from detseg.models.network import RawDetection
from detseg.models.predictor import PredictorOptions
from detseg.taxonomy import LabelClass
from detseg.types import Box, Instance, Mask, SeenBy, Size


@dataclass(frozen=True, slots=True)
class Findings:
    """The instances that one model finds in one image, and how often it saw a label that no class takes."""

    instances: tuple[Instance, ...] = ()
    unmapped: Counter[str] = field(default_factory=Counter)


def read_findings(detections: Sequence[RawDetection], labels: LabelMap, size: Size) -> Findings:
    """The instances of one image: one per detection of a thing, one per class of stuff.

    Boxes are clipped to the image, and without area inside it they are none; stuff keeps its mask only. What
    is left without box and mask is dropped; of things that are equal but for their score the best stays.
    What has a box was seen by the detector, what has a mask by the segmenter, what has the two by both.
    """
    unmapped: Counter[str] = Counter()
    things: dict[tuple[str, Box | None, Mask | None], Instance] = {}
    stuff: dict[str, list[tuple[LabelClass, RawDetection]]] = {}
    for detection in sorted(detections, key=lambda one: -one.score):
        cls = labels.classes.get(detection.label_id)
        if cls is None:
            name = labels.name(detection.label_id)
            unmapped.update([] if is_placeholder(name) else [name])
        elif cls.kind == "stuff":
            stuff.setdefault(cls.name, []).append((cls, detection))
        elif thing := _thing(cls, detection, size):
            things.setdefault((cls.name, thing.box, thing.mask), thing)
    surfaces = (surface for parts in stuff.values() if (surface := _surface(parts)))
    return Findings((*things.values(), *surfaces), unmapped)


def drop_faint(instances: Iterable[Instance], options: PredictorOptions) -> tuple[Instance, ...]:
    """Without what scores less than its class has to. Names of ``options`` are those of the taxonomy.

    A box that scores too little is taken off, and its mask too, unless that scores enough by itself.
    """
    boxes, masks = options.class_box_thresholds, options.class_mask_thresholds
    kept: list[Instance] = []
    for one in instances:
        score = one.score or 0.0
        if one.box is not None and score >= boxes.get(one.label, options.box_threshold):
            kept.append(one)
        elif one.mask is not None and score >= masks.get(one.label, options.mask_threshold):
            kept.append(replace(one, box=None, seen_by="segmenter"))
    return tuple(kept)


def boxes_of_masks(instances: Iterable[Instance]) -> tuple[Instance, ...]:
    """The same, where a thing without a box has the tight box of its mask."""
    return tuple(
        Instance(one.label, one.kind, mask_to_box(one.mask), one.mask, one.score, one.seen_by)
        if one.kind == "thing" and one.box is None and one.mask is not None
        else one
        for one in instances
    )


def _thing(cls: LabelClass, detection: RawDetection, size: Size) -> Instance | None:
    box = clip_box(detection.box, size) if detection.box else None
    mask = detection.mask if detection.mask and detection.mask.area else None
    if box is None and mask is None:
        return None
    return Instance(cls.name, "thing", box, mask, min(detection.score, 1.0), _seen_by(box, mask))


def _seen_by(box: Box | None, mask: Mask | None) -> SeenBy:
    return "both" if box and mask else "detector" if box else "segmenter"


def _surface(parts: Sequence[tuple[LabelClass, RawDetection]]) -> Instance | None:
    masks = [one.mask for _, one in parts if one.mask and one.mask.area]
    if not masks:
        return None
    score = min(max(one.score for _, one in parts if one.mask), 1.0)
    return Instance(parts[0][0].name, "stuff", None, unite_masks(masks), score, "segmenter")
