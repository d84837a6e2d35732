"""Whose fault it is when the library fails: the image's, the model's, or the machine's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DetrImageProcessor

from detseg.errors import DetsegError, ImageError, ModelError
from detseg.models.checkpoints import Checkpoint
from detseg.models.forward import answering, forward
from tests.models.made import made_image


def failing(error: BaseException) -> Checkpoint:
    def model(**_: Any) -> None:
        raise error

    return Checkpoint("m", "detector", model, DetrImageProcessor(), torch.device("cpu"))


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            ValueError("mean must\n have 3"),
            ImageError,
            r"made-9x8-0.png: m cannot predict .*\(mean must have 3\)",
        ),
        (ZeroDivisionError(), ImageError, r"an image of 9x8 \(ZeroDivisionError\)"),
        (MemoryError(), ModelError, "out of memory on cpu: m with 1 images of 9x8 at once: set batch_size"),
        (torch.OutOfMemoryError("CUDA"), ModelError, "out of memory on cpu"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
            ModelError,
            "out of memory on cpu",
        ),
        (
            torch.AcceleratorError("device-side assert"),
            ModelError,
            "cpu failed under m: device-side assert",
        ),
    ],
)
def test_errors_of_the_library_are_told_apart(
    error: BaseException, kind: type[DetsegError], message: str
) -> None:
    checkpoint, images = failing(error), [made_image(9, 8)]
    with pytest.raises(kind, match=message) as caught, answering(checkpoint, images):
        forward(checkpoint, images)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_our_own_bugs_are_not_an_images_fault() -> None:
    checkpoint, images = failing(AssertionError("a bug")), [made_image(9, 8)]
    with pytest.raises(AssertionError, match="a bug"), answering(checkpoint, images):
        forward(checkpoint, images)


def test_nothing_is_kept_for_gradients() -> None:
    checkpoint, images = failing(ValueError()), [made_image(9, 8)]
    with answering(checkpoint, images):
        assert torch.is_inference_mode_enabled()
    assert not torch.is_inference_mode_enabled()
