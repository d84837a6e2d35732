"""What `detseg qa` says on the screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from detseg.cli.answers import print_evaluated
from detseg.pipeline.evaluate import EvaluateReport
from tests.report.made import made_cases
from tests.report.reports import listing, make_report


def said(result_of: EvaluateReport, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_evaluated(result_of)
    return capsys.readouterr().out.replace("\u202f", " ").splitlines()


def test_the_four_answers_and_the_classes(capsys: pytest.CaptureFixture[str]) -> None:
    report = listing(make_report(made_cases(80), limit=0))
    lines = said(EvaluateReport(report.result, Path("report.html"), Path("report.json")), capsys)
    answers = {line.split(" ", 1)[0]: line for line in lines}
    assert "box AP 0." in answers["model"]
    assert "suspects in" in answers["labels"]
    assert "of people's time" in answers["saved"]
    assert "first fifth of 1,200 waiting images, as listed, holds 42 % (31 to 53 %)" in answers["change"]
    assert any("bracket" in line for line in lines)
    assert lines[-1] == "report report.html"


def test_nothing_reviewed_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    result = make_report(()).result
    lines = said(EvaluateReport(result, Path("report.html"), Path("report.json")), capsys)
    assert any(line == "change  nothing that the figures are sure of" for line in lines)
    assert not any("nan" in line or "None" in line for line in lines)
