"""Reviews that took no time: what triggers, and what nearly does."""

from __future__ import annotations

import math

import pytest

from detseg.metrics.suspects.rules import RULE_OF
from detseg.types import Arm
from tests.metrics.suspects.making import case, region, suspects

EIGHT = [region(str(i), "bolt", (20 * i, 10, 20 * i + 15, 40), score=0.9) for i in range(8)]
"""Regions that take 3 s to look at."""


@pytest.mark.parametrize(
    ("lead_time_s", "score"),
    [(3.0, None), (2.99, 0.5), (1.5, 0.75), (0.0, 1.0), (None, None), (-1.0, None), (math.nan, None)],
)
def test_too_fast(lead_time_s: float | None, score: float | None) -> None:
    found = suspects(case(EIGHT, EIGHT, arm="assisted", lead_time_s=lead_time_s), "too_fast")
    assert [one.score for one in found] == (
        [] if score is None else [pytest.approx(score * RULE_OF["too_fast"].cost, abs=2e-3)]
    )


@pytest.mark.parametrize(("arm", "n_found"), [("assisted", 1), ("control", 0)])
def test_only_what_was_shown_takes_time(arm: Arm, n_found: int) -> None:
    """Deleting all of eight is too fast in 2 s; finding nothing where nothing was shown is not."""
    assert len(suspects(case([], EIGHT, arm=arm, lead_time_s=2.0), "too_fast")) == n_found


def test_it_says_how_long_it_takes() -> None:
    (found,) = suspects(case(EIGHT, lead_time_s=0.4), "too_fast")
    assert found.reason == "8 regions in 0.4 s: looking at each takes 3.0 s"
    assert (found.region, found.box, found.author) == (None, None, "ann")


def test_one_region_is_said_in_the_singular() -> None:
    (found,) = suspects(case(EIGHT[:1], lead_time_s=0.1), "too_fast")
    assert found.reason.startswith("1 region in 0.1 s")
