"""Detectors of transformers: every query is a box with class scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers import RTDetrImageProcessor

from detseg.errors import ModelError
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.inputs import height_width, processor_inputs, require_numbers, to_device
from detseg.models.network import NetworkRequest, RawDetection
from detseg.types import Box, DecodedImage, Size


class Detection:
    """A ``Network`` over a model with ``logits`` and ``pred_boxes``, read by its processor's own rules."""

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._wanted, self._engine = checkpoint, wanted, engine
        self._forward = engine.compile(checkpoint.model.forward)
        self._reader = checkpoint.processor

    def prepare(self, images: Sequence[DecodedImage]) -> dict[str, Any]:
        return processor_inputs(self._checkpoint, images)

    def run(self, inputs: dict[str, Any]) -> Any:
        with self._engine.running(inputs["pixel_values"].shape[-1]):
            outputs = self._forward(**to_device(inputs, self._engine.device))
        return in_float32(outputs, "logits", "pred_boxes")

    def read(self, output: Any, sizes: Sequence[Size]) -> tuple[tuple[RawDetection, ...], ...]:
        results = self._reader.post_process_object_detection(
            output, threshold=self._wanted.box_threshold, target_sizes=height_width(sizes)
        )
        return tuple(read_boxes(result, model=self._checkpoint.name) for result in results)


class DocumentLayout(Detection):
    """A ``Network`` over PP-DocLayout, an RT-DETR whose reading order and outlines are left out."""

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        super().__init__(checkpoint, wanted, engine)
        self._reader = RTDetrImageProcessor()


def in_float32(outputs: Any, *names: str) -> Any:
    """The output with these tensors alone, in float32 on the CPU: what reading needs, whatever the engine."""
    values = {name: getattr(outputs, name).float().cpu() for name in names}
    require_numbers(*values.values())
    return type(outputs)(**values)


def read_boxes(result: Any, *, model: str) -> tuple[RawDetection, ...]:
    """The detections of one image, from ``scores``, ``labels`` and ``boxes`` (N, 4) in ``xyxy`` pixels."""
    rows = zip(result["scores"].tolist(), result["labels"].tolist(), result["boxes"].tolist(), strict=True)
    return tuple(
        RawDetection(label_id, score, box=read_box(xyxy_px, model=model)) for score, label_id, xyxy_px in rows
    )


def to_xyxy_px(cxcywh: torch.Tensor, size: Size) -> torch.Tensor:
    """The corners of boxes (N, 4) in pixels, from their centres and sides in [0, 1]."""
    centre, half = cxcywh[:, :2], cxcywh[:, 2:] / 2
    return torch.cat((centre - half, centre + half), dim=1) * torch.tensor([size.width, size.height] * 2)


def read_box(xyxy_px: Sequence[float], *, model: str) -> Box:
    """The box; corners in the wrong order (a side of less than nothing) make one without area.

    ModelError for corners that are not finite.
    """
    x0, y0, x1, y1 = xyxy_px
    if not all(map(math.isfinite, xyxy_px)):
        raise ModelError(f"{model} answered the box {tuple(xyxy_px)}: the checkpoint is damaged")
    return Box(x0, y0, max(x0, x1), max(y0, y1))
