"""Every item gets its own answer, in order, whatever fails on the way, and only a few are in memory."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from detseg.errors import ImageError, ModelError
from detseg.models.predictor import Abilities
from detseg.pipeline.streaming import predict_stream
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, DecodedImage, Instance, ModelVersion
from tests.models.made import made_image

TAXONOMY = Taxonomy((LabelClass("bolt"),))
VERSION = ModelVersion("fake@00000000")


@dataclass
class Whole(Abilities):
    """A predictor in one step: a box as wide as the image; images of some widths fail."""

    failing: frozenset[int] = frozenset()
    taxonomy: Taxonomy = TAXONOMY
    version: ModelVersion = VERSION
    detector: str = "fake"
    segmenter: str = ""
    unmapped: Mapping[str, int] = field(default_factory=dict)

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        self.refuse(batch)
        return tuple(self.answer(image) for image in batch)

    def refuse(self, batch: Sequence[DecodedImage]) -> None:
        for image in batch:
            if image.size.width in self.failing:
                raise ImageError(f"{image.size} cannot be predicted")

    def answer(self, image: DecodedImage) -> tuple[Instance, ...]:
        box = Box(0, 0, image.size.width, 1)
        return (Instance("bolt", "thing", box, score=0.5, seen_by="detector"),)


@dataclass
class Staged(Whole):
    """The same in three steps; ``where`` is the one that fails."""

    where: str = "prepare"
    window: int = 3
    threads: dict[str, set[int]] = field(default_factory=dict)

    @property
    def staged(self) -> Staged:
        return self

    def prepare(self, batch: Sequence[DecodedImage]) -> Sequence[DecodedImage]:
        return self.step("prepare", batch)

    def forward(self, prepared: Sequence[DecodedImage]) -> Sequence[DecodedImage]:
        return self.step("forward", prepared)

    def finish(
        self, batch: Sequence[DecodedImage], outputs: Sequence[DecodedImage]
    ) -> tuple[tuple[Instance, ...], ...]:
        return tuple(self.answer(image) for image in self.step("finish", outputs) if image in batch)

    def step(self, name: str, batch: Sequence[DecodedImage]) -> Sequence[DecodedImage]:
        self.threads.setdefault(name, set()).add(threading.get_ident())
        if name == self.where:
            self.refuse(batch)
        return batch


def read(width: int) -> DecodedImage:
    if width % 10 == 0:
        raise ImageError(f"{width} cannot be read")
    return made_image(width, 5)


def encode(width: int, image: DecodedImage, instances: tuple[Instance, ...]) -> tuple[int, float]:
    assert image.size.width == width
    assert instances[0].box
    return width, instances[0].box.x1


def expected(widths: Sequence[int], failing: frozenset[int]) -> list[Any]:
    return [
        f"{width} cannot be read"
        if width % 10 == 0
        else f"{width}x5 cannot be predicted"
        if width in failing
        else (width, float(width))
        for width in widths
    ]


def outcomes(predictor: Whole, widths: Sequence[int], batch_size: int = 4) -> list[Any]:
    stream = predict_stream(predictor, widths, read=read, encode=encode, batch_size=batch_size)
    return [str(one) if isinstance(one, ImageError) else one for one in stream]


@pytest.mark.parametrize("where", ["prepare", "forward", "finish"])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_every_item_has_its_own_outcome_in_order(where: str, batch_size: int) -> None:
    widths, failing = list(range(1, 45)), frozenset({3, 12, 13, 44})
    for predictor in (Whole(failing), Staged(failing, where=where)):
        assert outcomes(predictor, widths, batch_size) == expected(widths, failing)


def test_no_items_and_only_broken_ones() -> None:
    assert outcomes(Staged(), []) == []
    assert outcomes(Staged(), [10, 20]) == ["10 cannot be read", "20 cannot be read"]


def test_only_one_thread_runs_forward_and_it_is_the_callers() -> None:
    predictor = Staged()
    outcomes(predictor, range(1, 60))
    assert predictor.threads["forward"] == {threading.get_ident()}
    assert threading.get_ident() not in predictor.threads["prepare"] | predictor.threads["finish"]


def test_what_is_no_images_fault_ends_the_run() -> None:
    def broken(_: int) -> DecodedImage:
        raise ModelError("out of memory")

    stream = predict_stream(Staged(), [1, 2, 3], read=broken, encode=encode, batch_size=1)
    with pytest.raises(ModelError, match="out of memory"):
        list(stream)


def test_only_a_few_images_are_in_memory_however_many_there_are() -> None:
    arrays: list[weakref.ref[Any]] = []
    most = 0

    def watched(width: int) -> DecodedImage:
        image = read(width)
        arrays.append(weakref.ref(image.rgb))
        return image

    def widths() -> Iterator[int]:
        for number in range(400):
            yield number % 9 + 1

    for _ in predict_stream(Staged(), widths(), read=watched, encode=encode, batch_size=3):
        most = max(most, sum(one() is not None for one in arrays))
    assert 0 < most <= 3 * 12


def test_a_reader_that_goes_away_leaves_nothing_running() -> None:
    stream = predict_stream(Staged(), range(1, 1000), read=read, encode=encode, batch_size=1)
    assert next(iter(stream)) == (1, 1.0)
    before = threading.active_count()
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() < before
