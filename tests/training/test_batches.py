"""What a training sees: draws by number, in the form that the library's own detectors learn from."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional
from transformers import Mask2FormerImageProcessor, RTDetrImageProcessor

from detseg.config.training import TrainingSettings
from detseg.datasets.store import DatasetStore
from detseg.errors import FormatError
from detseg.geometry.masks import mask_to_bitmap
from detseg.images import decode_image
from detseg.pipeline.datasets import Wish, create_version
from detseg.training.augment import Example
from detseg.training.batches import (
    Draws,
    LabelIds,
    Order,
    box_example,
    make_example,
    repeat_factors,
    shrink,
    stack_masks,
)
from detseg.training.tables import SampleTable, write_table
from detseg.training.tasks import DetectionCollator, make_segment_collator
from detseg.types import Size
from tests.pipeline.labeled import SIZE, LabeledProject, bolt, disc, ring
from tests.training.versions import make_version

LABELS = LabelIds({"bolt": 0, "nut": 1})


@pytest.fixture(scope="module")
def table(project: LabeledProject, tmp_path_factory: pytest.TempPathFactory) -> SampleTable:
    store = DatasetStore(project.settings.datasets_location)
    return write_table(tmp_path_factory.mktemp("table") / "train.arrow", store.rows(store.version("v1")))


def read(sample: object) -> object:
    uri = sample.uri  # type: ignore[attr-defined]
    return decode_image(Path(uri).read_bytes(), uri, max_pixels=10_000)


def draws(table: SampleTable, seed: int = 0) -> Draws:
    return Draws(
        table,
        read,
        LABELS,
        TrainingSettings(),
        n_draws=100,
        seed=seed,
        most_px=40,  # type: ignore[arg-type]
        make=box_example,
    )


def test_a_table_holds_what_the_version_does(table: SampleTable, project: LabeledProject) -> None:
    assert {table[i].image for i in range(len(table))} == {one.id for one in project.images.values()}
    assert all(len(table[i].annotation().regions) == 2 for i in range(len(table)))


def test_each_image_is_seen_once_an_epoch() -> None:
    order = Order((1.0,) * 7, seed=5)
    epochs = [[order.position_of(7 * epoch + i) for i in range(7)] for epoch in range(20)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len(Counter(map(tuple, epochs))) > 10


def test_images_of_rare_classes_are_seen_as_often_as_their_factor_says() -> None:
    factors = (1.0, 1.0, 2.5, 1.0, 1.5)
    order = Order(factors, seed=5)
    seen = Counter(order.position_of(draw) for draw in range(7 * 400))
    for position, factor in enumerate(factors):
        assert seen[position] / 400 == pytest.approx(factor, abs=0.1)
    for epoch in range(10):
        once = Counter(order.position_of(7 * epoch + i) for i in range(7))
        assert all(abs(once[position] - factor) < 1 for position, factor in enumerate(factors))


def test_the_rarest_class_of_an_image_decides(tmp_path: Path) -> None:
    sides = {"train": 3, "val": 1}
    project = make_version(tmp_path, sides=sides, regions=(bolt("a"),), name="before")
    project.review(0, (bolt("a"), ring("b")))
    create_version(project.settings, "v2", Wish())
    store = DatasetStore(project.settings.datasets_location)
    table = write_table(tmp_path / "all.arrow", store.rows(store.version("v2")))
    with_nut = [len(table[i].annotation().regions) == 2 for i in range(4)]
    assert repeat_factors(table, LABELS, 0.0) == (1.0,) * 4
    assert repeat_factors(table, LABELS, 1.0) == tuple(2.0 if rare else 1.0 for rare in with_nut)
    assert repeat_factors(table, LabelIds({"bolt": 0}), 1.0) == (1.0,) * 4


def test_a_draw_is_a_function_of_seed_and_number(table: SampleTable) -> None:
    def digest(example: Example) -> str:
        return hashlib.sha256(example.image.numpy().tobytes()).hexdigest()

    torch.manual_seed(1)
    first = [digest(draws(table)[i]) for i in (3, 90, 3)]
    torch.manual_seed(2)
    assert [digest(draws(table)[i]) for i in (3, 90, 3)] == first
    assert first[0] == first[2] != first[1]
    assert digest(draws(table, seed=1)[3]) != first[0]


def test_loading_leaves_the_random_numbers_of_the_training_alone(table: SampleTable) -> None:
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    draws(table)[0]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_masks_give_boxes_and_surfaces_none(table: SampleTable) -> None:
    sample = table[0]
    things = LABELS.things(sample)
    example = make_example(read(sample), things, LABELS)  # type: ignore[arg-type]
    assert example.boxes.tolist() == [[2.0, 3.0, 12.0, 20.5], [22.0, 12.0, 39.0, 29.0]]
    assert example.labels.tolist() == [0, 1]
    assert LabelIds({"bolt": 0}).things(sample) == [bolt("a").instance]


def test_inputs_are_centre_and_size_of_the_whole_image() -> None:
    processor = RTDetrImageProcessor(size={"height": 32, "width": 64})
    examples = [
        Example(
            torch.zeros(3, 40, 80, dtype=torch.uint8),
            torch.tensor([[8.0, 10.0, 24.0, 20.0]]),
            torch.tensor([1]),
        ),
        Example(
            torch.zeros(3, 90, 30, dtype=torch.uint8), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
        ),
    ]
    inputs = DetectionCollator(processor)(examples)
    assert inputs["pixel_values"].shape == (2, 3, 32, 64)
    assert inputs["labels"][0]["boxes"].tolist() == [pytest.approx([0.2, 0.375, 0.2, 0.25])]
    assert inputs["labels"][0]["class_labels"].tolist() == [1]
    assert inputs["labels"][1]["boxes"].shape == (0, 4)


def test_masks_that_overlap_are_in_different_layers_and_each_is_whole() -> None:
    masks = [disc(20, 20, 9), disc(25, 20, 9), disc(40, 20, 9), disc(22, 22, 9)]
    layers = stack_masks(masks, SIZE)
    assert len(layers) == 3
    for number, mask in enumerate(masks, start=1):
        assert np.array_equal((layers == number).any(axis=0), mask_to_bitmap(mask))
    assert stack_masks([], SIZE).shape == (1, SIZE.height, SIZE.width)
    with pytest.raises(FormatError, match="a mask of 60x40 does not fit its image of 61x40: review it again"):
        stack_masks(masks, Size(61, 40))


def test_inputs_hold_every_mask_where_the_image_is() -> None:
    processor = Mask2FormerImageProcessor(size={"shortest_edge": 20, "longest_edge": 60}, size_divisor=4)
    masks = [disc(20, 20, 9), disc(25, 20, 9), disc(40, 20, 9), disc(22, 22, 9), disc(24, 19, 9)]
    layers = torch.from_numpy(stack_masks(masks, SIZE))
    assert len(layers) == 4  # more than there are colours
    image = torch.zeros(3, SIZE.height, SIZE.width, dtype=torch.uint8)
    many = Example(image, torch.zeros(5, 4), torch.tensor([5, 6, 7, 8, 9]), layers)
    none = Example(
        image[:, :, :20], torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), layers[:1, :, :20] * 0
    )
    inputs = make_segment_collator(processor, panoptic=False)([many, none])
    assert inputs["pixel_values"].shape == (2, 3, 40, 32)
    assert inputs["mask_labels"][1].shape == (0, 40, 32)
    found = dict(zip(inputs["class_labels"][0].tolist(), inputs["mask_labels"][0], strict=True))
    assert sorted(found) == [5, 6, 7, 8, 9]
    for label, mask in zip((5, 6, 7, 8, 9), masks, strict=True):
        assert not found[label][20:].any()  # padded
        expected = functional.resize(
            torch.from_numpy(mask_to_bitmap(mask).copy())[None].float(),
            [20, 32],
            functional.InterpolationMode.NEAREST_EXACT,
        )
        assert torch.equal(found[label][:20], expected[0])


def test_what_has_no_pixel_in_the_inputs_is_no_truth() -> None:
    speck = torch.zeros(1, 64, 64, dtype=torch.int32)
    speck[0, 1, 1] = 1
    speck[0, 20:40, 20:40] = 2
    example = Example(
        torch.zeros(3, 64, 64, dtype=torch.uint8), torch.zeros(2, 4), torch.tensor([3, 4]), speck
    )
    processor = Mask2FormerImageProcessor(size={"height": 8, "width": 8}, size_divisor=0)
    inputs = make_segment_collator(processor, panoptic=False)([example])
    assert inputs["class_labels"][0].tolist() == [4]


def test_large_images_are_shrunk_with_their_boxes() -> None:
    example = Example(
        torch.zeros(3, 100, 200, dtype=torch.uint8),
        torch.tensor([[20.0, 10.0, 60.0, 50.0]]),
        torch.tensor([0]),
    )
    small = shrink(example, 50)
    assert small.image.shape == (3, 25, 50)
    assert small.boxes.tolist() == [[5.0, 2.5, 15.0, 12.5]]
    assert shrink(example, 200) is example
