"""The border: what a predictor may answer, and what happens to an image that it cannot answer for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from detseg.errors import ImageError, ModelError
from detseg.geometry.masks import empty_mask
from detseg.models.predictor import (
    Predictor,
    PredictorOptions,
    check_answer,
    ordered,
    predict_each,
)
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, DecodedImage, Instance, ModelVersion, Size
from tests.models.made import made_image

TAXONOMY = Taxonomy((LabelClass("bolt", aliases=("screw",)), LabelClass("tray", "stuff")))
VERSION = ModelVersion("fake@00000000")
BOLT = Instance("bolt", "thing", box=Box(1, 1, 5, 5), score=0.9, seen_by="detector")
TRAY = Instance("tray", "stuff", mask=empty_mask(Size(20, 10)), score=0.8, seen_by="segmenter")


@dataclass
class FakePredictor:
    """Gives every image the same answer; refuses batches with an image of a height in ``refused``."""

    answer: tuple[Instance, ...] | ModelError = (BOLT,)
    refused: frozenset[int] = frozenset()
    calls: list[int] = field(default_factory=list)
    taxonomy: Taxonomy = TAXONOMY
    version: ModelVersion = VERSION
    detector: str = "fake"
    segmenter: str = ""

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        self.calls.append(len(batch))
        for image in batch:
            if image.size.height in self.refused:
                raise ImageError(f"{image.ref.uri}: too thin")
        if isinstance(self.answer, ModelError):
            raise self.answer
        return (self.answer,) * len(batch)


def test_the_fake_is_a_predictor() -> None:
    predictor: Predictor = FakePredictor()
    assert predict_each(predictor, [made_image(20, 10)]) == ((BOLT,),)


def test_no_images_are_no_answers_and_no_call() -> None:
    fake = FakePredictor()
    assert predict_each(fake, []) == ()
    assert fake.calls == []


def test_one_bad_image_does_not_sink_its_batch() -> None:
    fake = FakePredictor(refused=frozenset({7}))
    images = [made_image(20, 10), made_image(20, 7), made_image(30, 10)]
    first, second, third = predict_each(fake, images)
    assert (first, third) == ((BOLT,), (BOLT,))
    assert isinstance(second, ImageError)
    assert str(second) == "made-20x7-0.png: too thin"
    assert fake.calls == [3, 1, 1, 1]


def test_an_image_without_an_object_is_an_answer() -> None:
    assert predict_each(FakePredictor(answer=()), [made_image(20, 10)]) == ((),)


def test_a_broken_model_is_not_the_images_fault() -> None:
    with pytest.raises(ModelError, match="out of memory"):
        predict_each(
            FakePredictor(answer=ModelError("out of memory")), [made_image(20, 10), made_image(20, 10)]
        )


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        (replace(BOLT, label="wheel"), "'wheel' is none of its taxonomy's names"),
        (replace(BOLT, label="screw"), "'screw' is none of its taxonomy's names"),
        (replace(BOLT, kind="stuff"), "'bolt' is thing in its taxonomy, not stuff"),
        (replace(TRAY, box=Box(0, 0, 1, 1)), "'tray' is stuff and has a box"),
        (replace(BOLT, score=None), "the score None, expected 0 to 1"),
        (replace(BOLT, seen_by=None), "does not say which model saw it"),
        (replace(TRAY, mask=empty_mask(Size(10, 20))), "the mask of 'tray' is 10x20, the image is 20x10"),
        (replace(BOLT, box=Box(1, 1, 22, 5)), "not inside 20x10"),
        (replace(BOLT, box=Box(-1.5, 1, 5, 5)), "not inside 20x10"),
        (replace(BOLT, box=Box(3, 3, 3, 9)), "which is empty"),
        (replace(BOLT, box=Box(20.2, 3, 20.7, 9)), "which is empty"),
    ],
)
def test_a_broken_contract_says_whose_it_was(instance: Instance, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        check_answer(FakePredictor(), [made_image(20, 10)], [(instance,)])
    assert str(caught.value).startswith("the predictor fake@00000000, image made-20x10-0.png: ")
    assert "\n" not in str(caught.value)


def test_an_answer_per_image_is_expected() -> None:
    with pytest.raises(ModelError, match="fake@00000000 gave 1 answer for 2 images"):
        check_answer(FakePredictor(), [made_image(20, 10)] * 2, [()])


def test_a_tiny_overshoot_is_clipped() -> None:
    sticking_out = replace(BOLT, box=Box(-0.4, 0, 20.9, 10.0))
    ((clipped,),) = check_answer(FakePredictor(), [made_image(20, 10)], [(sticking_out,)])
    assert clipped == replace(BOLT, box=Box(0, 0, 20, 10))


def test_answers_come_sorted_by_score_label_and_box() -> None:
    right = replace(BOLT, box=Box(2, 1, 5, 5))
    masked = replace(BOLT, box=None, mask=empty_mask(Size(20, 10)))
    best = replace(TRAY, score=0.95)
    other = replace(TRAY, score=0.9)
    expected = (best, BOLT, right, masked, other)
    assert ordered(expected[::-1]) == expected
    assert check_answer(FakePredictor(), [made_image(20, 10)], [expected[::-1]]) == (expected,)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 0}, "batch_size is at least 1, not 0"),
        ({"box_threshold": 1.5}, r"box_threshold is in \[0, 1\], not 1.5"),
        ({"match_iou": float("nan")}, r"match_iou is in \[0, 1\], not nan"),
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        PredictorOptions(**wrong)  # type: ignore[arg-type]
