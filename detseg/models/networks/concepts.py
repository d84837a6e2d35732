"""SAM 3: every instance of a concept that is given as a short text, with box and mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch.nn import functional

from detseg.errors import ModelError
from detseg.geometry.masks import bitmap_to_mask
from detseg.models.checkpoints import Checkpoint, load_with_text
from detseg.models.engine import Engine
from detseg.models.inputs import processor_inputs, require_numbers, to_device
from detseg.models.network import NetworkRequest, RawDetection, lowest_score
from detseg.models.networks.detection import read_box
from detseg.models.networks.sharing import with_forward
from detseg.types import DecodedImage, Mask, Size


@dataclass(frozen=True, slots=True)
class Found:
    """The finds of one concept in one image: ``scores`` (N,), ``boxes`` (N, 4) as xyxy in [0, 1], mask
    logits."""

    label_id: int
    scores: torch.Tensor
    boxes: torch.Tensor
    masks: torch.Tensor


class Concepts:
    """A ``Network`` that looks for the wanted names, one after the other.

    The names are read once for all images, an image is encoded once for all names. Only instances whose score
    is high enough get a mask of the image's size.
    """

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._wanted, self._engine = checkpoint, wanted, engine
        self._threshold = lowest_score(wanted)
        encode = engine.compile(checkpoint.model.vision_encoder.forward)
        self._model = with_forward(checkpoint.model, "vision_encoder", encode)
        self._texts = [self._read_text(name) for name in wanted.names]

    def prepare(self, images: Sequence[DecodedImage]) -> torch.Tensor:
        pixels: torch.Tensor = processor_inputs(self._checkpoint, images)["pixel_values"]
        return pixels

    def run(self, inputs: torch.Tensor) -> list[list[Found]]:
        answers: list[list[Found]] = [[] for _ in inputs]
        with self._engine.running():
            seen = self._model.get_vision_features(
                to_device({"pixels": inputs}, self._engine.device)["pixels"]
            )
            for label_id, (features, attended) in enumerate(self._texts):
                outputs = self._model(
                    vision_embeds=seen,
                    text_embeds=SimpleNamespace(pooler_output=features.expand(len(inputs), -1, -1)),
                    attention_mask=attended.expand(len(inputs), -1),
                )
                for i, answer in enumerate(answers):
                    answer.append(self._surviving(label_id, outputs, i))
        return answers

    def read(
        self, output: Sequence[list[Found]], sizes: Sequence[Size]
    ) -> tuple[tuple[RawDetection, ...], ...]:
        return tuple(
            tuple(detection for found in answer for detection in self._read(found, size))
            for answer, size in zip(output, sizes, strict=True)
        )

    def _read_text(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The features (1, words, d) of a name and which of its words count (1, words)."""
        inputs = to_device(
            dict(self._checkpoint.processor(text=name, return_tensors="pt")), self._engine.device
        )
        longest = self._checkpoint.config.text_config.max_position_embeddings
        if inputs["input_ids"].shape[1] > longest:
            raise ModelError(
                f"{self._checkpoint.name} reads names of at most {longest} tokens, and {name!r} has "
                f"{inputs['input_ids'].shape[1]}: rename the class"
            )
        with self._engine.running():
            features = self._model.get_text_features(**inputs, return_dict=True)
        return features.pooler_output, inputs["attention_mask"]

    def _surviving(self, label_id: int, outputs: Any, i: int) -> Found:
        """Choose what scores enough in image ``i``: a query's score times that of the concept's presence."""
        scores = outputs.pred_logits[i].float().sigmoid() * outputs.presence_logits[i].float().sigmoid()
        require_numbers(scores)
        keep = scores > self._threshold
        return Found(
            label_id,
            scores[keep].cpu(),
            outputs.pred_boxes[i][keep].float().cpu(),
            outputs.pred_masks[i][keep].float().cpu(),
        )

    def _read(self, found: Found, size: Size) -> Iterator[RawDetection]:
        corners = found.boxes * torch.tensor([size.width, size.height] * 2)
        for score, xyxy_px, logits in zip(found.scores.tolist(), corners.tolist(), found.masks, strict=True):
            box, mask = read_box(xyxy_px, model=self._checkpoint.name), None
            if self._wanted.masks and score > self._wanted.mask_threshold:
                mask = self._enlarge(logits, size)
            seen = self._wanted.boxes and score > self._wanted.box_threshold
            yield RawDetection(found.label_id, score, box if seen else None, mask)

    def _enlarge(self, logits: torch.Tensor, size: Size) -> Mask:
        """As the library does it: probabilities (h, w) are upsampled, then compared."""
        probabilities = functional.interpolate(
            logits.sigmoid()[None, None], size=(size.height, size.width), mode="bilinear", align_corners=False
        )[0, 0]
        return bitmap_to_mask((probabilities > self._wanted.pixel_threshold).numpy())


def load_concepts(name: str, architecture: str) -> Checkpoint:
    """``Sam3Model``, also out of a model for videos."""
    return load_with_text(name, architecture.replace("Video", ""))
