"""A promoted model's regions reach the tasks of a real server that wait, and a rollback undoes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.choosing import choose_models
from detseg.pipeline.model_cache import read_cached_model
from detseg.pipeline.preannotate import plan, preannotate
from detseg.pipeline.predictors import predictor_settings
from detseg.pipeline.promoting import promote, roll_back
from detseg.pipeline.registry import register
from detseg.pipeline.workspace import opened_catalog
from tests.models import tiny
from tests.pipeline.models import make_trained
from tests.pipeline.reviewing import submit, tasks_of


@pytest.fixture
def trained(queue: Settings, tmp_path: Path) -> Settings:
    """Settings in whose catalog two detectors are registered, first and second; no score is too low."""
    for kind, name in (("rt_detr", "first"), ("rt_detr_v2", "second")):
        folder = tiny.save(kind, tmp_path / "models" / name)
        shutil.copy(make_trained(tmp_path / "made" / name) / "training.json", folder)
        assert register(queue, folder).name == name
    return queue.updated(model__segmenter=None, model__box_threshold=0.0, engine__device="cpu")


@pytest.mark.parametrize("how", ["add", "replace"])
def test_a_promotion_reaches_the_tasks_that_wait(
    how: str, trained: Settings, client: LabelStudioClient
) -> None:
    settings = trained.updated(queue__predictions=how)
    said: list[str] = []
    promote(settings, "first", None)
    first = preannotate(settings, note=said.append)
    assert first.model_version.startswith("first@")
    assert (first.predicted, first.pushed) == (5, 5)
    done, *waiting = tasks_of(client, first.project_id or 0)
    submit(client, done)
    promote(settings, "second", None)
    assert plan(settings).model_version.startswith("second@")
    second = preannotate(settings, note=said.append)
    assert (second.predicted, second.pushed) == (5, 0)
    assert [line.partition(" (")[0] for line in said] == [
        "predicting with first, the promoted model",
        "predicting with second, the promoted model",
    ]
    versions = [
        sorted(one["model_version"].partition("@")[0] for one in task["predictions"])
        for task in tasks_of(client, first.project_id or 0)
    ]
    now = ["second"] if how == "replace" else ["first", "second"]
    assert versions == [["first"], *([now] * len(waiting))]
    again = preannotate(settings)
    assert (again.predicted, again.pushed, again.already_done) == (0, 0, 5)
    chosen = predictor_settings(choose_models(settings).settings)
    with opened_catalog(settings) as catalog:
        known = read_cached_model(chosen, catalog)  # so no weights were loaded
    assert known is not None
    assert known.version == second.model_version
    roll_back(settings)
    assert preannotate(settings).model_version == first.model_version
