"""Augmented boxes are where the objects are: truth is drawn into the image and looked for afterwards."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.config.training import TrainingSettings
from detseg.training.augment import Example, augment

STILL = dict.fromkeys(
    ("flip", "flip_vertical", "zoom", "shift", "brightness", "contrast", "saturation", "hue"), 0.0
)


def still(**strengths: float) -> TrainingSettings:
    """Settings that change nothing but what is named."""
    return TrainingSettings.model_validate({**STILL, **strengths})


def drawn(x0: int, y0: int, x1: int, y1: int) -> Example:
    """A white rectangle on black, 60 x 80 pixels, with its box."""
    image = torch.zeros(3, 60, 80, dtype=torch.uint8)
    image[:, y0:y1, x0:x1] = 255
    return Example(image, torch.tensor([[x0, y0, x1, y1]], dtype=torch.float32), torch.tensor([4]))


def seen(example: Example) -> list[float]:
    """The box of what is white; the grey outside of the image, and edges that are mostly grey, are not."""
    rows, columns = torch.nonzero(example.image[0] > 180, as_tuple=True)
    return [float(value) for value in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


@settings(max_examples=40, deadline=None)
@given(
    corner=st.tuples(st.integers(20, 40), st.integers(15, 30)),
    sides=st.tuples(st.integers(8, 20), st.integers(8, 15)),
    seed=st.integers(0, 2**31),
)
def test_boxes_move_with_the_image(corner: tuple[int, int], sides: tuple[int, int], seed: int) -> None:
    (x0, y0), (width, height) = corner, sides
    torch.manual_seed(seed)
    moved = augment(
        drawn(x0, y0, x0 + width, y0 + height), still(flip=0.5, flip_vertical=0.5, zoom=0.3, shift=0.1)
    )
    assert moved.image.shape == (3, 60, 80)
    assert moved.labels.tolist() == [4]
    assert moved.boxes[0].tolist() == pytest.approx(seen(moved), abs=1.5)


def test_without_strengths_nothing_changes() -> None:
    example = drawn(3, 4, 20, 30)
    same = augment(example, still())
    assert torch.equal(same.image, example.image)
    assert torch.equal(same.boxes, example.boxes)


def test_colours_leave_boxes_alone() -> None:
    example = drawn(3, 4, 20, 30)
    image = torch.randint(0, 256, (3, 60, 80), dtype=torch.uint8)
    recoloured = augment(
        Example(image, example.boxes, example.labels),
        still(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.2),
    )
    assert torch.equal(recoloured.boxes, example.boxes)
    assert not torch.equal(recoloured.image, image)


@pytest.mark.parametrize(("x0", "kept"), [(-30.0, True), (-50.0, False)])
def test_what_is_mostly_outside_is_no_truth(x0: float, kept: bool) -> None:
    example = Example(
        torch.zeros(3, 60, 80, dtype=torch.uint8),
        torch.tensor([[x0, 0.0, x0 + 60, 20.0]]),
        torch.tensor([1]),
    )
    cut = augment(example, still())
    assert cut.boxes.tolist() == ([[0.0, 0.0, 30.0, 20.0]] if kept else [])
    assert len(cut.labels) == len(cut.boxes)


def test_an_image_without_objects_stays_one() -> None:
    empty = Example(
        torch.zeros(3, 60, 80, dtype=torch.uint8), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    )
    assert augment(empty, TrainingSettings()).boxes.shape == (0, 4)
