"""The first screen: four questions, each with a figure, its interval, its course and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detseg.metrics.intervals import Estimate, wilson
from detseg.report.cells import count_cell, estimate_cell, missing_words, table
from detseg.report.charts import Point, sparkline
from detseg.report.steps import next_steps
from detseg.report.views import Answer, Cell, Chart, Column, Fact, Row
from detseg.report.wording import (
    Unit,
    format_count,
    format_estimate,
    format_interval,
    week_label,
)
from detseg.types import EDIT_KINDS

if TYPE_CHECKING:
    from detseg.report.data import QaReport


def answers(report: QaReport) -> tuple[Answer, ...]:
    """The four answers, in the order in which people ask."""
    return (_model(report), _labels(report), _saved(report), _next(report))


def _fact(key: str, name: str, estimate: Estimate, unit: Unit, *, about: str = "", sign: str = "") -> Fact:
    value = format_estimate(estimate, unit)
    told = estimate.value is not None
    interval = f"95 %: {format_interval(estimate, unit)}" if told else missing_words(estimate)
    return Fact(key, name, sign + value if told else value, interval, about)


def _model(report: QaReport) -> Answer:
    edits, boxes = report.result.work.edits, report.result.boxes
    counts = edits.all.counts
    facts = (
        _fact("box_ap", "Box AP", boxes.ap, "score"),
        _fact("pq", "Panoptic quality", report.result.panoptic.pq, "score"),
        _fact("miou", "mIoU", report.result.segmentation.miou, "score"),
    )
    verdict = "No image has been reviewed yet: the figures fill as people submit tasks."
    if edits.n_reviews:
        kept = f"{counts.kept:,} of {format_count(counts.n_predicted, 'region')} were left as drawn"
        changes = [(int(getattr(counts, kind)), kind) for kind in EDIT_KINDS if kind != "kept"]
        n, kind = max(changes, key=lambda change: change[0])
        missed = f"{counts.added:,} were missed" if counts.added else "none was missed"
        verdict = f"{kept}; {missed}." + (f" The most frequent change is “{kind}” ({n:,})." if n else "")
    main = _fact("acceptance_rate", "Left as the model drew it", edits.all.acceptance_rate, "share")
    weeks = [(w.week, w.acceptance_rate, w.changed) for w in report.result.work.drift.weeks]
    trend = _trend("Acceptance by week", weeks, "share")
    return Answer("model-answer", "How good is the model?", main, verdict, "model", facts, trend)


def _labels(report: QaReport) -> Answer:
    result = report.result
    gold, agreement, suspects, decoys = result.gold.all, result.agreement.all, result.suspects, result.decoys
    clean = wilson(max(0, suspects.n_images - suspects.n_suspect_images), suspects.n_images)
    candidates = (
        _fact("gold_f1", "F1 against known truth", gold.f1, "score"),
        _fact("agreement_f1", "F1 between people", agreement.pairs.f1, "score"),
        _fact("unsuspected", "Images without a suspect label", clean, "share"),
    )
    told = [n for n, e in enumerate((gold.f1, agreement.pairs.f1, clean)) if e.value is not None]
    chosen = told[0] if told else 2
    facts = [fact for n, fact in enumerate(candidates) if n != chosen]
    facts.append(_fact("waved_through", "Planted mistakes passed", decoys.all.waved_through, "share"))
    verdict = "Nothing to judge yet."
    if suspects.n_images:
        found = format_count(suspects.n_suspects, "label")
        verdict = f"{found} on {format_count(suspects.n_suspect_images, 'image')} ask for a second look."
    weeks = [(w.week, w.share, w.changed) for w in suspects.weeks]
    trend = _trend("Suspect labels by week", weeks, "share")
    question = "How good are the labels?"
    return Answer("labels-answer", question, candidates[chosen], verdict, "suspects", tuple(facts), trend)


def _saved(report: QaReport) -> Answer:
    effort, times = report.result.work.effort, report.result.work.times
    saving = effort.saving
    ways = {
        "blind": f"Measured against {format_count(saving.n_blind, 'image')} labeled without help.",
        "costs": "By a cost model: seconds per region from the settings, not measured here.",
        None: "Too few timed reviews to tell.",
    }
    facts = (
        _fact("hours", "Hours", saving.hours, "number", about=f"{saving.hours_spent:,.1f} spent with help"),
        _fact("money", "Money", saving.money, "number", sign=report.currency),
        _fact("seconds", "Seconds per review", times.helped.mean_s, "seconds"),
    )
    main = _fact("saved", "Of the time by hand saved", saving.share, "share")
    weeks = [(week, of.mean_s, False) for week, of in sorted(times.per_week.items()) if "W" in week]
    trend = _trend("Seconds per review by week", weeks, "seconds")
    question = "What did the pre-annotations save?"
    return Answer("saved-answer", question, main, ways[effort.method], "people", facts, trend)


def _next(report: QaReport) -> Answer:
    edits = report.result.work.edits
    steps = next_steps(report)
    main = _fact("edits_per_image", "Changes per image", edits.all.edits_per_image, "number")
    weeks = [
        (week, rate.edits_per_image, False) for week, rate in sorted(edits.per_week.items()) if "W" in week
    ]
    trend = _trend("Changes per image by week", weeks, "number")
    verdict = "" if steps else "Nothing stands out of what chance would make."
    return Answer("next-answer", "What should change next?", main, verdict, "next", (), trend, steps)


def _trend(title: str, weeks: list[tuple[str, Estimate, bool]], unit: Unit) -> Chart | None:
    """The course by week; None for less than two weeks with a figure."""
    points = [Point(week_label(week), estimate, changed) for week, estimate, changed in weeks]
    if sum(point.estimate.value is not None for point in points) < 2:
        return None
    rows = (Row((Cell(p.label), estimate_cell(p.estimate, unit), count_cell(p.estimate.n))) for p in points)
    behind = table(title, [Column("Week of", "name"), "Value", "Images"], rows)
    return Chart(title, sparkline(points, unit=unit, alt=title), table=behind)
