"""Scores that are mapped to probabilities, from the settings to the answers, and through promotions."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from detseg.config import Settings
from detseg.models.score_maps import ScoreMap
from detseg.pipeline.predictors import load, predictor_settings
from detseg.pipeline.workspace import opened_catalog
from detseg.types import DecodedImage, Size
from tests.pipeline.labeled import LabeledProject, bolt, make_project
from tests.pipeline.test_judging import write_answers

NUMBERS = (2.0, 0.5, 0.3)
MAP = ScoreMap(*NUMBERS)
SCORES = (0.9, 0.6, 0.45, 0.3)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LabeledProject:
    made = make_project(tmp_path_factory.mktemp("maps"))
    made.add([0])
    return made


def answers(project: LabeledProject, **changes: object) -> list[float]:
    """The scores of bolts that are found in the image, in their order."""
    regions = [bolt(str(i), 2 + 14 * i) for i in range(4)]
    name = write_answers(project, "found", regions, scores=SCORES)
    settings = project.settings.updated(model__detector=name, **changes)
    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    with opened_catalog(project.settings) as catalog:
        ref = next(iter(catalog.images.refs([project.images[0].id]).values()))
    (found,) = load(predictor_settings(settings)).predict([DecodedImage(ref, Size(60, 40), pixels)])
    return [one.score or 0.0 for one in found]


def test_mapped_scores_keep_their_order_and_meet_thresholds_in_their_own_scale(
    project: LabeledProject,
) -> None:
    maps = {"bolt": NUMBERS}
    every = [MAP.probability(score) for score in SCORES]
    assert answers(project, model__box_threshold=0.0) == list(SCORES)
    assert answers(project, model__box_threshold=0.0, model__score_maps=maps) == pytest.approx(every)
    for threshold in (0.2, 0.4, 0.6):
        shown = [one for one in every if one >= threshold]
        assert answers(project, model__box_threshold=threshold, model__score_maps=maps) == pytest.approx(
            shown
        )


def test_maps_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        Settings().updated(model__score_maps={"bolt": (0.0, 1.0, 0.0)})
