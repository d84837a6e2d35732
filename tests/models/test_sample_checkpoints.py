"""The checkpoints that the package ships, on made-up scenes that they have not seen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from detseg.geometry.boxes import box_iou_matrix, boxes_to_array
from detseg.geometry.masks import mask_iou
from detseg.geometry.matching import match_by_label
from detseg.models.checkpoint_predictor import CheckpointPredictor
from detseg.models.loading import load_predictor
from detseg.models.predictor import PredictorOptions, predict_each
from detseg.samples.checkpoints import checkpoint_path
from detseg.samples.scenes import SAMPLE_CLASSES, Scene, generate_scene
from detseg.types import DecodedImage, ImageId, ImageRef, Instance, Size

SEEDS = range(100, 106)


def photo(scene: Scene) -> DecodedImage:
    return DecodedImage(
        ImageRef(ImageId(f"sha256:{scene.seed}"), f"{scene.seed}.png"), scene.size, scene.image
    )


@pytest.fixture(scope="module")
def predictor() -> CheckpointPredictor:
    return load_predictor(
        str(checkpoint_path("detector")),
        str(checkpoint_path("segmenter")),
        options=PredictorOptions(device="cpu", batch_size=3),
    )


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [generate_scene(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def answers(predictor: CheckpointPredictor, scenes: list[Scene]) -> list[tuple[Instance, ...]]:
    found = predict_each(predictor, [photo(scene) for scene in scenes])
    return [answer for answer in found if isinstance(answer, tuple)]


def test_they_know_the_classes_of_the_scenes(predictor: CheckpointPredictor) -> None:
    known = {(cls.name, cls.kind) for cls in predictor.taxonomy.classes}
    assert known == {(cls.name, cls.kind) for cls in SAMPLE_CLASSES}


def test_most_parts_are_found(scenes: list[Scene], answers: list[tuple[Instance, ...]]) -> None:
    n_matched = n_parts = 0
    for scene, answer in zip(scenes, answers, strict=True):
        parts = [one for one in scene.instances if one.box]
        found = [one for one in answer if one.box]
        iou = box_iou_matrix(
            boxes_to_array([one.box for one in parts if one.box]),
            boxes_to_array([one.box for one in found if one.box]),
        )
        labels = ([one.label for one in parts], [one.label for one in found])
        n_matched += len(match_by_label(*labels, iou, min_iou=0.5))
        n_parts += len(parts)
    assert n_matched / n_parts > 0.6


def test_belt_and_tray_are_one_surface_each(scenes: list[Scene], answers: list[tuple[Instance, ...]]) -> None:
    for scene, answer in zip(scenes, answers, strict=True):
        for truth in scene.instances:
            if truth.kind == "stuff" and truth.mask:
                (surface,) = [one for one in answer if one.label == truth.label]
                assert surface.mask
                assert mask_iou(surface.mask, truth.mask) > 0.8


def test_parts_that_both_models_see_have_a_box_and_a_mask(answers: list[tuple[Instance, ...]]) -> None:
    seen = Counter(one.seen_by for answer in answers for one in answer if one.kind == "thing")
    assert seen["both"] > 3
    assert all((one.box and one.mask) or one.seen_by != "both" for answer in answers for one in answer)


def test_a_scene_alone_gets_what_it_gets_in_a_batch(
    predictor: CheckpointPredictor, scenes: list[Scene], answers: list[tuple[Instance, ...]]
) -> None:
    (alone,) = predictor.predict([photo(scenes[1])])
    assert [(one.label, one.seen_by) for one in alone] == [(one.label, one.seen_by) for one in answers[1]]
    for mine, theirs in zip(alone, answers[1], strict=True):
        assert mine.score == pytest.approx(theirs.score, abs=1e-4)
        assert np.allclose(mine.box.xyxy if mine.box else 0, theirs.box.xyxy if theirs.box else 0, atol=0.01)
        if mine.mask and theirs.mask:
            assert mask_iou(mine.mask, theirs.mask) > 0.999


@pytest.mark.parametrize("size", [Size(320, 240), Size(1280, 720), Size(300, 500)])
def test_other_sizes_give_masks_of_that_size(predictor: CheckpointPredictor, size: Size) -> None:
    (answer,) = predictor.predict([photo(generate_scene(7, size))])
    assert answer
    assert {one.mask.size for one in answer if one.mask} == {size}
