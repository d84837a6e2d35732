"""What `detseg qa` says on the screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from detseg.cli.answers import print_evaluated
from detseg.metrics.answers import answer_questions
from detseg.pipeline.evaluate import EvaluateReport
from detseg.report.page import write_report
from detseg.report.wording import format_estimate
from tests.report.made import made_cases
from tests.report.outline import Outline
from tests.report.reports import listing, make_report


def said(result_of: EvaluateReport, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_evaluated(result_of)
    return capsys.readouterr().out.replace("\u202f", " ").splitlines()


def test_the_four_answers_and_the_classes(capsys: pytest.CaptureFixture[str]) -> None:
    report = listing(make_report(made_cases(80), limit=0))
    lines = said(EvaluateReport(report.result, Path("report.html"), Path("report.json")), capsys)
    answers = {line.split(" ", 1)[0]: line for line in lines}
    assert "left as the model drew it " in answers["model"]
    assert "box AP 0." in answers["model"]
    assert "images without a suspect label" in answers["labels"]
    assert "of the time by hand saved" in answers["saved"]
    assert any("its first fifth should hold 42 % of the corrections (31 to 53 %)" in line for line in lines)
    assert any("bracket" in line for line in lines)
    assert lines[-1] == "report report.html"


def test_nothing_reviewed_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    result = make_report(()).result
    lines = said(EvaluateReport(result, Path("report.html"), Path("report.json")), capsys)
    assert any(line == "change  Nothing stands out of what chance would make." for line in lines)
    assert not any("nan" in line or "None" in line for line in lines)


@pytest.mark.parametrize("n", [3, 80])
def test_the_terminal_the_page_and_the_json_show_the_same_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, n: int
) -> None:
    """Of three images, all say that there are too few."""
    report = make_report(made_cases(n), limit=0)
    write_report(tmp_path / "report.html", report)
    evaluated = EvaluateReport(report.result, tmp_path / "report.html", tmp_path / "report.json")
    lines = "\n".join(said(evaluated, capsys))
    page = Outline((tmp_path / "report.html").read_text(encoding="utf-8")).figures
    for answer in answer_questions(report.result):
        for figure in (answer.main, *answer.others):
            told = format_estimate(figure.estimate, figure.unit).replace("\u202f", " ")
            assert page[figure.key].replace("\u202f", " ").removeprefix("$") == told
            if answer.question != "change":
                assert f"{figure.name[1:]} {told} (" in lines
            json = evaluated.to_json()["answers"][answer.question][figure.key]
            assert json["value"] == figure.estimate.value
    assert ("left as the model drew it n/a (3 images; " in lines) == (n == 3)
