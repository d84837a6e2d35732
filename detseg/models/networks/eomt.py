"""EoMT. Its semantic checkpoints look at an image in square pieces; the others are universal segmenters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from transformers.image_transforms import get_size_with_aspect_ratio

from detseg.errors import ImageError
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.inputs import processor_inputs, require_numbers, to_device
from detseg.models.network import Network, NetworkRequest, RawDetection
from detseg.models.networks.semantic import class_map, read_regions
from detseg.models.networks.universal import Universal
from detseg.types import DecodedImage, Size

_MOST_PIECES = 16


def make_eomt(checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> Network:
    """The network for an EoMT: what it was trained for stands in its processor."""
    made: Network = (EomtInPieces if checkpoint.processor.do_split_image else Universal)(
        checkpoint, wanted, engine
    )
    return made


class EomtInPieces:
    """A ``Network`` over a semantic EoMT, read like ``Semantic``.

    The score of a class at a pixel is the sum over the queries of its probability and the mask's, as the
    library has it; here it is divided by that of all classes, to be a probability.
    """

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._wanted, self._engine = checkpoint, wanted, engine
        self._forward = engine.compile(checkpoint.model.forward)

    def prepare(self, images: Sequence[DecodedImage]) -> dict[str, Any]:
        """ImageError for an image so long and thin that it would be too many pieces."""
        height, width = self._resized(images[0].size)
        n_pieces = -(-max(height, width) // min(height, width))
        if n_pieces > _MOST_PIECES:
            raise ImageError(
                f"cannot be predicted by {self._checkpoint.name} at {images[0].size} pixels, "
                f"which are {n_pieces} square pieces: cut it into images of {_MOST_PIECES} at most"
            )
        return processor_inputs(self._checkpoint, images)

    def run(self, inputs: dict[str, Any]) -> SimpleNamespace:
        offsets = inputs["patch_offsets"]
        with self._engine.running():
            outputs = self._forward(pixel_values=to_device(inputs, self._engine.device)["pixel_values"])
        require_numbers(outputs.class_queries_logits)
        return SimpleNamespace(
            class_queries_logits=outputs.class_queries_logits.float().cpu(),  # (pieces, Q, labels + 1)
            masks_queries_logits=outputs.masks_queries_logits.float().cpu(),  # (pieces, Q, h, w)
            patch_offsets=offsets,
        )

    def read(self, output: SimpleNamespace, sizes: Sequence[Size]) -> tuple[tuple[RawDetection, ...], ...]:
        results = self._checkpoint.processor.post_process_semantic_segmentation(
            output, target_sizes=[self._resized(size) for size in sizes], return_segmentation_scores=True
        )
        return tuple(
            self._read(result["segmentation_scores"], size)
            for result, size in zip(results, sizes, strict=True)
        )

    def _read(self, scores: torch.Tensor, size: Size) -> tuple[RawDetection, ...]:
        found = class_map(scores, size, logits=False)
        seen_px = math.prod(self._resized(size))
        return read_regions(*found, threshold=self._wanted.mask_threshold, seen_px=seen_px)

    def _resized(self, size: Size) -> tuple[int, int]:
        """Height and width of the image before it is cut into pieces."""
        edges = self._checkpoint.processor.size
        resized: tuple[int, int] = get_size_with_aspect_ratio(
            (size.height, size.width), edges["shortest_edge"], edges["longest_edge"]
        )
        return resized
