"""The geometry of the charts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.report.first.charts import COLUMNS_HEIGHT, COLUMNS_WIDTH, curve_path, histogram, stacked_parts
from detseg.report.first.tables import reachable


@given(st.lists(st.integers(0, 500), min_size=1, max_size=6))
def test_the_parts_of_a_bar_fill_it(values: list[int]) -> None:
    parts = stacked_parts([(str(n), value, "#336699") for n, value in enumerate(values)], total=sum(values))
    assert [part.value for part in parts] == [value for value in values if value]
    if parts:
        assert parts[0].x == 0
        assert parts[-1].x + parts[-1].width == pytest.approx(100, abs=0.01)


def test_numbers_appear_where_they_fit() -> None:
    parts = stacked_parts([("a", 900, "#ffffff"), ("b", 70, "#000000"), ("c", 30, "#ffffff")], total=1000)
    assert [(part.fits, part.ink) for part in parts] == [
        ("always", "#000000"),
        ("wide", "#ffffff"),
        ("never", "#000000"),
    ]


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=60))
def test_a_histogram_counts_every_value_once(values: list[float]) -> None:
    chart = histogram(values)
    assert chart is not None
    assert sum(column.n for column in chart.columns) == len(values)
    assert len(chart.columns) <= 24
    assert len(chart.ticks) <= 7
    assert max(column.height for column in chart.columns) == COLUMNS_HEIGHT
    assert chart.columns[-1].x + chart.columns[-1].width <= COLUMNS_WIDTH


def test_a_histogram_of_nothing_is_none() -> None:
    assert histogram([]) is None


def test_columns_are_half_open() -> None:
    chart = histogram([0.0, 1.0, 1.5, 2.0], most=2)
    assert chart is not None
    assert [(c.low, c.high, c.n) for c in chart.columns] == [(0.0, 1.0, 1), (1.0, 2.0, 3)]


def test_a_curve_ends_where_recall_ends() -> None:
    assert reachable([(0.0, 1.0), (0.5, 0.8), (0.6, 0.0)]) == [(0.0, 1.0), (0.5, 0.8), (0.5, 0.0)]
    assert reachable([(0.0, 0.0)]) == []
    assert curve_path([(0.0, 1.0), (1.0, 0.5)]) == "M0.0 0.0L100.0 50.0"
    assert curve_path([]) == ""
