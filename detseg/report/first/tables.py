"""The rows of the report: measured results in, strings and places out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING

from detseg.report.corrected import EDIT_COLOURS
from detseg.report.first.charts import (
    COLUMNS_HEIGHT,
    COLUMNS_WIDTH,
    Histogram,
    Part,
    area_path,
    curve_path,
    histogram,
    stacked_parts,
)
from detseg.report.first.data import QaReport
from detseg.report.wording import (
    EDIT_MEANINGS,
    format_count,
    format_score,
    format_seconds,
    format_share,
)
from detseg.taxonomy import Taxonomy

if TYPE_CHECKING:
    from detseg.metrics.edits import EditCounts
from detseg.types import EDIT_KINDS

MOST_CONFUSED = 20
MOST_CURVES = 24
MOST_WORST = 6
CLASS_COLUMNS = ("true boxes", "AP", "AP50", "AP75", "mask IoU", "Dice", "PQ")
_UNKNOWN_COLOUR = "#888888"


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A kind of edit and what it means."""

    name: str
    meaning: str


@dataclass(frozen=True, slots=True)
class EditRow:
    """The edits of one class or model version; ``counts`` are in the order of ``EDIT_KINDS``."""

    name: str
    colour: str | None
    parts: tuple[Part, ...]
    counts: tuple[int, ...]
    accepted: str
    total_row: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """The scores of one class; ``cells`` are in the order of ``CLASS_COLUMNS``."""

    name: str
    colour: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A count and its share of the row, in [0, 1]; ``role`` is right, wrong or none."""

    n: int
    share: float
    role: str


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """What objects of one class were taken for."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The confusion matrix as shown."""

    columns: tuple[str, ...]
    rows: tuple[MatrixRow, ...]
    note: str
    worst: tuple[tuple[int, str], ...]
    """The most frequent confusions: how often, and in words."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One precision-recall chart; ``line`` and ``area`` are SVG paths."""

    name: str
    colour: str
    line: str
    area: str
    ap50: str
    n_truth: str


@dataclass(frozen=True, slots=True)
class TimeView:
    """The times: figures, and a chart of ``width`` x ``height``."""

    facts: tuple[tuple[str, str], ...]
    chart: Histogram
    alt: str
    width: int = COLUMNS_WIDTH
    height: int = COLUMNS_HEIGHT


def legend() -> tuple[LegendEntry, ...]:
    """All kinds of edits."""
    return tuple(LegendEntry(kind, EDIT_MEANINGS[kind]) for kind in EDIT_KINDS)


def class_edit_rows(report: QaReport) -> tuple[EditRow, ...]:
    """A row for all and one per class; none if nothing was predicted or added."""
    if report.edits.all.n_predicted + report.edits.all.added == 0:
        return ()
    taxonomy, per_class = report.taxonomy, report.edits.per_class
    rows = [_edit_row("all classes", report.edits.all, total_row=True)]
    rows += [
        _edit_row(name, per_class[name], colour=colour_of(taxonomy, name))
        for name in in_order(taxonomy, per_class)
    ]
    return tuple(rows)


def version_edit_rows(report: QaReport) -> tuple[EditRow, ...]:
    """One row per model version, by name."""
    versions = sorted(report.edits_per_version.items())
    return tuple(
        _edit_row(version, summary.all, detail=format_count(summary.n_images, "image"))
        for version, summary in versions
    )


def class_rows(report: QaReport) -> tuple[ClassRow, ...]:
    """One row per class that any result names."""
    box, mask, panoptic = report.box.per_class, report.mask.per_class, report.panoptic.per_class
    rows = []
    for name in in_order(report.taxonomy, {*box, *mask, *panoptic}):
        found = report.taxonomy.find(name)
        stuff = found is not None and found.kind == "stuff"
        scores, fit, segments = box.get(name), mask.get(name), panoptic.get(name)
        boxes = (scores.ap, scores.ap50, scores.ap75) if scores else (None, None, None)
        others = (fit.iou if fit else None, fit.dice if fit else None, segments.pq if segments else None)
        n_truth = "n/a" if stuff or scores is None else f"{scores.n_truth:,}"
        cells = (n_truth, *(format_score(value) for value in (*boxes, *others)))
        rows.append(ClassRow(name, colour_of(report.taxonomy, name), cells))
    return tuple(rows)


def confusion_matrix(report: QaReport) -> Matrix | None:
    """The matrix in the taxonomy's order; of more than 20 classes the 20 with most confusions."""
    labels, counts = report.confusion.labels, report.confusion.counts
    if not any(map(any, counts)):
        return None
    background = len(labels)
    position = {name: n for n, name in enumerate(labels)}
    wrong = {
        name: sum(counts[n]) + sum(row[n] for row in counts) - 2 * counts[n][n]
        for name, n in position.items()
    }
    worst = sorted(labels, key=lambda name: (-wrong[name], name))[:MOST_CONFUSED]
    order = [position[name] for name in in_order(report.taxonomy, worst)] + [background]
    rows = tuple(
        MatrixRow(
            labels[i] if i < background else "nothing there",
            tuple(_cell(counts[i][j], sum(counts[i]), right=i == j) for j in order),
        )
        for i in order
    )
    cut = len(labels) - len(worst)
    least = report.confusion.min_score
    notes = (
        f"Boxes with a score below {least:g} are left out." if least > 0 else "",
        f"The {len(worst)} of {len(labels)} classes with most confusions are shown." if cut else "",
    )
    columns = (*(labels[i] for i in order[:-1]), "missed")
    return Matrix(columns, rows, " ".join(note for note in notes if note), _worst(labels, counts))


def _worst(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> tuple[tuple[int, str], ...]:
    background = len(labels)

    def words(i: int, j: int) -> str:
        if i == background:
            return f"{labels[j]} where nothing is"
        return f"{labels[i]} missed" if j == background else f"{labels[i]} taken for {labels[j]}"

    wrong = [(n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if i != j and n]
    wrong.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    return tuple((n, words(i, j)) for n, i, j in wrong[:MOST_WORST])


def curve_charts(report: QaReport) -> tuple[Curve, ...]:
    """One chart per class; of more than 24 classes those with most truth."""
    scores = report.box.per_class
    known = [name for name in report.curves if name in scores]
    most = sorted(known, key=lambda name: (-scores[name].n_truth, name))[:MOST_CURVES]
    charts = []
    for name in in_order(report.taxonomy, most):
        curve = report.curves[name]
        points = reachable(list(zip(curve.recall, curve.precision, strict=True)))
        charts.append(
            Curve(
                name,
                colour_of(report.taxonomy, name),
                curve_path(points),
                area_path(points),
                format_score(scores[name].ap50),
                format_count(scores[name].n_truth, "object"),
            )
        )
    return tuple(charts)


def time_view(report: QaReport) -> TimeView | None:
    """Median, mean, the slow tenth, the sum; None if no time is known."""
    chart = histogram(report.lead_times_s)
    if chart is None:
        return None
    time = report.edits.time
    slow = quantiles(report.lead_times_s, n=10)[-1] if len(report.lead_times_s) > 1 else None
    facts = (
        ("Median", format_seconds(time.median_s)),
        ("Mean", format_seconds(time.mean_s)),
        ("One in ten takes longer than", format_seconds(slow)),
        ("All together", format_seconds(time.total_s)),
        ("Images with a time", f"{time.n_images:,}"),
    )
    return TimeView(facts, chart, f"median {format_seconds(time.median_s)}")


def reachable(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (recall, precision) points up to the highest recall that was reached, where it drops to 0."""
    reached = [point for point in points if point[1] > 0]
    return [*reached, (reached[-1][0], 0.0)] if reached else []


def in_order(taxonomy: Taxonomy, names: Iterable[str]) -> list[str]:
    """The names in the taxonomy's order, unknown ones last in alphabetical order."""
    order = {name: n for n, name in enumerate(taxonomy.names)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def colour_of(taxonomy: Taxonomy, name: str) -> str:
    """The class's colour ``#rrggbb``; grey for an unknown class."""
    found = taxonomy.find(name)
    return found.colour if found is not None else _UNKNOWN_COLOUR


def _edit_row(
    name: str,
    counts: EditCounts,
    *,
    colour: str | None = None,
    total_row: bool = False,
    detail: str = "",
) -> EditRow:
    by_kind = tuple(int(getattr(counts, kind)) for kind in EDIT_KINDS)
    colours = [(kind, n, EDIT_COLOURS[kind]) for kind, n in zip(EDIT_KINDS, by_kind, strict=True)]
    parts = stacked_parts(colours, total=sum(by_kind))
    return EditRow(name, colour, parts, by_kind, format_share(counts.acceptance_rate), total_row, detail)


def _cell(n: int, row_sum: int, *, right: bool) -> Cell:
    share = n / row_sum if row_sum else 0.0
    role = "none" if n == 0 else "right" if right else "wrong"
    return Cell(n, round(share, 3), role)
