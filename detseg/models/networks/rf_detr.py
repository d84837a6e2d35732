"""RF-DETR with its mask head: boxes and masks of one forward pass, masks for the queries that survive.

The library's ``RfDetrForInstanceSegmentation.forward`` makes the masks of all queries, of the encoder's
proposals and after every decoder layer; its post-processing reads the last layer's only. Here only those are
made, and only for queries with a score above the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from detseg.geometry.masks import bitmap_to_mask
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.inputs import height_width, processor_inputs, require_numbers, to_device
from detseg.models.network import NetworkRequest, RawDetection, lowest_score, to_logit
from detseg.models.networks.detection import read_box, to_xyxy_px
from detseg.types import DecodedImage, Mask, Size


@dataclass(frozen=True, slots=True)
class Survivors:
    """Pairs of query and label that passed a threshold, best first: ``scores``, ``label_ids`` (N,).

    ``boxes`` (N, 4) are cxcywh in [0, 1]; ``masks`` (M, h, w) the logits of the first M pairs, those that
    passed the threshold for masks.
    """

    scores: torch.Tensor
    label_ids: torch.Tensor
    boxes: torch.Tensor
    masks: torch.Tensor


class RfDetr:
    """A ``Network`` over ``RfDetrForInstanceSegmentation``."""

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._wanted, self._engine = checkpoint, wanted, engine
        self._trunk = engine.compile(self._run_trunk)

    def prepare(self, images: Sequence[DecodedImage]) -> dict[str, Any]:
        return processor_inputs(self._checkpoint, images)

    def run(self, inputs: dict[str, Any]) -> list[Survivors]:
        on_device = to_device(inputs, self._engine.device)
        with self._engine.running():
            logits, boxes, states, features = self._trunk(on_device["pixel_values"])
            return [
                self._surviving(*one) for one in zip(logits.float(), boxes, states, features, strict=True)
            ]

    def read(
        self, output: Sequence[Survivors], sizes: Sequence[Size]
    ) -> tuple[tuple[RawDetection, ...], ...]:
        pairs = zip(output, sizes, strict=True)
        return tuple(
            read_survivors(one, size, self._wanted, model=self._checkpoint.name) for one, size in pairs
        )

    def _run_trunk(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits (B, Q, labels), boxes (B, Q, 4), states (B, Q, d), what masks are made of (B, d, h, w)."""
        model = self._checkpoint.model
        outputs = model.model.model(pixels)
        states = outputs.last_hidden_state
        logits, boxes = model.model.predict_class_and_boxes(states, outputs.intermediate_reference_points[-1])
        height, width = (side // model.downsample_ratio for side in pixels.shape[-2:])
        features = functional.interpolate(
            outputs.backbone_features, size=(height, width), mode="bilinear", align_corners=False
        )
        for block in model.blocks:
            features = block(features)
        return logits, boxes, states, model.spatial_features_proj(features)

    def _surviving(
        self, logits: torch.Tensor, boxes: torch.Tensor, states: torch.Tensor, features: torch.Tensor
    ) -> Survivors:
        require_numbers(logits)
        scores, queries, label_ids = best_pairs(logits, self._wanted)
        masks = features.new_zeros(0, *features.shape[-2:])
        masked = queries[scores > self._wanted.mask_threshold]
        if self._wanted.masks and len(masked):
            masks = self._checkpoint.model.get_mask_logits(states[masked][None], features[None])[0]
        return Survivors(
            scores.cpu(),
            label_ids.cpu(),
            boxes[queries].float().cpu(),
            masks.float().cpu(),
        )


def best_pairs(
    logits: torch.Tensor, wanted: NetworkRequest
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The scores, queries and label ids of the best pairs of both, from logits (queries, labels).

    They pass the lowest threshold that is wanted, and are at most as many as there are queries: the library's
    rule.
    """
    scores, pairs = logits.sigmoid().flatten().topk(len(logits))
    kept = scores > lowest_score(wanted)
    return scores[kept], pairs[kept] // logits.shape[1], pairs[kept] % logits.shape[1]


def read_survivors(
    survivors: Survivors, size: Size, wanted: NetworkRequest, *, model: str
) -> tuple[RawDetection, ...]:
    """A detection per pair: with its box, its mask (which may be empty), or both."""
    rows = zip(survivors.scores.tolist(), survivors.label_ids.tolist(), strict=True)
    corners = to_xyxy_px(survivors.boxes, size).tolist()
    pixel_logit = to_logit(wanted.pixel_threshold)  # the library compares logits, the project probabilities
    detections = []
    for k, (score, label_id) in enumerate(rows):
        seen = wanted.boxes and score > wanted.box_threshold
        box = read_box(corners[k], model=model) if seen else None
        mask = _upsample(survivors.masks[k], size, pixel_logit) if k < len(survivors.masks) else None
        detections.append(RawDetection(label_id, score, box, mask))
    return tuple(detections)


def _upsample(logits: torch.Tensor, size: Size, pixel_logit: float) -> Mask:
    """The mask at the image's size, from logits (h, w). One at a time, so that memory stays small."""
    (target,) = height_width([size])
    large = functional.interpolate(logits[None, None], size=target, mode="bilinear", align_corners=False)
    return bitmap_to_mask((large[0, 0] > pixel_logit).numpy())
