"""DETR with its mask head: boxes and masks of one forward pass, masks for the queries that survive.

In half precision only what takes the time runs in it: the backbone, the encoder and the convolutions of the
mask head. What the queries do is little work, and everything that is answered comes out of it.

The library's ``DetrForSegmentation.forward`` runs the mask head on all 100 queries and drops most of them
after it. Here the class scores choose the queries first. What does not depend on the query (the projected
features in the first convolution, the FPN adapters) is computed once per image. The result is the library's
own, but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from detseg.geometry.label_maps import segments_to_masks
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.folding import fold_batch_norms
from detseg.models.inputs import processor_inputs, require_numbers, to_device
from detseg.models.network import NetworkRequest, RawDetection
from detseg.models.networks.detection import read_box, to_xyxy_px
from detseg.models.networks.segments import panoptic_segments
from detseg.types import DecodedImage, Mask, Size

_PROBE_PX = 64
_QUERIES_AT_ONCE = 6
"""Queries in one run of the mask head: what it works on stays near the caches, and its memory is bounded."""


@dataclass(frozen=True, slots=True)
class Answer:
    """DETR's answer about one image, on the CPU.

    ``scores`` and ``label_ids`` (Q,) are of the best real label of every query, ``boxes`` (Q, 4) are cxcywh
    in [0, 1]. ``masked`` (N,) are the queries that have a mask, and ``masks`` (N, h, w) its logits, on the
    device.
    """

    scores: torch.Tensor
    label_ids: torch.Tensor
    boxes: torch.Tensor
    masked: torch.Tensor
    masks: torch.Tensor | None


class Detr:
    """A ``Network`` over ``DetrForObjectDetection`` and ``DetrForSegmentation``."""

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._wanted, self._engine = checkpoint, wanted, engine
        model = checkpoint.model
        # Images of one size are not padded for each other: all that padding would make is a mask of ones.
        self._unpadded = {"do_pad": False} if getattr(checkpoint.processor, "pad_size", 1) is None else {}
        self._detector = model.detr if hasattr(model, "detr") else model
        probe = torch.zeros(1, 3, _PROBE_PX, _PROBE_PX, device=engine.device)
        fold_batch_norms(model, lambda: self._detector(pixel_values=probe))
        model.to(memory_format=torch.channels_last)
        self._trunk = engine.compile(self._run_trunk)

    def prepare(self, images: Sequence[DecodedImage]) -> dict[str, Any]:
        return processor_inputs(self._checkpoint, images, **self._unpadded)

    def run(self, inputs: dict[str, Any]) -> list[Answer]:
        pixels = to_device(inputs, self._engine.device)["pixel_values"]  # (B, 3, H, W)
        with self._engine.running(inputs["pixel_values"].shape[-1]):
            logits, boxes, states, *maps = self._trunk(pixels)
            return [
                self._answer(logits[i].float(), boxes[i].float(), states[i], [one[i : i + 1] for one in maps])
                for i in range(len(pixels))
            ]

    def read(self, output: Sequence[Answer], sizes: Sequence[Size]) -> tuple[tuple[RawDetection, ...], ...]:
        return tuple(self._read(answer, size) for answer, size in zip(output, sizes, strict=True))

    def _answer(
        self, logits: torch.Tensor, boxes: torch.Tensor, states: torch.Tensor, maps: list[torch.Tensor]
    ) -> Answer:
        probabilities = logits.softmax(-1)  # (Q, labels + 1); the last label is "no object"
        require_numbers(probabilities)
        scores, label_ids = probabilities[:, :-1].max(-1)
        survives = (scores > self._wanted.mask_threshold) & (scores > probabilities[:, -1])
        masked = torch.nonzero(survives)[:, 0]  # (N,)
        masks = None
        if self._wanted.masks and len(masked):
            some = torch.split(states[masked], _QUERIES_AT_ONCE)
            masks = torch.cat([self._run_mask_head(one, *maps) for one in some])
        return Answer(scores.cpu(), label_ids.cpu(), boxes.cpu(), masked.cpu(), masks)

    def _run_trunk(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits (B, Q, labels + 1), boxes (B, Q, 4), states (B, Q, d), and what all masks of an image share.

        That is the memory (B, d, h, w), the shared part of the mask head's first convolution, and the adapted
        features of the backbone, from coarse to fine.
        """
        model = self._detector.model
        everywhere = torch.ones((len(pixels), *pixels.shape[-2:]), device=pixels.device)
        features = [
            one for one, _ in model.backbone(pixels, everywhere)
        ]  # fine to coarse, (B, C_i, h_i, w_i)
        with self._engine.exactly():
            projected = model.input_projection(features[-1].float())  # (B, d, h, w)
        positions = model.position_embedding(
            shape=projected.shape, device=pixels.device, dtype=pixels.dtype
        )  # (1 or B, d, h, w)
        positions = positions.flatten(2).transpose(1, 2)
        memory = model.encoder(
            inputs_embeds=projected.flatten(2).transpose(1, 2), spatial_position_embeddings=positions
        ).last_hidden_state  # (B, h*w, d)
        with self._engine.exactly():
            memory = memory.float()
            queries = model.query_position_embeddings.weight[None].expand(len(pixels), -1, -1)
            states = model.decoder(
                inputs_embeds=torch.zeros_like(queries),
                spatial_position_embeddings=positions,
                object_queries_position_embeddings=queries,
                encoder_hidden_states=memory,
            ).last_hidden_state  # (B, Q, d)
            logits = self._detector.class_labels_classifier(states)
            boxes = self._detector.bbox_predictor(states).sigmoid()
        if not self._wanted.masks:
            return logits, boxes, states
        head = self._checkpoint.model.mask_head
        memory_map = memory.transpose(1, 2).reshape(projected.shape)
        # The first convolution reads [projected, attention]. It is linear, and the first part of its input is
        # the same for every query.
        first = head.conv1.conv
        shared = functional.conv2d(projected, first.weight[:, : projected.shape[1]], first.bias, padding=1)
        adapted = [
            stage.fpn_adapter(feature)
            for stage, feature in zip(head.fpn_stages, reversed(features[:-1]), strict=False)
        ]
        maps = (memory_map, shared, *adapted)
        return logits, boxes, states, *(one.contiguous(memory_format=torch.channels_last) for one in maps)

    def _run_mask_head(
        self, states: torch.Tensor, memory: torch.Tensor, shared: torch.Tensor, *adapted: torch.Tensor
    ) -> torch.Tensor:
        """Mask logits (N, h', w') of N queries of one image, of their states (N, d) and the shared maps."""
        head = self._checkpoint.model.mask_head
        with self._engine.exactly():
            attention = self._checkpoint.model.bbox_attention(states[None], memory)[0]  # (N, heads, h, w)
        own = functional.conv2d(attention, head.conv1.conv.weight[:, -attention.shape[1] :], padding=1)
        x = head.conv2(head.conv1.activation(head.conv1.norm(shared + own)))  # (N, d / 2, h, w)
        for stage, features in zip(head.fpn_stages, adapted, strict=True):
            x = functional.interpolate(x, size=features.shape[-2:], mode="nearest")
            x = stage.refine(features + x)
        masks: torch.Tensor = head.output_conv(x)[:, 0]
        return masks

    def _read(self, answer: Answer, size: Size) -> tuple[RawDetection, ...]:
        masks = self._read_masks(answer, size)
        boxes = to_xyxy_px(answer.boxes, size).tolist() if self._wanted.boxes else None
        detections = []
        for query, (score, label_id) in enumerate(
            zip(answer.scores.tolist(), answer.label_ids.tolist(), strict=True)
        ):
            seen = score > self._wanted.box_threshold
            box = read_box(boxes[query], model=self._checkpoint.name) if boxes and seen else None
            if box or query in masks:
                detections.append(RawDetection(label_id, score, box, masks.get(query)))
        return tuple(detections)

    def _read_masks(self, answer: Answer, size: Size) -> dict[int, Mask]:
        if answer.masks is None:
            return {}
        segments = panoptic_segments(
            answer.masks,
            answer.scores[answer.masked],
            size,
            pixel_threshold=self._wanted.pixel_threshold,
            overlap_threshold=self._wanted.overlap_threshold,
        )
        queries = answer.masked.tolist()
        masks = segments_to_masks(segments.owners, segments.kept)
        return {queries[k]: mask for k, mask in zip(segments.kept, masks, strict=True)}
