"""The tab on the model's scores: curves over thresholds, and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detseg.plurals import format_count
from detseg.report.cells import count_cell, estimate_cell, in_order, name_cell, table, value_cell
from detseg.report.charts import lines_chart, precision_recall_chart, reliability_chart
from detseg.report.data import QaReport
from detseg.report.tabs.quality import source_note
from detseg.report.views import Block, Cell, Chart, Column, Row, Section
from detseg.report.wording import NOT_DEFINED, format_score

if TYPE_CHECKING:
    from detseg.metrics.calibration import Reliability
    from detseg.metrics.operating import OperatingCurves
    from detseg.metrics.thresholds import ThresholdChoice

MOST_CURVES = 12
"""Classes with a chart of their own; the tables have all."""

_CURVES = (
    "For boxes at IoU 0.5: how many of the boxes above a score are right (upwards), and how many of the true "
    "objects they find (to the right). A curve along the top and right edges is perfect."
)
_CHEAPEST = (
    "Cheapest: at this threshold checking, deleting and drawing take people the fewest seconds. The saving "
    "is measured on images that had no say in choosing it. “Or lower”: nothing with a lower score was ever "
    "shown; only trying it would tell. “In use”: lower scores are left out from now on, by the settings or "
    "the promoted model."
)
_THRESHOLD_COLUMNS: tuple[Column | str, ...] = (
    "Class",
    Column("Best F1 at", about="score threshold"),
    "Precision",
    "Recall",
    "F1",
    Column("Cheapest at", about="least work for people"),
    Column("Saves", about="in 1,000 images"),
)
_RELIABLE = (
    "To the right what the model says (mean score of a bin), upwards the share that is right. Below the "
    "dashed line the model is too sure of itself, above it too modest. ECE 0 is perfect."
)


def curves_section(report: QaReport) -> Section:
    """Precision and recall, a chart for each of the most frequent classes."""
    scores, curves = (
        report.result.model.detailed.boxes.score.per_class,
        report.result.model.detailed.boxes.curves,
    )
    most = sorted((n for n in curves if n in scores), key=lambda name: (-scores[name].n_truth, name))[
        :MOST_CURVES
    ]
    charts = []
    for name in in_order(report.taxonomy, most):
        curve, ap50 = curves[name], format_score(scores[name].ap50)
        shown = range(0, len(curve.recall), 10)
        values = [
            [value_cell(v[i], "score") for v in (curve.recall, curve.precision, curve.score)] for i in shown
        ]
        charts.append(
            Chart(
                name,
                precision_recall_chart(
                    curve.recall, curve.precision, alt=f"Precision over recall of {name}: AP50 {ap50}"
                ),
                f"AP50 {ap50}, {format_count(scores[name].n_truth, 'object')}",
                table(f"Precision and recall of {name}", ["Recall", "Precision", "Score"], map(_row, values)),
                swatch=name_cell(name, taxonomy=report.taxonomy).swatch,
            )
        )
    cut = f" The {MOST_CURVES} classes with most objects are shown." if len(curves) > len(most) else ""
    return Section(
        "curves",
        "Precision and recall",
        (Block(charts=tuple(charts), missing="" if charts else "No class has a reviewed box yet."),),
        f"{_CURVES}{cut}" if charts else "",
    )


def operating_section(report: QaReport) -> Section:
    """Show what a threshold does, and the one that costs people least."""
    names = in_order(
        report.taxonomy,
        {*report.result.model.detailed.boxes.operating.per_class, *report.result.work.thresholds.per_class},
    )
    rows = [_threshold_row(report, name) for name in names]
    chart = _operating_chart(report.result.model.detailed.boxes.operating)
    note = "What happens when detections below a score are dropped (boxes at IoU 0.5). " + source_note(
        report.result.model.detailed
    )
    return Section(
        "thresholds",
        "Thresholds",
        (
            Block(charts=(chart,) if chart else (), missing="" if chart else "No reviewed box yet."),
            Block(
                table=table("Thresholds by class", _THRESHOLD_COLUMNS, rows), text=_CHEAPEST if rows else ""
            ),
        ),
        note if rows else "",
    )


def _threshold_row(report: QaReport, name: str) -> Row:
    curve, choice = (
        report.result.model.detailed.boxes.operating.per_class.get(name),
        report.result.work.thresholds.per_class.get(name),
    )
    best = curve.best if curve is not None else None
    figures = (best.min_score, best.precision, best.recall, best.f1) if best else (None,) * 4
    cells = [value_cell(value, "score") for value in figures]
    if choice is None:
        cells += [value_cell(None, "score"), value_cell(None, "score")]
    else:
        cells.append(Cell(f"{choice.threshold:.2f}", "or lower" if choice.at_lowest else ""))
        cells.append(_saving_cell(choice))
    return Row((name_cell(name, taxonomy=report.taxonomy), *cells))


def _saving_cell(choice: ThresholdChoice) -> Cell:
    """Show what the threshold saves: nothing where nothing is left out, and nothing yet of few images."""
    if choice.at_lowest:
        return Cell("no change", role="quiet")
    if choice.threshold <= choice.in_use:
        return Cell("no change", f"{choice.in_use:.2f} in use", role="quiet")
    saved = choice.saved_s_per_1000_images
    if saved.value is None:
        return Cell(NOT_DEFINED, "too few images", role="quiet")
    return estimate_cell(saved, "seconds")


def _operating_chart(curves: OperatingCurves) -> Chart | None:
    every = curves.all
    if every.best is None:
        return None
    best = f"F1 {format_score(every.best.f1)} at {every.best.min_score:.2f}"
    columns = (curves.min_score, every.precision, every.recall, every.f1)
    shown = range(0, len(curves.min_score), 10)
    values = [[value_cell(column[i], "score") for column in columns] for i in shown]
    return Chart(
        "All classes together",
        lines_chart(
            curves.min_score,
            [("precision", every.precision), ("recall", every.recall), ("F1", every.f1)],
            alt=f"Precision, recall and F1 over the score threshold: best {best}",
            mark=every.best.min_score,
        ),
        f"Score threshold to the right. Best: {best}.",
        table(
            "Precision, recall and F1 by threshold",
            ["Threshold", "Precision", "Recall", "F1"],
            map(_row, values),
        ),
    )


def calibration_section(report: QaReport) -> Section:
    """Show whether a score of 0.8 is right four times in five."""
    calibration = report.result.model.detailed.boxes.calibration
    named = {"All classes": calibration.all} | {
        name: calibration.per_class[name] for name in in_order(report.taxonomy, calibration.per_class)
    }
    most = sorted(calibration.per_class, key=lambda name: (-calibration.per_class[name].n, name))
    drawn = ["All classes", *in_order(report.taxonomy, most[: MOST_CURVES - 1])]
    if not calibration.all.n:
        missing = "No scored detection on a reviewed image yet."
        return Section("calibration", "Do scores mean what they say?", (Block(missing=missing),))
    rows = [
        Row((name_cell(name), count_cell(of.n), value_cell(of.ece, "score"), value_cell(of.mce, "score")))
        for name, of in named.items()
    ]
    columns: list[Column | str] = [
        "Class",
        "Detections",
        Column("ECE", about="expected calibration error"),
        Column("MCE", about="largest"),
    ]
    return Section(
        "calibration",
        "Do scores mean what they say?",
        (
            Block(charts=tuple(_reliability(name, named[name]) for name in drawn if named[name].n)),
            Block(table=table("Calibration by class", columns, rows)),
        ),
        _RELIABLE,
    )


def _reliability(name: str, of: Reliability) -> Chart:
    filled = [b for b in of.bins if b.n]
    points = [(b.mean_score, b.precision, b.n) for b in filled]
    known = [(s, p, n) for s, p, n in points if s is not None and p is not None]
    rows = [
        [
            Cell(f"{b.low:g} to {b.high:g}"),
            count_cell(b.n),
            value_cell(b.mean_score, "score"),
            value_cell(b.precision, "score"),
        ]
        for b in filled
    ]
    return Chart(
        name,
        reliability_chart(known, alt=f"Precision over score of {name}: ECE {format_score(of.ece)}"),
        f"ECE {format_score(of.ece)}, {format_count(of.n, 'detection')}",
        table(f"Calibration of {name}", ["Score", "Detections", "Mean score", "Precision"], map(_row, rows)),
    )


def _row(cells: list[Cell]) -> Row:
    return Row(tuple(cells))
