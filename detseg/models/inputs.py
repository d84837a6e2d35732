"""From images to the tensors of one forward pass, and whose fault it is when a pass fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from detseg.errors import ImageError, ModelError, short_reason
from detseg.models.checkpoints import Checkpoint
from detseg.plurals import format_count
from detseg.types import DecodedImage, Size

_IMAGE_ERRORS = (ValueError, RuntimeError, ArithmeticError, IndexError)
"""The errors of processors and models for pixels that they cannot take (too thin, too small)."""


def processor_inputs(checkpoint: Checkpoint, images: Sequence[DecodedImage], **more: Any) -> dict[str, Any]:
    """Run the checkpoint's own processor on images of one size (so that none is padded for another).

    A pixel mask that hides nothing is left out: without one, attention takes its faster form.
    """
    inputs = checkpoint.processor(
        # Copies, because torch warns of arrays that may not be written to.
        images=[image.rgb.copy() for image in images],
        # Said, because a guess takes an image that is 1 or 3 pixels high for channels-first.
        input_data_format="channels_last",
        return_tensors="pt",
        **more,
    )
    named = dict(inputs)
    if "pixel_mask" in named and bool(named["pixel_mask"].all()):
        del named["pixel_mask"]
    return named


def to_device(inputs: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The same on the device; images in channels-last order, in which convolutions are fastest."""
    return {name: _moved(value, device) for name, value in inputs.items()}


def _moved(value: Any, device: torch.device) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    if value.ndim == 4 and value.is_floating_point():
        return value.to(device, memory_format=torch.channels_last, non_blocking=True)
    return value.to(device, non_blocking=True)


def height_width(sizes: Sequence[Size]) -> list[tuple[int, int]]:
    """(height, width) per image, as transformers' post-processing wants it."""
    return [(size.height, size.width) for size in sizes]


def require_numbers(*outputs: torch.Tensor) -> None:
    """ArithmeticError for an output with a NaN: nothing is larger than that, and the image would look empty.

    A number that is too large for the precision becomes one on its way. In ``answering`` it is an ImageError.
    """
    if any(bool(output.isnan().any()) for output in outputs):
        raise ArithmeticError(
            "it answers what is no number: set engine.precision to float32, or the model is damaged"
        )


@contextmanager
def answering(name: str, images: Sequence[DecodedImage]) -> Iterator[None]:
    """In here the libraries' errors become ours.

    ImageError if these images cannot go through the model; ModelError if they do not fit into memory, or if
    the accelerator failed (after which no image can be predicted).
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ModelError(_too_large(name, images)) from error
    except torch.AcceleratorError as error:
        raise ModelError(f"the device failed under {name}: {short_reason(error)}") from error
    except _IMAGE_ERRORS as error:
        if "can't allocate memory" in str(error):  # torch's CPU allocator has no exception of its own
            raise ModelError(_too_large(name, images)) from error
        raise ImageError(
            f"cannot be predicted by {name} at {images[0].size} pixels ({short_reason(error)})"
        ) from error


def _too_large(name: str, images: Sequence[DecodedImage]) -> str:
    n, size = len(images), images[0].size
    smaller = f"set source.max_pixels below {size.area}, so that it is left out"
    mend = "set engine.batch_size lower" if n > 1 else smaller
    images_of = f"{format_count(n, 'image')} of {size}"
    return f"out of memory: {name} with {images_of} at once: {mend}, or give a smaller model"
