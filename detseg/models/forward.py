"""The forward pass of one checkpoint over images of one size: pixels in, the library's raw output out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from detseg.errors import ImageError, ModelError
from detseg.models.checkpoints import Checkpoint
from detseg.types import DecodedImage

_IMAGE_ERRORS = (ValueError, RuntimeError, ArithmeticError, IndexError)
"""What processors and models raise for pixels that they cannot take (too thin, too small)."""


def forward(checkpoint: Checkpoint, images: Sequence[DecodedImage]) -> Any:
    """The model's output for images of one size (so that none is padded for the sake of another).

    ImageError if these images cannot go through the model; ModelError if they do not fit into memory.
    """
    try:
        inputs = checkpoint.processor(
            # Copies, because torch warns of arrays that may not be written to.
            images=[image.rgb.copy() for image in images],
            # Said, because a guess takes an image that is 1 or 3 pixels high for channels-first.
            input_data_format="channels_last",
            return_tensors="pt",
        )
        with torch.inference_mode():
            return checkpoint.model(**inputs.to(checkpoint.device))
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ModelError(_too_large(checkpoint, images)) from error
    except _IMAGE_ERRORS as error:
        if "can't allocate memory" in str(error):  # torch's CPU allocator has no exception of its own
            raise ModelError(_too_large(checkpoint, images)) from error
        names = ", ".join(image.ref.uri for image in images)
        reason = " ".join(str(error).split())[:200]
        raise ImageError(
            f"{names}: {checkpoint.name} cannot predict an image of {images[0].size} ({reason})"
        ) from error


def target_sizes(images: Sequence[DecodedImage]) -> list[tuple[int, int]]:
    """(height, width) per image, as transformers' post-processing wants it."""
    return [(image.size.height, image.size.width) for image in images]


def _too_large(checkpoint: Checkpoint, images: Sequence[DecodedImage]) -> str:
    return (
        f"out of memory on {checkpoint.device}: {checkpoint.name} with {len(images)} images of "
        f"{images[0].size} at once: set batch_size lower, or give a smaller model"
    )
