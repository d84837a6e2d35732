"""While a run predicts, another run pushes, or a model is promoted or taken back: the newer choice stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline import preannotate as runs
from detseg.pipeline.outcome import describe_preannotate
from detseg.pipeline.preannotate import PreannotateReport, Steps, preannotate
from detseg.pipeline.promoting import promote, roll_back
from tests.pipeline.conftest import write_image
from tests.pipeline.reviewing import tasks_of
from tests.pipeline.test_promoted_queue import trained

__all__ = ["trained"]


def interrupted(settings: Settings, meanwhile: Callable[[], Any], said: list[str]) -> PreannotateReport:
    """A run; when it has predicted for the first time, something else happens."""
    happens = [meanwhile]
    plain = Steps(
        runs.check_label_studio, runs.scan_source, runs.load_model, runs.predict_all, runs.push_images
    )

    def predict(*given: Any) -> Any:
        done = plain.predict(*given)
        if happens:
            happens.pop()()
        return done

    return preannotate(settings, replace(plain, predict=predict), note=said.append)


def on_server(client: LabelStudioClient, project: int | None) -> tuple[str, list[list[str]]]:
    """The model whose predictions the project shows, and the models of each task's predictions."""
    tasks = tasks_of(client, project or 0)
    models = [sorted(one["model_version"].partition("@")[0] for one in task["predictions"]) for task in tasks]
    return client.project(project or 0).model_version.partition("@")[0], models


@pytest.mark.parametrize("how", ["add", "replace"])
def test_a_promotion_meanwhile_is_gone_on_with(
    how: str, trained: Settings, client: LabelStudioClient
) -> None:
    """Another run has given the tasks the newer model's predictions before the older run comes to them."""
    settings = trained.updated(queue__predictions=how)
    promote(settings, "first", None)
    preannotate(settings)
    write_image(Path(settings.source.location) / "late.png", seed=99)

    def meanwhile() -> None:
        promote(settings, "second", None)
        other = preannotate(settings)
        assert (other.predicted, other.pushed) == (6, 1)

    said: list[str] = []
    late = interrupted(settings, meanwhile, said)
    now = ["second"] if how == "replace" else ["first", "second"]
    assert on_server(client, late.project_id) == ("second", [*([now] * 5), ["second"]])
    assert late.model_version.startswith("second@")
    assert [line.partition(" (")[0].partition("@")[0] for line in said] == [
        "predicting with first, the promoted model",
        "another model was chosen while first",
        "predicting with second, the promoted model",
    ]
    assert (late.predicted, late.pushed, late.already_done) == (0, 0, 6)


def test_a_rollback_meanwhile_is_gone_on_with(trained: Settings, client: LabelStudioClient) -> None:
    settings = trained.updated(queue__predictions="replace")
    for name in ("first", "second"):
        promote(settings, name, None)
    late = interrupted(settings, lambda: roll_back(settings), [])
    assert on_server(client, late.project_id) == ("first", [["first"]] * 5)
    assert (late.predicted, late.pushed) == (5, 5)


def test_what_a_flag_names_stays_whatever_is_promoted(trained: Settings, client: LabelStudioClient) -> None:
    named = trained.updated(model__detector=str(trained.state_path.parent / "models" / "first"))
    done = interrupted(named, lambda: promote(named, "second", None), [])
    assert on_server(client, done.project_id) == ("first", [["first"]] * 5)


def test_images_that_another_run_pushed_meanwhile_are_accounted_for(trained: Settings) -> None:
    """Two machines predict the same images at once, and one of them pushes them."""
    late = interrupted(trained, lambda: preannotate(trained), [])
    assert (late.predicted, late.pushed, late.already_done, late.unneeded) == (5, 0, 0, 5)
    assert "of the tasks: left as they are 5" in [line.text for line in describe_preannotate(late)]
    again = preannotate(trained)
    assert (again.predicted, again.pushed, again.already_done, again.unneeded) == (0, 0, 5, 0)
