"""Whose fault it is when the library fails: the image's, the model's, or the machine's."""

from __future__ import annotations

import pytest
import torch

from detseg.errors import DetsegError, ImageError, ModelError
from detseg.models.inputs import answering
from tests.models.made import made_image


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            ValueError("mean must\n have 3"),
            ImageError,
            r"^cannot be predicted by m at 9x8 pixels \(mean must have 3\)$",
        ),
        (ZeroDivisionError(), ImageError, r"at 9x8 pixels \(ZeroDivisionError\)"),
        (
            MemoryError(),
            ModelError,
            "out of memory: m with 1 image of 9x8 at once: set source.max_pixels below 72",
        ),
        (torch.OutOfMemoryError("CUDA"), ModelError, "out of memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
            ModelError,
            "out of memory",
        ),
        (
            torch.AcceleratorError("device-side assert"),
            ModelError,
            "the device failed under m: device-side assert",
        ),
    ],
)
def test_errors_of_the_library_are_told_apart(
    error: BaseException, kind: type[DetsegError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught, answering("m", [made_image(9, 8)]):
        raise error
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_our_own_bugs_are_not_an_images_fault() -> None:
    with pytest.raises(AssertionError, match="a bug"), answering("m", [made_image(9, 8)]):
        raise AssertionError("a bug")
