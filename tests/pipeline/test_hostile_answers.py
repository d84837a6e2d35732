"""Answers of a real Label Studio, changed on their way: no run falls over, and none asks without end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from detseg.labelstudio.server import Connection
from tests.pipeline.hostile_answers import outcomes


def test_no_answer_ends_a_run_otherwise_than_in_one_line(
    label_studio: Connection, document_root: Path, new_title: Callable[[], str]
) -> None:
    """The first of the lies that ``python -m tests.pipeline.hostile_answers`` tells by the hundred."""
    told = list(outcomes(label_studio, document_root, new_title, numbers=range(12), seed=1))
    assert [one for one in told if one.what not in ("done", "refused")] == []
    assert {one.what for one in told} == {"done", "refused"}
