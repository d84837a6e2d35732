"""The tab on the model's errors: their kinds and cost, and what was taken for what."""

from __future__ import annotations

from collections.abc import Sequence

from detseg.metrics.error_kinds import ERROR_KINDS
from detseg.report.cells import cost_cell, count_cell, in_order, name_cell, table
from detseg.report.data import QaReport
from detseg.report.views import Block, Cell, Column, Row, Section
from detseg.report.wording import format_score

MOST_CONFUSED, MOST_WORST = 20, 8

_MENDED = (
    "How much AP50 ({}) would rise if all errors of one kind were mended and the others left as they "
    "are, after TIDE."
)
_ERROR_COLUMNS: tuple[Column | str, ...] = (
    Column("Kind of error", "name"),
    "How often",
    Column("Cost in AP50", "number", "won if mended"),
)
_ERRORS = {
    "class": "right place, wrong class",
    "location": "right class, badly placed (IoU 0.1 to 0.5)",
    "both": "wrong class and badly placed",
    "duplicate": "a second detection of one object",
    "background": "nothing is there",
    "missed": "no detection at all",
}


def errors_section(report: QaReport) -> Section:
    """Show what each kind of error costs in AP."""
    boxes = report.result.model.detailed.boxes
    errors, nothing = boxes.errors, not boxes.n_truth + boxes.n_predicted
    largest = max((cost.ap_cost or 0.0 for cost in errors.kinds.values()), default=0.0)
    rows = [
        Row((name_cell(kind, detail=_ERRORS[kind]), count_cell(cost.n), cost_cell(cost.ap_cost, largest)))
        for kind in ERROR_KINDS
        if not nothing and (cost := errors.kinds.get(kind)) is not None
    ]
    per_class = [
        Row((name_cell(name, taxonomy=report.taxonomy), *(count_cell(counts.get(k, 0)) for k in ERROR_KINDS)))
        for name in in_order(report.taxonomy, errors.per_class)
        if any((counts := errors.per_class[name]).values())
    ]
    return Section(
        "errors",
        "Kinds of errors",
        (
            Block(
                missing="" if rows else "No reviewed box to compare yet.",
                table=table("What each kind of error costs", _ERROR_COLUMNS, rows),
            ),
            Block(
                title="By class" if per_class else "",
                table=table("Kinds of errors by class", ["Class", *ERROR_KINDS], per_class),
            ),
        ),
        _MENDED.format(format_score(errors.ap50)) if rows else "",
        beside=True,
    )


def confusion_section(report: QaReport) -> Section:
    """The matrix in the taxonomy's order; of more than 20 classes the 20 with most confusions."""
    confusion = report.result.model.detailed.boxes.confusion
    labels, counts = confusion.labels, confusion.counts
    if not any(map(any, counts)):
        return Section(
            "confusion", "What was taken for what", (Block(missing="No reviewed box to compare yet."),)
        )
    background = len(labels)
    shown = in_order(report.taxonomy, _most_confused(labels, counts))
    order = [*(labels.index(name) for name in shown), background]
    rows = [
        Row(
            (
                name_cell(labels[i] if i < background else "nothing there"),
                *(_cell(counts[i][j], sum(counts[i]), right=i == j) for j in order),
            )
        )
        for i in order
    ]
    notes = [
        "Rows are what people say is there, columns what the model called it (boxes at IoU 0.5 or more). "
        "Shading is the share of the row."
    ]
    if confusion.min_score > 0:
        notes.append(f"Boxes with a score below {confusion.min_score:g} are left out.")
    if len(shown) < len(labels):
        notes.append(f"The {len(shown)} of {len(labels)} classes with most confusions are shown.")
    matrix = table("Confusion of classes", ["In truth", *shown, "missed"], rows, matrix=True)
    worst = Block(title="Most frequent mistakes", points=_worst(labels, counts))
    blocks = (Block(table=matrix), *((worst,) if worst.points else ()))
    return Section("confusion", "What was taken for what", blocks, " ".join(notes), beside=True)


def _most_confused(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> list[str]:
    wrong = {
        name: sum(counts[n]) + sum(row[n] for row in counts) - 2 * counts[n][n]
        for n, name in enumerate(labels)
    }
    return sorted(labels, key=lambda name: (-wrong[name], name))[:MOST_CONFUSED]


def _worst(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> tuple[str, ...]:
    background = len(labels)

    def words(i: int, j: int) -> str:
        if i == background:
            return f"{labels[j]} where nothing is"
        return f"{labels[i]} missed" if j == background else f"{labels[i]} taken for {labels[j]}"

    wrong = [(n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if i != j and n]
    wrong.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    return tuple(f"{n:,} × {words(i, j)}" for n, i, j in wrong[:MOST_WORST])


def _cell(n: int, row_sum: int, *, right: bool) -> Cell:
    share = round(n / row_sum, 3) if row_sum else 0.0
    if not n:
        return Cell("0", role="quiet", shade=0.0)
    return Cell(f"{n:,}", role="right" if right else "wrong", shade=share)
