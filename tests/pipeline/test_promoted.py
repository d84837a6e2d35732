"""What gives way to a promoted model: thresholds, maps of scores and committees of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from detseg.config import Settings, load_settings
from detseg.config.sections import ModelSettings
from detseg.pipeline.choosing import choose_models
from detseg.pipeline.promoting import Verdict, promote, roll_back
from detseg.pipeline.workspace import opened_catalog
from tests.pipeline.test_promoting import by_force, trained


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(root=tmp_path, model=ModelSettings(detector="first", segmenter=None))


def test_a_committee_ends_also_where_the_file_names_the_promoted_model_beside_it(settings: Settings) -> None:
    path = trained(settings, "a").path
    by_force(settings, "a")
    own = ModelSettings(detector=path, segmenter=None, committee=("second",))
    chosen = choose_models(settings.model_copy(update={"model": own}))
    assert chosen.settings.model.committee == ()
    assert len(chosen.notes) == 2


def test_a_committee_that_a_variable_names_goes_over_a_promotion(settings: Settings) -> None:
    trained(settings, "a")
    by_force(settings, "a")
    given = load_settings(
        None,
        environ={"DETSEG_MODEL__COMMITTEE": '["second"]'},
        state_dir=str(settings.state_path),
    )
    chosen = choose_models(given)
    assert chosen.settings is given
    assert chosen.notes == ("DETSEG_MODEL__COMMITTEE is given, so the promoted model, a, is not used",)


def test_a_file_that_names_the_promoted_model_gets_its_thresholds(settings: Settings) -> None:
    model = trained(settings, "a")
    with opened_catalog(settings) as catalog:
        catalog.promotions.promote("a", box_thresholds={"bolt": 0.25})
    named = settings.model_copy(update={"model": ModelSettings(detector=model.path, segmenter=None)})
    assert choose_models(named).settings.model.class_box_thresholds == {"bolt": 0.25}


def test_thresholds_of_a_promotion_go_over_those_of_the_file_and_that_is_said(settings: Settings) -> None:
    """Also over those that are written after it; what it says nothing of is the file's, of now."""
    trained(settings, "a")
    with opened_catalog(settings) as catalog:
        catalog.promotions.promote("a", box_thresholds={"bolt": 0.25}, mask_thresholds={"bolt": 0.75})
    own = ModelSettings(class_box_thresholds={"bolt": 0.9, "nut": 0.4}, score_maps={"bolt": (1, 2, 3)})
    settings = settings.model_copy(update={"model": own})
    chosen = choose_models(settings)
    model = chosen.settings.model
    assert (model.class_box_thresholds, model.class_mask_thresholds, model.score_maps) == (
        {"bolt": 0.25, "nut": 0.4},
        {"bolt": 0.75},
        {},
    )
    reason, of_boxes, of_maps = chosen.notes
    assert "UTC; its lowest scores: bolt 0.25)" in reason
    assert of_boxes == (
        "model.class_box_thresholds of the settings (bolt 0.90) gives way to what a was promoted with (bolt "
        "0.25): `detseg models promote a --force` promotes it without, and "
        "DETSEG_MODEL__CLASS_BOX_THRESHOLDS goes over both"
    )
    assert of_maps.startswith("model.score_maps of the settings gives way to that of the promotion: ")
    given = settings.as_given(["model__class_box_thresholds", "model__score_maps"])
    chosen = choose_models(given)
    assert chosen.settings.model.class_box_thresholds == {"bolt": 0.9, "nut": 0.4}
    assert len(chosen.notes) == 1
    flag = choose_models(settings.updated(model__box_threshold=0.7)).settings.model
    assert flag.class_box_thresholds == {"bolt": 0.9, "nut": 0.4}


def test_by_force_the_promoted_model_gets_the_thresholds_of_the_file(settings: Settings) -> None:
    trained(settings, "a")
    own = ModelSettings(detector="first", segmenter=None, class_box_thresholds={"nut": 0.4})
    settings = settings.model_copy(update={"model": own})
    entry = {"better": True, "missing": []}
    promote(settings, "a", lambda *_: Verdict(True, entry, {"bolt": 0.25}, score_maps={"bolt": (1, 2, 3)}))
    tuned = choose_models(settings).settings.model
    assert (tuned.class_box_thresholds, [*tuned.score_maps]) == ({"nut": 0.4, "bolt": 0.25}, ["bolt"])
    by_force(settings, "a")
    plain = choose_models(settings).settings.model
    assert (plain.class_box_thresholds, plain.score_maps) == ({"nut": 0.4}, {})
    assert roll_back(settings).box_thresholds == {"bolt": 0.25}
