"""The course of a share by week, with the weeks marked in which it changed for certain."""

from __future__ import annotations

from collections.abc import Sequence

from detseg.metrics.answers import Unit
from detseg.metrics.shown import show
from detseg.metrics.weeks import WeekShare
from detseg.report.cells import count_cell, estimate_cell, table
from detseg.report.charts import Point, series_chart
from detseg.report.views import Block, Cell, Chart, Column, Row, Table
from detseg.report.wording import week_label


def weeks_block(title: str, weeks: Sequence[WeekShare], *, unit: Unit = "share") -> tuple[Block, ...]:
    """The chart of a measure's weeks; nothing for less than two weeks with a figure, however rough."""
    points = [Point(week_label(one.week), one.share, one.changed) for one in weeks]
    if sum(show(point.estimate).value is not None for point in points) < 2:
        return ()
    return (Block(charts=(weeks_chart(title, points, unit=unit),)),)


def weeks_chart(
    title: str, points: Sequence[Point], *, unit: Unit = "share", details: Sequence[str] = ()
) -> Chart:
    """``details`` stand below the weeks in the table behind it."""
    changed = [point.label for point in points if point.flagged]
    said = f"Changed for certain in the week of {' and '.join(changed)} (circles)." if changed else ""
    said = said or "No change is larger than chance would make it, each person compared with themselves."
    if any(show(point.estimate).level == "rough" for point in points):
        said += " Grey: too few images to act on that week alone."
    return Chart(
        title,
        series_chart(points, unit=unit, alt=title),
        said,
        points_table(title, "Week of", points, unit=unit, details=details),
    )


def points_table(
    name: str, head: str, points: Sequence[Point], *, unit: Unit, details: Sequence[str] = ()
) -> Table | None:
    """The figures of a series, one point a row."""
    words = details or [""] * len(points)
    rows = (
        Row((Cell(p.label, detail), estimate_cell(p.estimate, unit), count_cell(p.estimate.n)))
        for p, detail in zip(points, words, strict=True)
    )
    return table(name, [Column(head, "name"), "Value", "Images"], rows)
