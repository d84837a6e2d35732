"""Charts as markup: whole, repeatable, in the page's colours, with their figures in words."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.metrics.intervals import UNKNOWN, Estimate, Rough
from detseg.report.cells import cost_cell, estimate_cell, stacked_parts
from detseg.report.charts import (
    Point,
    draw_figure,
    lines_chart,
    precision_recall_chart,
    reliability_chart,
    series_chart,
    sparkline,
)

shares = st.floats(0, 1, allow_subnormal=False)
estimates = st.builds(
    lambda a, b, c, n: Estimate(*sorted((a, b, c))[1:2], *sorted((a, b, c))[::2], n, None),
    shares,
    shares,
    shares,
    st.integers(10, 99),
)
few = st.builds(
    lambda one: Estimate(None, None, None, 5, None, Rough(one.value, one.low, one.high, 5)), estimates
)


def well_formed(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("aria-label")
    return root


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.one_of(estimates, few, st.just(UNKNOWN)), min_size=1, max_size=30),
    st.sampled_from(["share", "seconds"]),
)
def test_any_series_makes_a_chart(values: list[Estimate], unit: str) -> None:
    points = [Point(str(n), estimate, flagged=n % 3 == 0) for n, estimate in enumerate(values)]
    for svg in (series_chart(points, unit=unit, alt="a"), sparkline(points, unit=unit, alt="a")):  # type: ignore[arg-type]
        root = well_formed(svg)
        assert "nan" not in svg
        assert "No value yet" in svg or "value" in str(root.get("aria-label"))


def test_text_stays_text_and_colours_are_the_pages() -> None:
    points = [Point(f"{n} Nov", Estimate(0.5 + n / 20, 0.4, 0.9, 40, None), n == 2) for n in range(6)]
    svg = series_chart(points, unit="share", alt="Acceptance")
    texts = ["".join(text.itertext()) for text in well_formed(svg).iter("text")]
    assert "5 Nov" in texts
    assert any(text.endswith("%") for text in texts)
    assert not re.search(r"#[0-9a-f]{3,8}\b", svg)
    assert {"var(--accent)", "var(--wash)", "var(--wrong)", "var(--soft)"} <= set(
        re.findall(r"var\(--\w+\)", svg)
    )


def _rings(svg: str) -> list[str]:
    return [path for path in re.findall(r"<path[^>]*>", svg) if "stroke: var(--wrong)" in path]


def test_a_week_of_few_images_is_grey_and_keeps_its_circle() -> None:
    firm = [Estimate(0.7, 0.6, 0.8, 40, None)] * 2
    few = Estimate(None, None, None, 7, 13, Rough(0.8, 0.5, 0.9, 3))
    points = [Point("a", firm[0]), Point("b", few, flagged=True), Point("c", firm[1])]
    for svg in (series_chart(points, unit="share", alt="a"), sparkline(points, unit="share", alt="a")):
        assert len(_rings(svg)) == 1
        assert "3 values" in svg
        assert "fill: var(--wash)" not in svg  # no band or line leads over the week between
    without = series_chart([Point(p.label, p.estimate) for p in points], unit="share", alt="a")
    assert not _rings(without)
    (grey,) = (path for path in re.findall(r"<path[^>]*>", without) if "fill: var(--soft)" in path)
    assert "opacity" in grey


def test_nothing_in_it_can_meet_another_figure_or_leak() -> None:
    svg = precision_recall_chart([0, 0.5, 1], [1, 0.8, 0], alt="a")
    assert not re.search(r"\sid=|url\(|<style|<defs|xlink|clip-path|font-family|date", svg)


def test_what_it_says_is_escaped_and_no_formula() -> None:
    svg = draw_figure(lambda axes: axes.set_xlabel("$\\frac{ <b>"), width=200, height=100, alt='"<script>')  # type: ignore[arg-type, func-returns-value]
    root = well_formed(svg)
    assert root.get("aria-label") == '"<script>'
    assert "<script>" not in svg
    assert "$\\frac{ <b>" in ["".join(text.itertext()) for text in root.iter("text")]


def test_the_same_figure_is_the_same_in_another_process(tmp_path: object) -> None:
    program = (
        "from detseg.report.charts import reliability_chart as r\n"
        "print(r([(0.2, 0.1, 5), (0.9, 0.95, 50)], alt='x'), end='')"
    )
    environment = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "PYTHONHASHSEED": "7",
        "MPLCONFIGDIR": str(tmp_path),
    }
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsvg.fonttype: path\n")  # type: ignore[operator]
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert other.stdout == reliability_chart([(0.2, 0.1, 5), (0.9, 0.95, 50)], alt="x"), other.stderr


def test_drawing_is_not_loaded_before_it_is_needed() -> None:
    program = "import sys, detseg.report.page\nprint('matplotlib' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_curves_with_nothing_in_them() -> None:
    for svg in (
        precision_recall_chart([], [], alt="a"),
        precision_recall_chart([0, 1], [0, 0], alt="a"),
        reliability_chart([], alt="a"),
        lines_chart([0, 1], [("precision", [None, None]), ("recall", [1, 0])], alt="a"),
    ):
        well_formed(svg)


@given(st.lists(st.integers(0, 5000), max_size=8))
def test_parts_of_a_bar_fill_it(values: list[int]) -> None:
    parts = stacked_parts([(str(n), value, "#0072b2") for n, value in enumerate(values)], total=sum(values))
    assert [part.value for part in parts] == [value for value in values if value > 0]
    edge = 0.0
    for part in parts:
        assert part.x == pytest.approx(edge, abs=0.01)
        edge = part.x + part.width
    assert edge == pytest.approx(100 if parts else 0, abs=0.01)


@given(estimates)
def test_a_cell_has_its_interval_in_order(estimate: Estimate) -> None:
    cell = estimate_cell(estimate, "share", scale=1.0)
    assert cell.span is not None
    assert 0 <= cell.span.low <= cell.span.value <= cell.span.high <= 100


def test_cells_without_enough_data_say_what_they_need() -> None:
    cell = estimate_cell(Estimate(None, None, None, 12, 57), "share")
    assert (cell.text, cell.role) == ("n/a", "quiet")
    assert cell.detail == "12 images"
    rough = estimate_cell(Estimate(None, None, None, 12, 57, Rough(0.5, 0.2, 0.8, 33)), "score", scale=1.0)
    assert (rough.text, rough.role) == ("0.500", "quiet")
    assert rough.detail == "0.200 to 0.800; too few to act on: 33 more images"
    assert rough.span is not None
    assert estimate_cell(UNKNOWN, "score").detail == ""
    assert cost_cell(None, 0.0).text == "n/a"
    assert cost_cell(-0.01, 0.0).text == "−0.010"
