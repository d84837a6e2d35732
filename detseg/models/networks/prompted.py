"""Masks for the boxes of a detector: SAM, SAM-HQ, SAM 2 and EdgeTAM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from detseg.geometry.boxes import Floats
from detseg.geometry.masks import bitmap_to_mask
from detseg.models.checkpoints import Checkpoint, load_transformers
from detseg.models.engine import Engine
from detseg.models.inputs import height_width, processor_inputs, require_numbers, to_device
from detseg.models.network import NetworkRequest, to_logit
from detseg.models.networks.sharing import with_forward
from detseg.types import DecodedImage, Mask, Size

_BOXES_AT_ONCE = 16
"""So many boxes go through the mask decoder together: it holds some 20 MB for each."""


class BoxPrompted:
    """A ``PromptedNetwork``: the image encoder runs once per image, the mask decoder on all of its boxes.

    An image without boxes goes through neither. Of the masks that the decoder can give for a box (whole,
    part, part of a part) it is asked for the one that it takes for the best.
    """

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._engine = checkpoint, engine
        self._threshold = to_logit(wanted.pixel_threshold)
        encode = engine.compile(checkpoint.model.vision_encoder.forward)
        self._model = with_forward(checkpoint.model, "vision_encoder", encode)

    def prepare(self, images: Sequence[DecodedImage]) -> dict[str, Any]:
        return processor_inputs(self._checkpoint, images)

    def segment(
        self, inputs: dict[str, Any], boxes: Sequence[Floats], sizes: Sequence[Size]
    ) -> tuple[tuple[Mask, ...], ...]:
        answers: list[tuple[Mask, ...]] = [()] * len(boxes)
        asked = [i for i, some in enumerate(boxes) if len(some)]
        if asked:
            pixels = to_device({"pixels": inputs["pixel_values"][asked]}, self._engine.device)["pixels"]
            with self._engine.running():
                embeddings = self._model.get_image_embeddings(pixels)
            shown = _shown_sizes(inputs)  # (B, 2)
            for row, i in enumerate(asked):
                prompts = _scale(boxes[i], sizes[i], shown[i])
                answers[i] = tuple(self._masks(_of_image(embeddings, row), prompts, sizes[i], shown[i]))
        return tuple(answers)

    def _masks(
        self, embeddings: Any, prompts: torch.Tensor, size: Size, shown: torch.Tensor
    ) -> Iterator[Mask]:
        """A mask per prompt (N, 4) of one image, enlarged one by one."""
        keywords = {"image_embeddings": embeddings}
        if isinstance(embeddings, tuple):  # SAM-HQ also reads what its encoder saw on the way
            keywords = {"image_embeddings": embeddings[0], "intermediate_embeddings": embeddings[1]}
        for some in torch.split(prompts, _BOXES_AT_ONCE):
            with self._engine.running():
                logits = self._model(
                    input_boxes=some[None].to(self._engine.device), multimask_output=False, **keywords
                ).pred_masks  # (1, n, 1, h, w)
            require_numbers(logits)
            for one in logits[0].float().cpu():
                yield self._enlarge(one[None], size, shown)

    def _enlarge(self, logits: torch.Tensor, size: Size, shown: torch.Tensor) -> Mask:
        """The library's own mask of the image's size, from logits (1, 1, h, w)."""
        process, square = self._checkpoint.processor.post_process_masks, {}
        if hasattr(
            self._checkpoint.processor, "pad_size"
        ):  # SAM and SAM-HQ: the rest of the square is padding
            square = {"reshaped_input_sizes": shown[None]}
        (mask,) = process([logits], height_width([size]), mask_threshold=self._threshold, **square)
        return bitmap_to_mask(mask[0, 0].numpy())


def load_from_video(name: str, architecture: str) -> Checkpoint:
    """The model for images inside a model for videos: ``Sam2Model`` of a ``Sam2VideoModel``."""
    return load_transformers(name, architecture.replace("Video", ""))


def _shown_sizes(inputs: dict[str, Any]) -> torch.Tensor:
    """(height, width) at which the model sees each image, without padding."""
    if "reshaped_input_sizes" in inputs:
        sizes: torch.Tensor = inputs["reshaped_input_sizes"]
        return sizes
    pixels = inputs["pixel_values"]
    return torch.tensor([pixels.shape[-2:]] * len(pixels))


def _scale(boxes: Floats, size: Size, shown: torch.Tensor) -> torch.Tensor:
    """Boxes (N, 4) in pixels of the image, as ``xyxy`` in pixels that the model sees."""
    height, width = shown.tolist()
    x, y = width / size.width, height / size.height
    return torch.tensor(boxes * [x, y, x, y], dtype=torch.float32)


def _of_image(embeddings: Any, row: int) -> Any:
    """The part of one image, as a batch of 1."""
    if isinstance(embeddings, list | tuple):
        return type(embeddings)(_of_image(one, row) for one in embeddings)
    return embeddings[row : row + 1]
