from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.errors import ModelError
from detseg.geometry.fusion import FusionOptions
from detseg.models.predictor import Predictor, predict_each
from detseg.models.wrappers.augmented import AugmentedPredictor
from detseg.types import DecodedImage, Instance, Size
from tests.models.colours import ColourPredictor, painted

FORMS = st.sampled_from(["box", "mask", "both"])


def same(answer: Sequence[Instance], other: Sequence[Instance]) -> bool:
    """Equal but for the rounding of boxes and scores."""

    def rounded(one: Instance) -> tuple[object, ...]:
        assert one.score is not None
        box = one.box and tuple(round(v, 6) for v in one.box.xyxy)
        return (round(one.score, 6), one.label, one.kind, box, one.mask, one.seen_by)

    return sorted(map(rounded, answer), key=repr) == sorted(map(rounded, other), key=repr)


def scene(seed: int) -> DecodedImage:
    """Rectangles of even coordinates, apart from each other, and a belt below."""
    rng = np.random.default_rng(seed)
    patches = [("belt", 0, 44, 52, 46)]
    for x, y in ((0, 0), (26, 0), (0, 22), (26, 22)):
        x0, x1 = (2 * np.sort(rng.choice(12, 2, replace=False))).tolist()
        y0, y1 = (2 * np.sort(rng.choice(10, 2, replace=False))).tolist()
        patches.append((str(rng.choice(["nut", "bolt"])), x + x0, y + y0, x + x1, y + y1))
    return painted(52, 46, patches)


@given(st.integers(0, 2**32 - 1), FORMS, st.sampled_from([(1.0,), (2.0,), (1.0, 2.0), (1.0, 3.0)]))
def test_a_model_that_sees_all_views_alike_answers_as_without_them(
    seed: int, form: str, scales: tuple[float, ...]
) -> None:
    image, inner = scene(seed), ColourPredictor(form)
    (plain,) = inner.predict([image])
    for flip in (False, True):
        augmented: Predictor = AugmentedPredictor(inner, flip=flip, scales=scales)
        ((answer,),) = (predict_each(augmented, [image]),)
        assert not isinstance(answer, Exception)
        assert same(answer, plain)


class SeesOnTheLeft(ColourPredictor):
    """Blind in the right half of an image."""

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        return tuple(
            tuple(one for one in answer if one.box and one.box.x1 <= image.size.width / 2)
            for image, answer in zip(batch, super().predict(batch), strict=True)
        )


def test_a_mirror_image_shows_what_the_model_overlooks() -> None:
    image = painted(40, 20, [("nut", 2, 3, 8, 9), ("bolt", 30, 5, 38, 9)])
    nut, bolt = ColourPredictor().predict([image])[0]
    (answer,) = AugmentedPredictor(SeesOnTheLeft()).predict([image])
    assert same(answer, [replace(nut, score=0.45), replace(bolt, score=0.35)])
    keep_best = FusionOptions(score_rule="max")
    (answer,) = AugmentedPredictor(SeesOnTheLeft(), options=keep_best).predict([image])
    assert same(answer, [nut, bolt])


def test_the_model_sees_every_view_once_and_each_is_an_image_of_its_own() -> None:
    class Watching(ColourPredictor):
        def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
            shown.extend(batch)
            return super().predict(batch)

    shown: list[DecodedImage] = []
    image = scene(0)
    AugmentedPredictor(Watching(), scales=(1.0, 0.5, 1.0)).predict([image])
    assert [one.size for one in shown] == [Size(52, 46)] * 2 + [Size(26, 23)] * 2
    assert shown[0] is image
    assert np.array_equal(shown[1].rgb, image.rgb[:, ::-1])
    assert np.array_equal(shown[3].rgb, shown[2].rgb[:, ::-1])
    assert [one.ref.uri for one in shown] == [
        "painted.png",
        "painted.png#1m",
        "painted.png#0.5",
        "painted.png#0.5m",
    ]
    assert len({one.ref.id for one in shown}) == 4
    assert all(one.rgb.flags.c_contiguous for one in shown)


def test_even_an_image_of_one_pixel_has_views() -> None:
    pixel = painted(1, 1, [("nut", 0, 0, 1, 1)])
    (answer,) = AugmentedPredictor(ColourPredictor(), scales=(0.2, 1.0, 3.0)).predict([pixel])
    assert same(answer, ColourPredictor().predict([pixel])[0])
    assert AugmentedPredictor(ColourPredictor()).predict([]) == ()


def test_one_image_alone_gets_what_it_gets_in_a_batch() -> None:
    augmented = AugmentedPredictor(ColourPredictor(), scales=(1.0, 1.5))
    batch = [scene(1), painted(9, 5, [("bolt", 2, 1, 6, 4)]), scene(2)]
    assert augmented.predict(batch) == tuple(augmented.predict([image])[0] for image in batch)


def test_the_version_holds_the_views() -> None:
    inner = ColourPredictor()
    different = [
        AugmentedPredictor(inner),
        AugmentedPredictor(inner, flip=False),
        AugmentedPredictor(inner, scales=(1.0, 2.0)),
        AugmentedPredictor(inner, options=FusionOptions(min_score=0.1)),
    ]
    assert len({one.version for one in different}) == 4
    assert AugmentedPredictor(inner, scales=(1, 1)).version == different[0].version
    assert all(one.version.startswith("colours@") for one in different)


@pytest.mark.parametrize("scales", [(), (1.0, 0.0), (float("inf"),)])
def test_scales_that_make_no_sense_are_refused(scales: tuple[float, ...]) -> None:
    with pytest.raises(ModelError, match="scales are numbers above 0, at least one"):
        AugmentedPredictor(ColourPredictor(), scales=scales)
