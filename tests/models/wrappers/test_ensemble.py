"""What the settings build around the models, and that nothing is built that was not asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from detseg.config import load_settings
from detseg.errors import DetsegError
from detseg.models.checkpoint_predictor import CheckpointPredictor
from detseg.models.predictor import Predictor, PredictorOptions
from detseg.models.wrappers.committee import CommitteePredictor
from detseg.models.wrappers.ensemble import EnsembleOptions, build_ensemble, inner_options
from detseg.models.wrappers.refined import RefinedPredictor
from detseg.models.wrappers.tiled import TiledPredictor
from detseg.pipeline import predictors
from tests.models.made import made_image

Folder = Callable[[str], str]


def load(checkpoint: Folder, **chosen: Any) -> Predictor:
    names = {"model__detector": checkpoint("detr"), "model__segmenter": checkpoint("mask2former")}
    settings = load_settings(environ={}, engine__device="cpu", **{**names, **chosen})
    return predictors.load(predictors.predictor_settings(settings))


def test_by_default_what_is_doubled_goes_and_nothing_else_is_done(checkpoint: Folder) -> None:
    by_default = load(checkpoint)
    assert isinstance(by_default, RefinedPredictor)
    assert isinstance(by_default._members[0], CheckpointPredictor)
    assert isinstance(load(checkpoint, model__suppression="none"), CheckpointPredictor)


def test_the_same_settings_give_the_same_predictor(checkpoint: Folder) -> None:
    assert load(checkpoint) is load(checkpoint, queue__project="another", source__location="elsewhere")
    assert load(checkpoint) is not load(checkpoint, model__box_threshold=0.4)


@pytest.mark.parametrize(
    "chosen",
    [
        {"model__class_box_thresholds": {"bolt": 0.9}},
        {"model__class_mask_thresholds": {"bolt": 0.9}},
        {"model__suppression": "none"},
        {"model__suppression": "agnostic", "model__suppression_method": "gaussian"},
        {"model__suppression": "class", "model__suppression_iou": 0.3},
        {"model__clean_min_speck_px": 5},
        {"model__clean_opening_px": 1, "model__clean_keep_thin": True},
        {"model__tile_px": 64, "model__tile_overlap_px": 16},
        {"model__augment_flip": True},
        {"model__augment_scales": (1.0, 1.5)},
        {"model__augment_flip": True, "model__fusion_iou": 0.7},
    ],
)
def test_every_setting_makes_another_model_that_answers(checkpoint: Folder, chosen: dict[str, Any]) -> None:
    plain, predictor = load(checkpoint), load(checkpoint, **chosen)
    assert predictor.version != plain.version
    assert predictor.version.partition("@")[0] == plain.version.partition("@")[0]
    assert (predictor.detector, predictor.segmenter) == (plain.detector, plain.segmenter)
    (answer,) = predictor.predict([made_image(97, 61)])
    assert all(one.score is not None for one in answer)


def test_they_stand_in_their_order(checkpoint: Folder) -> None:
    folder = checkpoint("rt_detr_v2")
    tiles = {"model__tile_px": 50, "model__tile_overlap_px": 9}
    predictor = load(
        checkpoint,
        model__committee=(folder,),
        model__committee_weights=(2.0, 1.0),
        model__suppression="class",
        **tiles,
    )
    assert isinstance(predictor, RefinedPredictor)
    (committee,) = predictor._members
    assert isinstance(committee, CommitteePredictor)
    assert all(isinstance(member, TiledPredictor) for member in committee._members)
    assert predictor.detector == f"{checkpoint('detr')}+{folder}"
    (answer,) = predictor.predict([made_image(97, 61)])
    assert all(one.score is not None and one.score >= 0.5 for one in answer)


def test_members_of_a_vote_answer_with_less() -> None:
    options = PredictorOptions(box_threshold=0.6, mask_threshold=0.4)
    assert inner_options(options, votes=False) == options
    inner = inner_options(options, votes=True)
    assert (inner.box_threshold, inner.mask_threshold) == (0.3, 0.2)


IMAGES = [made_image(97, 61, seed=seed) for seed in range(4)]


@pytest.mark.parametrize("role", ["detector", "segmenter"])
def test_a_class_may_have_a_lower_threshold_than_the_others(checkpoint: Folder, role: str) -> None:
    kind = {"detector": "box", "segmenter": "mask"}[role]
    networks = {"box": "detr", "mask": "mask2former"}
    alone = {"model__detector": "", "model__segmenter": "", f"model__{role}": checkpoint(networks[kind])}
    for_all, for_one = f"model__{kind}_threshold", f"model__class_{kind}_thresholds"
    all_of_them = load(checkpoint, **alone, engine__precision="float32", **{for_all: 0.3}).predict(IMAGES)
    chosen = load(checkpoint, **alone, engine__precision="float32", **{for_all: 0.9, for_one: {"bolt": 0.3}})
    expected = [
        [one for one in answer if one.label == "bolt" or (one.score or 0.0) >= 0.9] for answer in all_of_them
    ]
    assert [list(answer) for answer in chosen.predict(IMAGES)] == expected
    assert any(0.3 <= (one.score or 0.0) < 0.9 for answer in expected for one in answer)


@pytest.mark.parametrize("views", [{"model__augment_flip": True}, {"model__augment_scales": (1.0, 1.5)}])
def test_what_is_fused_meets_the_threshold_of_its_kind(checkpoint: Folder, views: dict[str, Any]) -> None:
    predictor = load(
        checkpoint,
        model__box_threshold=0.9,
        model__mask_threshold=0.1,
        model__class_box_thresholds={"gear": 0.6},
        **views,
    )
    found = [one for answer in predictor.predict(IMAGES) for one in answer]
    lowest = {"segmenter": 0.1, "gear": 0.6}
    for one in found:
        kind = "segmenter" if one.seen_by == "segmenter" else one.label
        assert one.score is not None
        assert one.score >= lowest.get(kind, 0.9)
    assert any(one.seen_by == "segmenter" and (one.score or 0.0) < 0.6 for one in found)
    assert any(one.label == "gear" and one.box and (one.score or 0.0) < 0.9 for one in found)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"model__class_box_thresholds": {"moose": 0.5}}, "moose"),
        ({"model__tile_px": 64, "model__tile_overlap_px": 64}, "an overlap from 0 up to less than the tile"),
        ({"model__augment_scales": (0.0,)}, r"augment_scales\.0: .* greater than or equal to 0\.01"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    checkpoint: Folder, chosen: dict[str, Any], message: str
) -> None:
    with pytest.raises(DetsegError, match=message) as caught:
        load(checkpoint, **chosen)
    assert "\n" not in str(caught.value)


def test_weights_belong_to_the_models(checkpoint: Folder) -> None:
    with pytest.raises(DetsegError, match="do not fit 2 models"):
        load(
            checkpoint, model__committee=(checkpoint("rt_detr_v2"),), model__committee_weights=(1.0, 2.0, 3.0)
        )


def test_arranging_nothing_gives_the_member_itself(checkpoint: Folder) -> None:
    member = load(checkpoint)
    assert build_ensemble([member], EnsembleOptions(), PredictorOptions()) is member
