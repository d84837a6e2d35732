"""Augmented boxes are where the objects are: truth is drawn into the image and looked for afterwards."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.config.training import TrainingSettings
from detseg.training.augment import Example, augment, cutmix, paste, tighten_boxes

STILL = dict.fromkeys(
    (
        "flip",
        "flip_vertical",
        "zoom",
        "shift",
        "rotate",
        "elastic",
        "copy_paste",
        "cutmix",
        "cutout",
        "brightness",
        "contrast",
        "saturation",
        "hue",
    ),
    0.0,
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


def test_things_of_another_image_are_pasted_over_what_is_there() -> None:
    """Boxes and labels of what is left are those of the pixels that are seen."""
    layers = torch.zeros(2, 60, 80, dtype=torch.int32)
    layers[0, 10:30, 10:30], layers[1, 20:40, 20:40], layers[0, 50:, :] = 1, 2, 3
    below = Example(
        torch.full((3, 60, 80), 50, dtype=torch.uint8), torch.zeros(3, 4), torch.tensor([0, 1, 7]), layers
    )
    others = torch.zeros(3, 50, 90, dtype=torch.int32)
    others[0, 15:35, 5:35], others[1, :5, 70:], others[2, 40:, :] = 1, 2, 3
    other = Example(
        torch.full((3, 50, 90), 200, dtype=torch.uint8), torch.zeros(3, 4), torch.tensor([1, 0, 8]), others
    )
    counts = Counter[int]()
    for seed in range(40):
        torch.manual_seed(seed)
        made = paste(below, other, frozenset({0, 1}))
        assert made.layers is not None
        pasted = (made.image == 200).all(dim=0)
        assert bool((made.image[:, ~pasted] == 50).all())
        assert 8 not in made.labels.tolist()  # a surface
        counts[len(made.labels)] += 1
        for number, box in enumerate(made.boxes.tolist(), start=1):
            mask = (made.layers == number).any(dim=0)
            rows, columns = torch.nonzero(mask, as_tuple=True)
            assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert int(mask[pasted].sum()) in (0, int(mask.sum()))  # it is of one image or of the other
        if bool(pasted[15:35, 5:35].all()):
            first = (made.layers == 1).any(dim=0)
            assert int(first.sum()) == 5 * 20  # of the object that lies below, what is above the other
        assert bool(pasted[:5, 70:].all()) or not bool(pasted[:5, 70:].any())  # cut off at the border
    assert set(counts) == {3, 4, 5}


def test_a_rectangle_of_another_image_comes_with_its_truth() -> None:
    layers = torch.ones(1, 60, 80, dtype=torch.int32)
    layers[0, 30:] = 2
    below = Example(
        torch.full((3, 60, 80), 50, dtype=torch.uint8), torch.zeros(2, 4), torch.tensor([0, 1]), layers
    )
    others = torch.ones(1, 50, 90, dtype=torch.int32)
    others[0, :, 40:] = 2
    other = Example(
        torch.full((3, 50, 90), 200, dtype=torch.uint8), torch.zeros(2, 4), torch.tensor([5, 6]), others
    )
    shares = []
    for seed in range(60):
        torch.manual_seed(seed)
        made = cutmix(below, other)
        mixed = (made.image == 200).all(dim=0)
        assert bool((made.image[:, ~mixed] == 50).all())
        assert int(mixed.sum()) == int(mixed.any(dim=1).sum() * mixed.any(dim=0).sum())  # one rectangle
        assert not bool(mixed[50:].any())  # the other image ends there
        assert made.layers is not None
        expected = torch.where(mixed, torch.tensor([5, 6])[(torch.arange(80) >= 40).long()], 0)
        expected = torch.where(mixed, expected, (torch.arange(60) >= 30).long()[:, None])
        assert torch.equal(made.labels[made.layers[0].long() - 1], expected)
        shares.append(float(mixed[:50].float().mean()))
    assert min(shares) < 0.1
    assert max(shares) > 0.6


def test_a_rectangle_hides_a_part_and_what_lies_behind_it_whole() -> None:
    example = replace(drawn(0, 0, 80, 60), layers=torch.ones(1, 60, 80, dtype=torch.int32))
    layers, labels = torch.ones(1, 60, 80, dtype=torch.int32), [4]
    for y in range(2, 60, 8):
        for x in range(2, 80, 8):
            labels.append(len(labels) + 4)
            layers[0, y : y + 4, x : x + 4] = len(labels)
    example = tighten_boxes(
        replace(example, layers=layers, labels=torch.tensor(labels), boxes=torch.zeros(len(labels), 4))
    )
    hidden, gone = [], Counter[bool]()
    for seed in range(30):
        torch.manual_seed(seed)
        changed = augment(example, still(cutout=0.2))
        grey = (changed.image == 114).all(dim=0)
        assert bool((changed.image[:, ~grey] == 255).all())
        assert int(grey.sum()) == int(grey.any(dim=1).sum() * grey.any(dim=0).sum())  # one rectangle
        seen = {labels[number - 1] for number in torch.unique(layers[0][~grey]).tolist()}
        assert set(changed.labels.tolist()) == seen
        torch.manual_seed(seed)
        without = augment(replace(example, layers=None), still(cutout=0.2))
        assert torch.equal(without.labels, changed.labels)
        assert torch.equal(without.boxes, changed.boxes)
        hidden.append(float(grey.float().mean()))
        gone[len(seen) < len(labels)] += 1
    assert 0.1 < max(hidden) < 0.21
    assert len(set(hidden)) > 15
    assert gone[True] > 5


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


@settings(max_examples=30, deadline=None)
@given(
    boxes=st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(6, 20), st.integers(6, 20)), max_size=3
    ),
    seed=st.integers(0, 2**31),
)
def test_masks_move_with_the_image_and_boxes_with_the_masks(
    boxes: list[tuple[int, int, int, int]], seed: int
) -> None:
    example = covered([(x, y, x + width, y + height) for x, y, width, height in boxes])
    torch.manual_seed(seed)
    moved = augment(example, still(flip=0.5, flip_vertical=0.5, zoom=0.3, shift=0.3, rotate=180, elastic=50))
    assert moved.layers is not None
    white = moved.layers.amax(0) > 0
    assert bool(white[moved.image[0] == 255].all())
    assert not bool(white[moved.image[0] == 0].any())
    assert len(moved.labels) == len(moved.boxes) == len(torch.unique(moved.layers)) - 1
    for number, (label, box) in enumerate(zip(moved.labels, moved.boxes.tolist(), strict=True), start=1):
        rows, columns = torch.nonzero((moved.layers == number).any(0), as_tuple=True)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert label in example.labels


@pytest.mark.parametrize("named", [{"flip": 1.0}, {"flip_vertical": 1.0}])
def test_a_flip_moves_every_mask_exactly(named: dict[str, float]) -> None:
    example = covered([(3, 4, 20, 30), (10, 10, 40, 25)])
    axis = -1 if "flip" in named else -2
    moved = augment(example, still(**named))
    assert example.layers is not None
    assert moved.layers is not None
    assert torch.equal(moved.layers, example.layers.flip(axis))
    assert torch.equal(moved.image, example.image.flip(axis))


def test_a_mask_that_left_the_image_takes_its_label_along() -> None:
    example = covered([(3, 4, 20, 30), (50, 10, 70, 25)])
    assert example.layers is not None
    gone = replace(example, layers=torch.where(example.layers == 1, 0, example.layers))
    left = augment(gone, still())
    assert left.layers is not None
    assert left.labels.tolist() == [example.labels[1]]
    assert left.boxes.tolist() == [[50.0, 10.0, 70.0, 25.0]]
    assert torch.unique(left.layers).tolist() == [0, 1]


def covered(boxes: list[tuple[int, int, int, int]]) -> Example:
    """White rectangles on black, each with its mask, in a layer of its own, and a label of its own."""
    image = torch.zeros(3, 60, 80, dtype=torch.uint8)
    layers = torch.zeros(max(1, len(boxes)), 60, 80, dtype=torch.int32)
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        image[:, y0:y1, x0:x1] = 255
        layers[i, y0:y1, x0:x1] = i + 1
    labels = torch.arange(10, 10 + len(boxes))
    return Example(image, torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), labels, layers)


def test_an_image_without_objects_stays_one() -> None:
    empty = Example(
        torch.zeros(3, 60, 80, dtype=torch.uint8), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    )
    assert augment(empty, TrainingSettings()).boxes.shape == (0, 4)
