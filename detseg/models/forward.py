"""The forward pass of one checkpoint over images of one size, and whose fault it is when it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from detseg.errors import ImageError, ModelError
from detseg.models.checkpoints import Checkpoint
from detseg.types import DecodedImage

_IMAGE_ERRORS = (ValueError, RuntimeError, ArithmeticError, IndexError)
"""What processors and models raise for pixels that they cannot take (too thin, too small)."""


def forward(checkpoint: Checkpoint, images: Sequence[DecodedImage]) -> Any:
    """The model's raw output for images of one size (so that none is padded for the sake of another)."""
    inputs = checkpoint.processor(
        # Copies, because torch warns of arrays that may not be written to.
        images=[image.rgb.copy() for image in images],
        # Said, because a guess takes an image that is 1 or 3 pixels high for channels-first.
        input_data_format="channels_last",
        return_tensors="pt",
    )
    return checkpoint.model(**inputs.to(checkpoint.device))


def target_sizes(images: Sequence[DecodedImage]) -> list[tuple[int, int]]:
    """(height, width) per image, as transformers' post-processing wants it."""
    return [(image.size.height, image.size.width) for image in images]


@contextmanager
def answering(checkpoint: Checkpoint, images: Sequence[DecodedImage]) -> Iterator[None]:
    """Inference without gradients, in which the library's errors become ours.

    ImageError if these images cannot go through the model; ModelError if they do not fit into memory, or if
    the accelerator failed (after which no image can be predicted).
    """
    try:
        with torch.inference_mode():
            yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ModelError(_too_large(checkpoint, images)) from error
    except torch.AcceleratorError as error:
        raise ModelError(f"{checkpoint.device} failed under {checkpoint.name}: {_line(error)}") from error
    except _IMAGE_ERRORS as error:
        if "can't allocate memory" in str(error):  # torch's CPU allocator has no exception of its own
            raise ModelError(_too_large(checkpoint, images)) from error
        names = ", ".join(image.ref.uri for image in images)
        raise ImageError(
            f"{names}: {checkpoint.name} cannot predict an image of {images[0].size} ({_line(error)})"
        ) from error


def _too_large(checkpoint: Checkpoint, images: Sequence[DecodedImage]) -> str:
    return (
        f"out of memory on {checkpoint.device}: {checkpoint.name} with {len(images)} images of "
        f"{images[0].size} at once: set batch_size lower, or give a smaller model"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
