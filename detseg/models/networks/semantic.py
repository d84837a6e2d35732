"""Semantic segmentation: every pixel has the class that is likeliest. It cannot tell things of a class apart.

So every connected region of a class is one detection (pixels that touch at a corner are connected). Of
things, each region is taken for one instance; the regions of stuff are united again by ``read_findings``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.nn import functional

from detseg.geometry.label_maps import segments_to_masks
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.inputs import height_width, processor_inputs, require_numbers, to_device
from detseg.models.network import NetworkRequest, RawDetection
from detseg.types import DecodedImage, Size

SPECK_SHARE, SPECK_PX = 0.0005, 64
"""Regions that cover a smaller share of the image are noise on the edges of others, and left out, unless they
have so many pixels as the model sees the image: what shows it much may show small things."""

_LONGEST_SHAPE = 8
"""Images that are longer, for their width, are squeezed into this shape where the model sets none."""

_TOUCHING = np.ones((3, 3), dtype=bool)


class SemanticOutput(NamedTuple):
    """An answer: ``logits`` (B, labels, h, w) of images of ``seen_px`` pixels, as the model sees them."""

    logits: torch.Tensor
    seen_px: int


class Semantic:
    """A ``Network`` over a model with ``logits`` (B, labels, h, w)."""

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._wanted, self._engine = checkpoint, wanted, engine
        if getattr(checkpoint.model, "auxiliary_head", None) is not None:
            checkpoint.model.auxiliary_head = None  # it helps training only
        self._forward = engine.compile(checkpoint.model.forward)

    def prepare(self, images: Sequence[DecodedImage]) -> dict[str, Any]:
        whole = _without_crop(self._checkpoint.processor, images[0].size)
        return processor_inputs(self._checkpoint, images, **whole)

    def run(self, inputs: dict[str, Any]) -> SemanticOutput:
        with self._engine.running(inputs["pixel_values"].shape[-1]):
            outputs = self._forward(**to_device(inputs, self._engine.device))
        logits: torch.Tensor = outputs.logits.float().cpu()
        require_numbers(logits)
        return SemanticOutput(logits, math.prod(inputs["pixel_values"].shape[-2:]))

    def read(self, output: SemanticOutput, sizes: Sequence[Size]) -> tuple[tuple[RawDetection, ...], ...]:
        threshold = self._wanted.mask_threshold
        return tuple(
            read_regions(*class_map(logits, size), threshold=threshold, seen_px=output.seen_px)
            for logits, size in zip(output.logits, sizes, strict=True)
        )


def class_map(
    values: torch.Tensor, size: Size, *, logits: bool = True, elements_at_once: int = 2**23
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The likeliest label of every pixel and its probability, both (H, W), from values (labels, h, w).

    The probability is the softmax of ``logits``; values that are none, but scores of at least 0, are divided
    by their sum. They are upsampled (bilinear), then compared, as the library does; a few labels at a time
    (``elements_at_once`` numbers), so that memory does not grow with them. Of equal ones the first wins.
    """
    (target,) = height_width([size])
    best = torch.full(target, -torch.inf)
    total = torch.full(target, -torch.inf if logits else 0.0)  # of logits, the logarithm of the sum
    labels = torch.zeros(target, dtype=torch.int64)
    step = max(1, elements_at_once // size.area)
    for start in range(0, len(values), step):
        some = functional.interpolate(
            values[None, start : start + step], size=target, mode="bilinear", align_corners=False
        )[0]  # (step, H, W)
        top, ids = some.max(0)
        labels = torch.where(top > best, ids + start, labels)
        best = torch.maximum(best, top)
        total = torch.logaddexp(total, some.logsumexp(0)) if logits else total + some.sum(0)
    probabilities = (best - total).exp() if logits else best / total.clamp_min(1e-12)
    return labels.numpy(), probabilities.numpy()


def read_regions(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float32], *, threshold: float, seen_px: int
) -> tuple[RawDetection, ...]:
    """A detection per connected region of a label, from (H, W) of labels and of their probabilities.

    Its score is the mean probability of its pixels. Regions with a score of at most ``threshold`` are left
    out; so are specks, but for the largest of each label. ``seen_px`` are the pixels of the image as the
    model sees it.
    """
    speck = min(SPECK_SHARE, SPECK_PX / seen_px) * labels.size
    return tuple(
        detection
        for label_id in np.unique(labels).tolist()
        for detection in _regions(
            label_id, labels == label_id, probabilities, threshold=threshold, speck=speck
        )
    )


def _regions(
    label_id: int,
    pixels: npt.NDArray[np.bool_],
    probabilities: npt.NDArray[np.float32],
    *,
    threshold: float,
    speck: float,
) -> list[RawDetection]:
    numbered, n_regions = ndimage.label(pixels, structure=_TOUCHING)  # 0 is everything else
    areas = np.bincount(numbered.reshape(-1), minlength=n_regions + 1)[1:]
    sums = np.bincount(numbered.reshape(-1), weights=probabilities.reshape(-1), minlength=n_regions + 1)[1:]
    scores = np.minimum(sums / areas, 1.0)
    large = areas >= min(speck, areas.max())
    kept = np.flatnonzero(large & (scores > threshold))
    masks = segments_to_masks(numbered, (kept + 1).tolist())
    return [
        RawDetection(label_id, float(scores[k]), mask=mask)
        for k, mask in zip(kept.tolist(), masks, strict=True)
    ]


def _without_crop(processor: Any, size: Size) -> dict[str, Any]:
    """Return the options by which the processor shows the model the whole image.

    Some processors (MobileNetV2's, MobileViT's) cut out the centre, as for classification. The library's
    post-processing then stretches the map of the centre over the image.
    """
    if not getattr(processor, "do_center_crop", False):
        return {}
    shorter = dict(processor.size).get("shortest_edge")
    if shorter is None:
        return {"do_center_crop": False, "size": dict(processor.crop_size)}
    if max(size.width, size.height) <= _LONGEST_SHAPE * min(size.width, size.height):
        return {"do_center_crop": False}  # the shorter edge as given, the longer in proportion
    longer = _LONGEST_SHAPE * shorter
    height, width = (shorter, longer) if size.width > size.height else (longer, shorter)
    return {"do_center_crop": False, "size": {"height": height, "width": width}}
