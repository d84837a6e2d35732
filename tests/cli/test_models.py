"""``detseg models`` as people and programs call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detseg.cli.app import app
from detseg.config import Settings
from detseg.errors import DatasetError
from detseg.pipeline.registry import register
from tests.cli.conftest import Run
from tests.pipeline.models import make_trained


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two registered models, the second of which descends from the first."""
    monkeypatch.chdir(tmp_path)
    for name, base in (("first", "sample"), ("second", "first")):
        register(Settings(root=tmp_path), make_trained(tmp_path / name, base=base, seed=len(name)))
    return tmp_path


def answer(capfd: pytest.CaptureFixture[str], *words: str) -> Any:
    app(["models", *words, "--json"], standalone_mode=False)
    return json.loads(capfd.readouterr().out)


def said(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    app(["models", *words], standalone_mode=False)
    return capfd.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_model_is_listed_shown_promoted_and_rolled_back(capfd: pytest.CaptureFixture[str]) -> None:
    listed = answer(capfd, "list")
    assert listed["present"] is None
    assert [(one["name"], one["parent"], one["promoted"]) for one in listed["models"]] == [
        ("first", None, False),
        ("second", "first", False),
    ]
    done = answer(capfd, "promote", "second", "--force")
    assert (done["model"], done["promoted"], done["kind"], done["judgement"]) == (
        "second",
        True,
        "forced",
        None,
    )
    assert answer(capfd, "list")["present"] == "second"
    shown = answer(capfd, "show", "second")
    assert shown.keys() >= {
        "path",
        "digest",
        "base",
        "dataset",
        "dataset_id",
        "seed",
        "steps",
        "seconds",
        "best",
    }
    assert [one["kind"] for one in shown["promotions"]] == ["forced"]
    assert answer(capfd, "show", "first")["children"] == ["second"]
    assert answer(capfd, "rollback")["model"] is None
    assert answer(capfd, "rm", "second") == {"removed": "second", "files": []}
    assert [one["name"] for one in answer(capfd, "list")["models"]] == ["first"]
    assert len(answer(capfd, "list", "--removed")["models"]) == 2


def test_people_are_told_what_follows(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "registered" not in said(capfd, "list")
    forced = said(capfd, "promote", "first", "--force").splitlines()
    assert forced == [
        "`detseg preannotate` predicts with first from now on",
        "its regions go beside those of tasks that wait (queue.predictions), with its next run",
        "`detseg models rollback` takes that back",
    ]
    (again,) = said(capfd, "promote", "first", "--force").splitlines()
    assert again.startswith("first is the promoted model already, since 20")
    table = said(capfd, "list").splitlines()
    assert "AP 0.500" in table[1]
    assert table[1].endswith("promoted")
    shown = said(capfd, "show", "first")
    assert shown.startswith(f"first (promoted): {here / 'first'}\n  answers boxes, AP 0.500 on val\n")
    assert "  from it came second\n" in shown
    assert "by force\n" in shown
    app(["status"], standalone_mode=False)
    assert "predicts with first, the promoted model" in capfd.readouterr().out
    assert said(capfd, "rollback") == "`detseg preannotate` predicts with the models of the settings again\n"
    assert said(capfd, "rm", "first", "--files") == "first is out of the list, and 4 files deleted\n"
    assert not (here / "first").exists()
    shown = said(capfd, "show", "second")
    assert "from first\n" in shown


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("variable", "value", "is_said"),
    [
        ("DETSEG_MODEL__DETECTOR", "mine", True),
        ("DETSEG_MODEL__COMMITTEE", '["mine"]', True),
        ("DETSEG_MODEL__SEGMENTER", "mine", False),
    ],
)
def test_a_variable_that_keeps_a_promoted_detector_out_is_said(
    variable: str,
    value: str,
    is_said: bool,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    app(["models", "promote", "first", "--force"], standalone_mode=False)
    line = f"{variable} is set, and goes over it where it is set"
    assert (line in capfd.readouterr().err) == is_said


@pytest.mark.usefixtures("here")
def test_nothing_is_promoted_that_cannot_be_judged(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DatasetError, match=r"^there is no dataset version 'abab"):
        app(["models", "promote", "first"], standalone_mode=False)
    assert answer(capfd, "list")["present"] is None


def test_refusals_are_answers_for_programs_too(run: Run, tmp_path: Path) -> None:
    register(Settings(root=tmp_path), make_trained(tmp_path / "first"))
    refused = run("models", "promote", "first", "--json")
    assert (refused.code, refused.json["model"], refused.json["promoted"]) == (1, "first", False)
    (reason,) = refused.json["reasons"]
    assert reason.startswith("there is no dataset version 'abab")
    assert refused.err == f"detseg: {reason}\n"
    unknown = run("models", "promote", "second", "--json")
    assert (unknown.code, unknown.json["promoted"]) == (2, False)
    back = run("models", "rollback", "--json")
    assert (back.code, back.json["rolled_back"]) == (2, False)
    assert back.json["reasons"][0].startswith("no model is promoted, so there is none to go back from")
    for words in (("show", "second"), ("rm", "second")):
        assert "no model is called 'second' (first)" in run("models", *words, "--json").json["reasons"][0]
    compared = run("models", "compare", "present", "first", "--dataset", "v9", "--json")
    assert (compared.code, compared.json["better"]) == (1, None)
    assert compared.json["missing"][0].startswith("there is no dataset version 'v9'")
    retrained = run("retrain", "--now", "--json")
    assert (retrained.code, retrained.json["promoted"]) == (1, None)
    assert "knows no project" in retrained.json["reasons"][0]
    applied = run("qa", "--apply", "--json")
    assert (applied.code, applied.json["applied"]) == (1, None)
    assert run("models", "rollback").out == ""


def test_an_empty_list_says_how_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said(capfd, "list").startswith("no model yet: `detseg train VERSION")
    assert answer(capfd, "list") == {"present": None, "models": []}
