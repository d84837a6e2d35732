"""Embeddings that come of the pass that is made anyway."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from detseg.models.backbone import BackboneTap, find_backbone
from detseg.models.loading import load_predictor
from detseg.models.predictor import PredictorOptions
from detseg.models.wrappers.refined import RefinedPredictor, RefineOptions
from tests.models.made import made_image

IMAGES = [made_image(97, 61, 1), made_image(61, 97, 2), made_image(97, 61, 3)]


@pytest.mark.parametrize("kind", ["detr", "mask2former", "rf_detr", "segformer", "yolos"])
def test_every_image_has_the_embedding_that_it_has_alone(checkpoint: Callable[[str], str], kind: str) -> None:
    names = (checkpoint(kind), None) if kind in ("detr", "rf_detr", "yolos") else (None, checkpoint(kind))
    predictor = load_predictor(*names, options=PredictorOptions(device="cpu", precision="float32"))
    predictor.predict(IMAGES)
    together = [predictor.take_embedding(image.ref.id) for image in IMAGES]
    assert predictor.take_embedding(IMAGES[0].ref.id) is None
    for image, one in zip(IMAGES, together, strict=True):
        predictor.predict([image])
        alone = predictor.take_embedding(image.ref.id)
        assert one is not None
        assert alone is not None
        assert one.model == alone.model
        assert one.model.startswith(f"{kind}@")
        np.testing.assert_allclose(np.linalg.norm(one.values.astype(np.float32)), 1.0, atol=1e-2)
        np.testing.assert_allclose(one.values, alone.values, atol=2e-3)


def test_predictors_around_a_predictor_hand_its_embeddings_on(checkpoint: Callable[[str], str]) -> None:
    inner = load_predictor(checkpoint("detr"), None, options=PredictorOptions(device="cpu"))
    predictor = RefinedPredictor(inner, RefineOptions(suppression="agnostic"))
    predictor.predict(IMAGES[:1])
    assert predictor.take_embedding(IMAGES[0].ref.id) is not None
    assert predictor.take_embedding(IMAGES[1].ref.id) is None


def test_the_embedding_is_the_mean_of_the_last_map_whatever_form_it_has() -> None:
    maps = torch.rand(2, 8, 3, 5)
    tokens = maps.flatten(2).transpose(1, 2)
    expected = nn.functional.normalize(maps.mean((2, 3))).numpy()
    for output in (maps, [maps[:, :2], maps], {"0": maps}, tokens, maps.permute(0, 2, 3, 1)):
        backbone = nn.Identity()
        tap = BackboneTap(backbone, "a@1")
        backbone.forward = lambda _, output=output: output  # type: ignore[method-assign]
        backbone(None)
        values = tap.take(2)
        assert values is not None
        np.testing.assert_allclose(values, expected, atol=1e-3)
        assert tap.take(2) is None
    backbone(None)
    assert tap.take(3) is None, "of pieces of images"


def test_a_backbone_is_found_by_its_name_and_a_model_without_one_has_none() -> None:
    body = nn.Conv2d(3, 8, 1)
    inside = nn.ModuleDict({"backbone": nn.ModuleDict({"body": body}), "head": nn.Identity()})
    assert find_backbone(inside) is inside["backbone"]["body"] is body
    assert find_backbone(nn.Sequential(nn.Conv2d(3, 8, 1))) is None
