"""The tab on what people changed: acceptance over time and by score, edits in every slice, and their size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from detseg.metrics.answers import Unit
from detseg.plurals import format_count
from detseg.report.cells import by_class, count_cell, edits_cell, estimate_cell, name_cell, table
from detseg.report.charts import Point, series_chart
from detseg.report.corrected import EDIT_COLOURS
from detseg.report.data import QaReport
from detseg.report.tabs.weeks import points_table, weeks_chart
from detseg.report.views import Block, Cell, Chart, Column, Key, Row, Section, Span
from detseg.report.wording import EDIT_MEANINGS, format_range, format_value, week_label
from detseg.types import EDIT_KINDS

if TYPE_CHECKING:
    from detseg.metrics.edit_rates import EditRates, HowFar, Quantiles

_NOTE = (
    "Every box and mask that the model drew, and every one that it missed, by what people did with it. Only "
    "images that were shown with the model’s own regions count."
)
_COLUMNS = (
    Column("Share of each edit", "bar"),
    *EDIT_KINDS,
    Column("Accepted", about="left as drawn"),
    Column("Changes", about="per image"),
    Column("Images"),
)


def edit_keys() -> tuple[Key, ...]:
    """All kinds of edits and their colours."""
    return tuple(Key(kind, EDIT_MEANINGS[kind], EDIT_COLOURS[kind]) for kind in EDIT_KINDS)


def acceptance_section(report: QaReport) -> Section:
    """Show how much is left as the model drew it: by week, and by the model's score."""
    edits, weeks = report.result.work.edits, report.result.work.drift.weeks
    charts = []
    if len(weeks) > 1:
        points = [Point(week_label(w.week), w.acceptance_rate, w.changed) for w in weeks]
        versions = [", ".join(w.model_versions) for w in weeks]
        charts.append(weeks_chart("Acceptance by week", points, details=versions))
    scores = [
        Point(key.split("-")[0], rate.acceptance_rate) for key, rate in edits.per_score.items() if "-" in key
    ]
    if len(scores) > 1:
        charts.append(
            Chart(
                "Acceptance by score",
                series_chart(scores, unit="share", alt="Acceptance by score, in tenths", line=False),
                "Scores of the model in tenths to the right: surer regions should be accepted more often.",
                points_table("Acceptance by score", "Score from", scores, unit="share"),
            )
        )
    words = f"On {format_count(edits.n_images, 'image')}, {format_count(edits.n_reviews, 'review')}."
    if edits.n_declined:
        words += f" {format_count(edits.n_declined, 'review')} said nothing (skipped) and do not count."
    missing = (
        "" if edits.n_reviews else "No review yet: submit a task in Label Studio, then run detseg collect."
    )
    return Section(
        "acceptance",
        "Acceptance",
        (Block(charts=tuple(charts), missing=missing),),
        words if edits.n_reviews else "",
    )


def edits_section(report: QaReport) -> Section:
    """The kinds of edits of all, by class, model version, annotator, week and score."""
    edits = report.result.work.edits
    if not edits.n_reviews:
        return Section("edits", "What was changed", (Block(missing="Nothing was reviewed yet."),))
    slices: tuple[tuple[str, Iterable[tuple[Cell, EditRates]]], ...] = (
        ("Class", by_class(report.taxonomy, edits.per_class)),
        ("Annotator", _named(edits.per_annotator)),
        ("Week of", ((name_cell(week_label(k)), v) for k, v in edits.per_week.items())),
        ("Score", _named(edits.per_score)),
        ("Model version", _named(edits.per_model_version)),
    )
    blocks = [Block(keys=edit_keys())]
    for name, rows in slices:
        total = [(Cell("All"), edits.all)] if name == "Class" else []
        made = [
            _row(cell, rates, total=cell.text == "All" and n == 0)
            for n, (cell, rates) in enumerate([*total, *rows])
        ]
        title = f"By {name.removesuffix(' of').lower()}"
        blocks.append(
            Block(title=title, table=table(f"Edits {title.lower()}", [Column(name, "name"), *_COLUMNS], made))
        )
    return Section("edits", "What was changed", tuple(b for b in blocks if b.keys or b.table), _NOTE)


def how_far_section(report: QaReport) -> Section:
    """Show how far changed regions went, for all and by class."""
    edits = report.result.work.edits
    named = [(Cell("All"), edits.how_far), *by_class(report.taxonomy, edits.how_far_per_class)]
    rows = [_far_row(cell, far, total=not n) for n, (cell, far) in enumerate(named) if _any_far(far)]
    columns = (
        Column("Class", "name"),
        Column("IoU", about="before against after"),
        Column("Changed", about="regions"),
        Column("Moved by", about="mean of four sides"),
        Column("Moved", about="regions"),
        Column("Repainted", about="share of the mask"),
        Column("Reshaped", about="masks"),
    )
    return Section(
        "how-far",
        "How far",
        (
            Block(
                missing="" if rows else "Nothing was moved or reshaped.",
                table=table("How far", columns, rows),
            ),
        ),
        "The median over the regions that were changed; below it the middle eight tenths." if rows else "",
    )


def _named(rates: Mapping[str, EditRates]) -> Iterable[tuple[Cell, EditRates]]:
    return ((name_cell(name), rates[name]) for name in sorted(rates))


def _row(name: Cell, rates: EditRates, *, total: bool) -> Row:
    counts = (count_cell(int(getattr(rates.counts, kind))) for kind in EDIT_KINDS)
    return Row(
        (
            name,
            edits_cell(rates.counts, name.text),
            *counts,
            estimate_cell(rates.acceptance_rate, "share", scale=1.0),
            estimate_cell(rates.edits_per_image, "number"),
            count_cell(rates.n_images),
        ),
        total,
    )


def _any_far(far: HowFar) -> bool:
    return any(q.n for q in (far.iou, far.moved_px, far.repainted))


def _far_row(name: Cell, far: HowFar, *, total: bool) -> Row:
    spreads: tuple[tuple[Quantiles, Unit], ...] = (
        (far.iou, "score"),
        (far.moved_px, "pixels"),
        (far.repainted, "share"),
    )
    cells = [cell for q, unit in spreads for cell in (_spread_cell(q, unit), count_cell(q.n))]
    return Row((name, *cells), total)


def _spread_cell(spread: Quantiles, unit: Unit) -> Cell:
    if spread.p10 is None or spread.p50 is None or spread.p90 is None:
        return Cell("n/a", role="quiet")
    words = format_range(spread.p10, spread.p90, unit)
    ends = (round(100 * value, 2) for value in (spread.p10, spread.p50, spread.p90))
    return Cell(format_value(spread.p50, unit), words, span=Span(*ends) if unit == "score" else None)
