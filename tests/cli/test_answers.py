"""What `detseg qa` says on the screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from detseg.cli.answers import print_evaluated
from detseg.cli.loop import _print_applied
from detseg.metrics.answers import answer_questions
from detseg.pipeline.evaluate import EvaluateReport
from detseg.pipeline.promoting import Applied
from detseg.report.page import render_report, write_report
from flows.artifacts import _figures
from tests.report.made import made_cases
from tests.report.outline import Outline
from tests.report.reports import listing, make_report


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


def said(result_of: EvaluateReport, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_evaluated(result_of)
    return capsys.readouterr().out.replace("\u202f", " ").splitlines()


def test_the_four_answers_and_the_classes(capsys: pytest.CaptureFixture[str]) -> None:
    report = listing(make_report(made_cases(80), limit=0))
    lines = said(EvaluateReport(report.result, Path("report.html"), Path("report.json")), capsys)
    answers = {line.split(" ", 1)[0]: line for line in lines}
    assert "box AP on control images 0." in answers["model"]
    assert any(line.strip().startswith("left as the model drew it ") for line in lines)
    assert any("images without a suspect label" in line for line in lines)
    assert "share of the time by hand" in answers["saved"]
    assert any("its first fifth should hold 42 % of the corrections (31 to 53 %)" in line for line in lines)
    assert any("bracket" in line for line in lines)
    assert lines[-1] == "report report.html"


def test_nothing_reviewed_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    result = make_report(()).result
    lines = said(EvaluateReport(result, Path("report.html"), Path("report.json")), capsys)
    assert any(line == "change  Nothing has been reviewed yet: steps come with reviews." for line in lines)
    assert not any("nan" in line or "None" in line for line in lines)


@pytest.mark.parametrize("n", [0, 3, 11, 60])
def test_every_screen_shows_the_same_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, n: int
) -> None:
    """Every tab, the terminal, both of Prefect's tables and the JSON, word by word."""
    report = make_report(made_cases(n), limit=0)
    write_report(tmp_path / "report.html", report)
    evaluated = EvaluateReport(report.result, tmp_path / "report.html", tmp_path / "report.json")
    terminal = "\n".join(said(evaluated, capsys))
    prefect = {row[0]: plain("; ".join(filter(None, row[1:]))) for row in _figures(evaluated.to_json())}
    page = Outline((tmp_path / "report.html").read_text(encoding="utf-8"))
    seen = 0
    for answer in answer_questions(report.result):
        for figure in answer.told:
            json = evaluated.to_json()["answers"][answer.question][figure.key]
            value, behind = (
                plain(json["text"]),
                [plain(json[key]) for key in ("interval", "note") if json[key]],
            )
            assert plain(page.figures[figure.key]).removeprefix("$") == value
            words = "; ".join(behind)
            assert words in plain(page.text)
            assert prefect[f"answers.{answer.question}.{figure.key}"] == "; ".join((value, *behind))
            if answer.question != "change":
                assert f"{figure.name[1:]} {value} ({words})" in terminal or not behind
            assert json["value"] == figure.estimate.value
            assert (json["level"] == "firm") == (figure.estimate.value is not None)
            seen += json["level"] != "unknown"
    assert seen >= (0 if n == 0 else 4)


@pytest.mark.parametrize("n", [3, 11, 60])
def test_the_tab_of_the_model_shows_the_figures_of_the_first(n: int) -> None:
    """Each figure of quality stands there in the words of the first tab."""
    html = plain(render_report(make_report(made_cases(n), limit=0)))
    outline = Outline(html)
    tab = html[html.index('id="sources"') : html.index('id="detection"')]
    shown = {"box_ap": "Box AP", "precision": "Precision", "recall": "Recall", "pq": "Panoptic quality"}
    for key, name in shown.items():
        row = re.search(rf'<span class="name">{name}</span>.*?</tr>', tab, re.DOTALL)
        assert row is not None
        cells = re.findall(r'<td class="n[^"]*">([^<]+)', row[0])
        assert cells[0] == outline.figures.get(key, "n/a")
        if key == "box_ap":
            assert (
                cells[-2] == outline.figures["agreement_assisted"]
            )  # a column of gold images may stand before
            assert cells[-1] == outline.figures.get("anchoring", "n/a")


@pytest.mark.parametrize("shape", ["box", "mask"])
def test_thresholds_to_write_are_of_the_shape_that_is_predicted(
    shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _print_applied(Applied(None, {"nut": 0.65}, n_reviews=100, n_set_aside=0), shape)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f'write class_{shape}_thresholds = {{"nut" = 0.65}} into [model] of detseg.toml'


def test_what_people_who_saw_the_model_say_is_never_called_ap() -> None:
    """Without control and gold images, the page and the terminal have no figure of quality."""
    cases = [one for one in made_cases(60) if one.arm == "assisted"]
    report = make_report(cases, limit=0)
    html = render_report(report)
    assert Outline(html).figures["box_ap"] == "n/a"
    assert re.search(r"\babout [\d,]+ control images for an interval of ±0\.05", html)
    model = html[html.index('id="model"') : html.index('id="people"')]
    table = model[model.index('id="detection"') : model.index('id="segmentation"')]
    assert "Agreement with reviewers who saw the model" in table
    assert not re.search(r"\bAP\b", re.sub(r"<[^>]+>", " ", table))
