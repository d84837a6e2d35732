"""The first screen: four questions, each with a figure, its interval, its course and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detseg.metrics.answers import Answer as Figures
from detseg.metrics.answers import Figure, Unit, answer_questions
from detseg.metrics.intervals import Estimate
from detseg.metrics.shown import show
from detseg.metrics.suspects.findings import Suspects
from detseg.metrics.suspects.rules import RULES
from detseg.plurals import format_count
from detseg.report.cells import count_cell, estimate_cell, table
from detseg.report.charts import Point, sparkline
from detseg.report.steps import next_steps, say_no_steps
from detseg.report.tabs.quality import control_waiting
from detseg.report.views import Answer, Cell, Chart, Column, Fact, Row
from detseg.report.wording import tell_figure, week_label
from detseg.types import EDIT_KINDS

if TYPE_CHECKING:
    from detseg.report.data import QaReport

_UNSEEN = "Nobody has labeled an image without seeing the model’s regions"


def answers(report: QaReport) -> tuple[Answer, ...]:
    """The four answers, in the order in which people ask."""
    model, labels, saved, change = answer_questions(report.result)
    return (_model(report, model), _labels(report, labels), _saved(report, saved), _next(report, change))


def _fact(figure: Figure, *, about: str = "", sign: str = "") -> Fact:
    told = tell_figure(figure, sign=sign)
    words = f"95 %: {told.behind}" if told.interval else told.behind
    return Fact(figure.key, figure.name, told.value, words, about, quiet=told.level != "firm")


def _model(report: QaReport, figures: Figures) -> Answer:
    edits = report.result.work.edits
    counts = edits.all.counts
    verdict = "No image has been reviewed yet: the figures fill as people submit tasks."
    if n_control := report.result.model.control.n_images:
        verdict = f"No image but {format_count(n_control, 'control image')} has been reviewed yet."
    if edits.n_reviews:
        kept = f"{counts.kept:,} of {format_count(counts.n_predicted, 'region')} were left as drawn"
        changes = [(int(getattr(counts, kind)), kind) for kind in EDIT_KINDS if kind != "kept"]
        n, kind = max(changes, key=lambda change: change[0])
        verb = "were" if counts.added > 1 else "was"
        missed = f"{counts.added:,} {verb} missed" if counts.added else "none was missed"
        verdict = f"{kept}; {missed}." + (f" The most frequent change is “{kind}” ({n:,})." if n else "")
        if report.result.model.headline is None:
            how = control_waiting(report) or "experiments.control_share makes such control images"
            verdict += f" {_UNSEEN}: {how}."
    weeks = [(w.week, w.acceptance_rate, w.changed) for w in report.result.work.drift.weeks]
    trend = _trend("Acceptance by week", weeks, "share")
    facts = tuple(map(_fact, figures.told[1:]))
    return Answer(
        "model-answer", "How good is the model?", _fact(figures.main), verdict, "model", facts, trend
    )


def _labels(report: QaReport, figures: Figures) -> Answer:
    suspects = report.result.suspects
    verdict = "Nothing to judge yet."
    if suspects.n_images:
        found = format_count(suspects.n_suspects, "label")
        verdict = f"{found} on {format_count(suspects.n_suspect_images, 'image')} ask for a second look"
        verdict += f": {kinds}." if (kinds := _most_frequent(suspects)) else "."
    weeks = [(w.week, w.share, w.changed) for w in suspects.weeks]
    trend = _trend("Suspect labels by week", weeks, "share")
    question, facts = "How good are the labels?", tuple(map(_fact, figures.told[1:]))
    return Answer("labels-answer", question, _fact(figures.main), verdict, "suspects", facts, trend)


def _most_frequent(suspects: Suspects) -> str:
    """The three kinds of suspects that are most frequent, with their numbers."""
    found = [
        (suspects.per_rule[rule.name].n_suspects, rule.words)
        for rule in RULES
        if rule.name in suspects.per_rule
    ]
    most = sorted(found, key=lambda one: -one[0])[:3]
    return ", ".join(f"{words} ({n:,})" for n, words in most if n)


def _saved(report: QaReport, figures: Figures) -> Answer:
    effort, times = report.result.work.effort, report.result.work.times
    saving = effort.saving
    missing = (
        control_waiting(report) or "experiments.control_share is the share of new images labeled by hand"
    )
    ways = {
        "control": f"Measured against {format_count(saving.n_control, 'control image')}.",
        None: f"Not measured: {missing}." if effort.expected.n_images else "Too few timed reviews to tell.",
    }
    if saving.n_control and effort.method is None:
        control = format_count(saving.n_control, "control image")
        how = "Measured against" if figures.main.estimate.rough else "Not measured:"
        ways[None] = f"{how} no more than {control} so far."
    about = {"hours": f"{saving.hours_spent:,.1f} assisted"}
    signs = {"money": report.currency}
    facts = tuple(
        _fact(one, about=about.get(one.key, ""), sign=signs.get(one.key, "")) for one in figures.told[1:]
    )
    weeks = [(week, of.mean_s, False) for week, of in sorted(times.per_week.items()) if "W" in week]
    trend = _trend("Seconds per review by week", weeks, "seconds")
    question, way = "What did the pre-annotations save?", ways[effort.method]
    return Answer("saved-answer", question, _fact(figures.main), way, "people", facts, trend)


def _next(report: QaReport, figures: Figures) -> Answer:
    edits = report.result.work.edits
    steps = next_steps(report.result)
    weeks = [
        (week, rate.edits_per_image, False) for week, rate in sorted(edits.per_week.items()) if "W" in week
    ]
    trend = _trend("Changes per image by week", weeks, "number")
    verdict = "" if steps else say_no_steps(report.result)
    question = "What should change next?"
    return Answer("next-answer", question, _fact(figures.main), verdict, "next", (), trend, steps)


def _trend(title: str, weeks: list[tuple[str, Estimate, bool]], unit: Unit) -> Chart | None:
    """The course by week; None for less than two weeks with a figure, however rough."""
    points = [Point(week_label(week), estimate, changed) for week, estimate, changed in weeks]
    if sum(show(point.estimate).value is not None for point in points) < 2:
        return None
    rows = (Row((Cell(p.label), estimate_cell(p.estimate, unit), count_cell(p.estimate.n))) for p in points)
    behind = table(title, [Column("Week of", "name"), "Value", "Images"], rows)
    return Chart(title, sparkline(points, unit=unit, alt=title), table=behind)
