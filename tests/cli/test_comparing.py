"""``detseg models compare`` in words."""

from __future__ import annotations

import pytest

from detseg.cli.comparing import print_judged
from detseg.pipeline.judging import Judged
from detseg.types import ModelVersion
from tests.metrics.test_judgement import judged, work


def test_what_speaks_against_a_candidate_has_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    found = Judged(
        judgement=judged(work(60.0, 66.0, seed=2)),
        present=ModelVersion("a@1"),
        candidate=ModelVersion("b@1"),
        unseen=(0, 0),
        tuned=None,
        dataset="v1",
        split="test",
        look=1,
        notes=(),
    )
    print_judged(found, "present", "mine")
    question, answer, *reasons = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    assert question == "is mine better than present, by 60 images of v1, split test?"
    assert answer == "no"
    assert len(reasons) > 1
    assert reasons == [f"  {line}" for line in found.judgement.missing]
