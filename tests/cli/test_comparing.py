"""``detseg models compare`` in words."""

from __future__ import annotations

import math

import pytest

from detseg.cli.comparing import print_judged
from detseg.pipeline.judging import Judged
from detseg.types import ModelVersion
from tests.metrics.test_judgement import judged, work


def compared(**options: tuple[float, float]) -> Judged:
    return Judged(
        judgement=judged(work(60.0, 66.0, seed=2), **options),
        present=ModelVersion("a@1"),
        candidate=ModelVersion("b@1"),
        unseen=(0, 0),
        tuned=None,
        dataset="v1",
        split="test",
        look=1,
        notes=(),
    )


def test_what_speaks_against_a_candidate_has_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    found = compared()
    print_judged(found, "present", "mine")
    question, answer, *reasons = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    assert question == "is mine better than present, by 60 images of v1, split test?"
    assert answer == "no"
    assert len(reasons) > 1
    assert reasons == [f"  {line}" for line in found.judgement.missing]


def test_a_figure_that_one_model_has_not_differs_by_no_interval(capsys: pytest.CaptureFixture[str]) -> None:
    print_judged(compared(calibration=(math.nan, 0.1)), "present", "mine")
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("calibration error"))
    assert row.removeprefix("calibration error").split() == ["n/a", "0.100", "n/a", "n/a"]
