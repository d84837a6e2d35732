"""Masks: what a segmenter's raw output means in pixels and in the project's classes."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detseg.geometry.masks import Bitmap, bitmap_to_mask
from detseg.models.checkpoints import Checkpoint
from detseg.models.forward import answering, forward, target_sizes
from detseg.models.labels import Findings, LabelMap, is_placeholder
from detseg.taxonomy import LabelClass
from detseg.types import DecodedImage, Instance

_ONE_BY_ONE = frozenset({"detr"})
"""DETR's mask head runs on every query: one photo at 800x1066 takes 13 GB, and a batch as often as much."""


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """See ``PredictorOptions``; ``panoptic`` says that every pixel has one owner, stuff among them."""

    threshold: float
    pixel_threshold: float
    overlap_threshold: float
    panoptic: bool


def segment(
    checkpoint: Checkpoint, labels: LabelMap, images: Sequence[DecodedImage], *, options: MaskOptions
) -> tuple[Findings, ...]:
    """The masks of every image, in the image's own size; one instance per class of stuff."""
    if checkpoint.config.model_type in _ONE_BY_ONE and len(images) > 1:
        return tuple(
            found for image in images for found in segment(checkpoint, labels, [image], options=options)
        )
    with answering(checkpoint, images):
        results = post_process(
            checkpoint.processor, forward(checkpoint, images), sizes=target_sizes(images), options=options
        )
    return tuple(read_segments(result, labels) for result in results)


def post_process(
    processor: Any, outputs: Any, *, sizes: Sequence[tuple[int, int]], options: MaskOptions
) -> Any:
    """The library's own segments of a raw output, one answer per image; ``sizes`` are (height, width).

    Panoptic, or by instance where a checkpoint knows things only: without stuff there is no background that
    takes the pixels of no thing, and the panoptic form would give them all to the things.

    Stuff is not fused here (``label_ids_to_fuse`` stays empty) but in ``read_segments``: in transformers
    5.23.0 a segment that follows a fused one may get the number of an earlier segment, and both become one.
    """
    kind = "panoptic" if options.panoptic else "instance"
    method = getattr(processor, f"post_process_{kind}_segmentation")
    wanted = {
        "threshold": options.threshold,
        "mask_threshold": options.pixel_threshold,
        "overlap_mask_area_threshold": options.overlap_threshold,
        "label_ids_to_fuse": set(),
        "return_binary_maps": True,
        "target_sizes": list(sizes),
    }
    taken = inspect.signature(method).parameters
    return method(outputs, **{name: value for name, value in wanted.items() if name in taken})


def read_segments(result: Any, labels: LabelMap) -> Findings:
    """The instances of one image: one per segment of a thing, one per class of stuff."""
    things: list[Instance] = []
    stuff: dict[str, tuple[LabelClass, float, Bitmap]] = {}
    unmapped: Counter[str] = Counter()
    maps = result["segmentation"].cpu().numpy()  # (H, W) of segment ids, or (N, H, W) of 0 and 1
    for rank, info in enumerate(result["segments_info"]):
        bitmap = maps[rank] > 0 if maps.ndim == 3 else maps == info["id"]
        cls = labels.classes.get(info["label_id"])
        if cls is None:
            if not is_placeholder(labels.name(info["label_id"])):
                unmapped[labels.name(info["label_id"])] += 1
        elif not bitmap.any():
            continue
        elif cls.kind == "thing":
            things.append(_instance(cls, float(info["score"]), bitmap))
        else:
            _, score, before = stuff.get(cls.name, (cls, 0.0, np.zeros_like(bitmap)))
            stuff[cls.name] = (cls, max(score, float(info["score"])), before | bitmap)
    surfaces = (_instance(cls, score, bitmap) for cls, score, bitmap in stuff.values())
    return Findings((*things, *surfaces), unmapped)


def _instance(cls: LabelClass, score: float, bitmap: Bitmap) -> Instance:
    return Instance(
        cls.name, cls.kind, mask=bitmap_to_mask(bitmap), score=min(score, 1.0), seen_by="segmenter"
    )
