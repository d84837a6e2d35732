"""The tab on people's time, and what the model's regions saved of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from detseg.metrics.answers import saving_noun
from detseg.report.cells import count_cell, estimate_cell, name_cell, table
from detseg.report.charts import Point, series_chart
from detseg.report.data import QaReport
from detseg.report.views import Block, Cell, Chart, Column, Row, Section, Table
from detseg.report.wording import week_label

if TYPE_CHECKING:
    from detseg.metrics.effort import Saving
    from detseg.metrics.timing import ReviewTimes

_MEASURED = (
    "Control images are a random share that is labeled without the model’s regions, so both ways can be "
    "compared honestly: each person with themselves, for images of the same work. Reviews that took far "
    "longer than is usual for the regions and the person are set aside: a page was left open."
)
_EXPECTED = (
    "Expected is what drawing every region by hand would take by the seconds per box and mask in the "
    "settings; published ones unless you set your own. That is no measurement: its interval allows that "
    "they are off by a factor of 3."
)
_NO_CONTROL = (
    "Nothing was measured. experiments.control_share is the share of new images that are labeled without the "
    "model’s regions. From ten such reviews with times on, the saving is told."
)
_COLUMNS = (
    Column("Mean", about="per review"),
    Column("Median", about="per review"),
    Column("Total", about="hours"),
    Column("Reviews"),
    Column("Unknown", about="no time"),
    Column("Set aside", about="left open"),
)


def effort_section(report: QaReport) -> Section:
    """Show what was saved, by each way to find out."""
    effort = report.result.work.effort
    ways = (
        ("Measured, against control images", effort.measured),
        ("Expected, by a cost model", effort.expected),
    )
    rows = [Row(_saving_cells(name, saving, report.currency)) for name, saving in ways]
    columns = (
        Column("How it was found", "name"),
        Column("Saved", about="of the seconds by hand"),
        Column("Hours", about="saved"),
        Column("Money", about="saved"),
        Column("Spent", about="assisted hours"),
        Column("Images", about="assisted"),
        Column("Control", about="images"),
        Column("Timed", about="reviews"),
        Column("Set aside", about="left open"),
    )
    nothing = not effort.saving.n_images
    return Section(
        "effort",
        "Effort saved",
        (
            Block(
                missing="No review of an image with the model’s regions yet." if nothing else "",
                table=None if nothing else table("Effort saved", columns, rows),
            ),
            Block(missing="" if effort.measured.n_control or nothing else _NO_CONTROL),
        ),
        "" if nothing else f"{_MEASURED} {_EXPECTED}",
    )


def _saving_cells(name: str, saving: Saving, currency: str) -> tuple[Cell, ...]:
    noun = saving_noun(saving)
    money = estimate_cell(saving.money, "number", noun=noun)
    if saving.money.value is not None:
        money = Cell(f"{currency}{money.text}", money.detail)
    return (
        Cell(name),
        estimate_cell(saving.share, "share", noun=noun, scale=1.0),
        estimate_cell(saving.hours, "number", noun=noun),
        money,
        Cell(f"{saving.hours_spent:,.1f}"),
        count_cell(saving.n_images),
        count_cell(saving.n_control),
        count_cell(saving.n_timed),
        count_cell(saving.n_set_aside),
    )


def times_section(report: QaReport) -> Section:
    """Seconds per review, of assisted and of control images, by annotator, week and model version."""
    times = report.result.work.times
    arms = {"Assisted images": times.assisted, "Control images": times.control}
    if not times.assisted.n_reviews + times.control.n_reviews:
        return Section("times", "Seconds", (Block(missing="No review has a time yet."),))
    weeks = [Point(week_label(week), of.mean_s) for week, of in sorted(times.per_week.items()) if "W" in week]
    charts = []
    if len(weeks) > 1:
        rows = [
            Row((Cell(p.label), estimate_cell(p.estimate, "seconds"), count_cell(p.estimate.n)))
            for p in weeks
        ]
        charts.append(
            Chart(
                "Seconds per review by week",
                series_chart(weeks, unit="seconds", alt="Mean seconds per review by week"),
                "With the model’s regions.",
                table("Seconds per review by week", [Column("Week of", "name"), "Mean", "Images"], rows),
            )
        )
    blocks = [
        Block(table=_times_table("Seconds with and without the model’s regions", "Shown", arms)),
        Block(charts=tuple(charts)),
        Block(
            title="By annotator", table=_times_table("Seconds by annotator", "Annotator", times.per_annotator)
        ),
        Block(
            title="By model version",
            table=_times_table("Seconds by model version", "Model version", times.per_model_version),
        ),
    ]
    note = "From opening a task to saving it, drafts included; reviews that were left open do not count."
    return Section("times", "Seconds", tuple(b for b in blocks if b.table or b.charts), note)


def _times_table(name: str, head: str, times: Mapping[str, ReviewTimes]) -> Table | None:
    rows = [
        Row(
            (
                name_cell(key),
                estimate_cell(of.mean_s, "seconds"),
                estimate_cell(of.median_s, "seconds"),
                Cell(f"{of.total_h:,.1f}"),
                *(count_cell(n) for n in (of.n_reviews, of.n_unknown, of.n_outliers)),
            )
        )
        for key, of in times.items()
    ]
    return table(name, [Column(head, "name"), *_COLUMNS], rows)
