"""The agreement of two runs of ``detseg predict`` over the same photos."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detseg.geometry.boxes import box_iou_matrix, boxes_to_array
from detseg.geometry.label_maps import map_to_array
from detseg.geometry.masks import decode_mask
from detseg.metrics.panoptic import panoptic_quality
from detseg.metrics.scenes import paint_regions
from detseg.types import Annotation, Box, ImageId, Instance, Region, RegionId, Size

SAME_BOX_IOU = 0.95


@dataclass(frozen=True, slots=True)
class Agreement:
    """``pq`` takes the first run as the truth. ``boxes_changed`` is the share of all boxes of both runs
    without a partner of the same label and an IoU of 0.95 in the other; ``pixels_changed`` the share of the
    pixels whose label is another. Both in [0, 1]."""

    pq: float | None
    boxes_changed: float
    pixels_changed: float
    n_boxes: int
    n_segments: int


def compare(first: Path, second: Path) -> Agreement:
    """Two ``predictions.json`` over the same photos."""
    one, other = _read(first), _read(second)
    pairs = list(zip(one, other, strict=True))
    n_boxes = sum(len(_boxes(a)) for pair in pairs for a in pair)
    lonely = sum(_lonely(a, b) + _lonely(b, a) for a, b in pairs)
    return Agreement(
        pq=panoptic_quality(one, other).all.pq,
        boxes_changed=lonely / n_boxes if n_boxes else 0.0,
        pixels_changed=float(np.mean([_pixels_changed(a, b) for a, b in pairs])),
        n_boxes=n_boxes,
        n_segments=sum(region.instance.mask is not None for a in one for region in a.regions),
    )


def _lonely(a: Annotation, b: Annotation) -> int:
    """Count the boxes of ``a`` that have no partner in ``b``."""
    ours, theirs = _boxes(a), _boxes(b)
    iou = box_iou_matrix(boxes_to_array([box for _, box in ours]), boxes_to_array([box for _, box in theirs]))
    same = np.array([[label == other for other, _ in theirs] for label, _ in ours], dtype=bool)
    return int((~((iou >= SAME_BOX_IOU) & same.reshape(iou.shape)).any(axis=1)).sum())


def _pixels_changed(a: Annotation, b: Annotation) -> float:
    labels = sorted({region.instance.label for one in (a, b) for region in one.regions})
    names = {name: i + 1 for i, name in enumerate(labels)}
    maps = []
    for annotation in (a, b):
        owners, regions = paint_regions(annotation)
        numbers = np.array([0, *(names[region.instance.label] for region in regions)])
        maps.append(numbers[map_to_array(owners)])
    return float((maps[0] != maps[1]).mean())


def _boxes(annotation: Annotation) -> Sequence[tuple[str, Box]]:
    return [(r.instance.label, r.instance.box) for r in annotation.regions if r.instance.box]


def _read(file: Path) -> list[Annotation]:
    return [_annotation(image) for image in json.loads(file.read_text())["images"]]


def _annotation(image: Mapping[str, Any]) -> Annotation:
    instances = [
        Instance(
            label=entry["label"],
            kind=entry["kind"],
            box=Box(*entry["box"]) if entry["box"] else None,
            mask=decode_mask(entry["mask"]) if entry["mask"] else None,
            score=entry["score"],
            seen_by=entry["seen_by"],
        )
        for entry in image["instances"]
    ]
    return Annotation(
        image=ImageId(image["id"]),
        size=Size(image["width"], image["height"]),
        author="benchmark",
        state="labeled",
        regions=tuple(Region(RegionId(str(i)), "model", one) for i, one in enumerate(instances)),
    )
