"""Maps of scores: they rise, and back is the way that they came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.models.score_maps import ScoreMap

SLOPES = st.floats(0.05, 5.0)
MAPS = st.builds(ScoreMap, SLOPES, SLOPES, st.floats(-3.0, 3.0))
SCORES = st.integers(1, 9999).map(lambda n: n / 10_000)


@given(MAPS, SCORES, SCORES)
def test_a_higher_score_is_a_higher_probability(one: ScoreMap, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0.0 <= one.probability(low) <= one.probability(high) <= 1.0


@given(MAPS, SCORES, st.floats(0.02, 0.98))
def test_a_threshold_of_probabilities_keeps_what_that_of_scores_keeps(
    one: ScoreMap, score: float, threshold: float
) -> None:
    assert (score >= one.score(threshold)) == (one.probability(score) >= threshold)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_ends_stay_inside(score: float) -> None:
    assert 0.0 <= ScoreMap(3.0, 0.1, 2.0).probability(score) <= 1.0


@pytest.mark.parametrize("numbers", [(0.0, 1.0, 0.0), (1.0, -1.0, 0.0), (1.0, 1.0, float("nan"))])
def test_a_map_that_does_not_rise_is_none(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="two numbers above 0"):
        ScoreMap(*numbers)
