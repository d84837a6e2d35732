"""The lines that a run ends with, the same on the terminal and in the log of a flow run.

What one kind of run alone needs is imported where its lines are made: `detseg collect` loads no metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detseg.plurals import format_count

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.config.sections import RunSettings
    from detseg.metrics.qa_result import QaResult
    from detseg.models.agreement import Agreement
    from detseg.pipeline.collect import CollectReport
    from detseg.pipeline.evaluate import EvaluateReport
    from detseg.pipeline.preannotate import PreannotateReport
    from detseg.pipeline.promoting import Promoted
    from detseg.pipeline.pushing.report import Status
    from detseg.pipeline.retrain import RetrainReport

_MORE: Mapping[Status, str] = {
    "added": "given a second prediction",
    "replaced": "given another prediction in place of the first",
    "reviewed": "left with their reviews (queue.predict_reviewed)",
    "deleted": "left deleted in Label Studio (--restore makes them again)",
    "held": "left to somebody else, who has them in the project",
    "unpredicted": "left out without a prediction",
    "duplicate": "kept waiting, for near duplicates of them are in the queue",
}
"""Words for what else may become of an image, after "would be"."""

_ALIKE = 3
"""As many images of one reason have a line each."""

_MOST_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Line:
    """A line for people; a warning is one that asks for a look, and goes to stderr."""

    text: str
    is_warning: bool = False


def describe_preannotate(report: PreannotateReport, *, would: bool = False) -> Iterator[Line]:
    """The run in a few lines; ``would`` is for a dry run."""
    verb = "would be " if would else ""
    yield Line(
        f"{format_count(report.scanned, 'file')}: {format_count(report.new, 'new image')}, "
        f"{verb}predicted {report.predicted}, {verb}pushed {report.pushed}, "
        f"already done {report.already_done}",
    )
    if report.unreviewed:
        left_out = format_count(report.unreviewed, "image")
        yield Line(f"{left_out} left out: no review, whose boxes are the detector")
    if report.imported:
        yield Line(f"{format_count(report.imported, 'image')} left out: labeled by `detseg import`")
    if report.gold_waiting:
        gold = format_count(report.gold_waiting, "gold image")
        yield Line(f"{gold} kept back, to go along with other new ones")
    queue = report.queue
    more = [
        f"{verb}{words} {queue.counts[status]}" for status, words in _MORE.items() if queue.counts.get(status)
    ]
    if report.unneeded:
        more.append(f"{verb}left as they are {report.unneeded}")
    if more:
        yield Line(f"of the tasks: {', '.join(more)}")
    arms = [format_count(n, f"{arm} image") for arm, n in queue.arms.items() if n and arm != "assisted"]
    if arms:
        yield Line(f"of all tasks of the project: {', '.join(arms)}")
    if report.quarantined:
        yield Line(f"could not be used, and in quarantine: {len(report.quarantined)}")
        yield from describe_failures((one.uri, one.reason) for one in report.quarantined)
    if queue.incomplete:
        yield Line(f"pushed without some of their regions: {len(queue.incomplete)}")
        yield from describe_failures((one.uri, _first_parts(one.reason)) for one in queue.incomplete)
    yield from (Line(warning, is_warning=True) for warning in queue.warnings)
    yield Line(f"model {report.model_version}")
    if report.url:
        yield Line(f"queue {report.url}")


def preannotate_notes(report: PreannotateReport, location: str) -> Iterator[Line]:
    """Yield the lines on what may need a change of the settings; said with ``--json``, too."""
    yield from describe_models(report.unmapped, report.precision_check)
    if not report.scanned:
        # it could be listed: it is empty, or not mounted
        yield Line(f"no images in {location}: is that the right place?", is_warning=True)


def describe_collect(report: CollectReport) -> Iterator[Line]:
    """The run in a few lines."""
    yield Line(f"reviews: {report.new} new, {report.updated} updated, {report.deleted} deleted")
    states = ", ".join(f"{n} {state}" for state, n in report.states.items())
    yield Line(f"images: {states}")
    if report.n_external:
        tasks = format_count(report.n_external, "task")
        verb = "was" if report.n_external == 1 else "were"
        yield Line(f"{tasks} of those that were read {verb} made by somebody else and left alone")
    if report.n_answers:
        answers = format_count(report.n_answers, "answer", "stays", "stay")
        yield Line(
            f"{answers} in Label Studio: no boxes or masks of the image (choices, texts, key points, ...)"
        )
    if report.missing_labels:
        lacking = ", ".join(report.missing_labels)
        yield Line(f"the labeling interface lacks {lacking}: nobody can choose them there", is_warning=True)
    yield from (Line(warning, is_warning=True) for warning in report.warnings)
    if report.failures:
        yield Line("not everything could be read; the reviews that it stands in are not measured:")
        yield from describe_failures(dict.fromkeys((one.uri, one.reason) for one in report.failures))


def describe_retrain(report: RetrainReport, settings: Settings) -> Iterator[Line]:
    """The round in a few lines, or why there was none."""
    if report.round is None or report.trained is None or report.promoted is None:
        yield Line(f"{'due' if report.due.is_due else 'not due'}: {report.due.reason}")
        return
    done = report.trained
    images = ", ".join(f"{n:,} {side}" for side, n in done.n_images.items())
    yield Line(f"dataset version {done.dataset}: {images}")
    taken = f"{format_count(done.steps, 'step')} in {done.seconds / 60:.1f} minutes"
    yield Line(f"{done.checkpoint}: {taken} from {done.base}")
    yield from describe_promoted(report.promoted, settings)


def describe_promoted(done: Promoted, settings: Settings) -> Iterator[Line]:
    """The outcome of a promotion, and what follows of it."""
    from detseg.pipeline.choosing import describe_committee, describe_thresholds, find_given

    name = done.model.name
    if not done.is_present:
        better = (done.judgement or {}).get("better")
        said = "is not known to be better" if better is None else "is not better"
        yield Line(f"{name} {said} than the present model, and was not promoted:")
        yield from (Line(f"  {reason}") for reason in done.reasons)
        yield Line(f"`detseg models promote {name} --force` promotes it all the same")
        return
    if done.promotion and not done.is_new:
        yield Line(f"{name} is the promoted model already, since {done.promotion.at:%Y-%m-%d %H:%M} UTC")
        return
    place = "in the place of" if settings.queue.predictions == "replace" else "beside"
    yield Line(f"`detseg preannotate` predicts with {name} from now on")
    yield Line(f"its regions go {place} those of tasks that wait (queue.predictions), with its next run")
    lowest = describe_thresholds(done.promotion) if done.promotion else ""
    if lowest:
        yield Line(f"its lowest scores, chosen by val, go over those of detseg.toml: {lowest}")
    yield Line("`detseg models rollback` takes that back")
    if line := describe_committee(settings.model):
        yield Line(line, is_warning=True)
    if given := find_given(settings, done.model):
        yield Line(f"DETSEG_{given.upper()} is set, and goes over it where it is set", is_warning=True)


def describe_basis(result: QaResult) -> Iterator[Line]:
    """Yield the lines on what the figures of a measurement rest on, and what they leave out."""
    from detseg.pipeline.qa.answers import basis_of, notes_on

    yield Line(basis_of(result))
    yield from (Line(sentence, is_warning=True) for sentence in notes_on(result))


def describe_failures(failures: Iterable[tuple[str, str]]) -> Iterator[Line]:
    """The images that could not be used, with one line for a reason that many share."""
    uris: dict[str, list[str]] = {}
    for uri, reason in failures:
        uris.setdefault(reason, []).append(uri)
    lines: list[tuple[str, int]] = []
    for reason, of_reason in uris.items():
        if len(of_reason) > _ALIKE:
            more = f"{len(of_reason) - 1:,} more are alike"
            lines.append((f"{of_reason[0]} {reason} ({more})", len(of_reason)))
        else:
            lines += [(f"{uri} {reason}", 1) for uri in of_reason]
    for line, _ in lines[:_MOST_FAILURES]:
        yield Line(f"  {line}", is_warning=True)
    if len(lines) > _MOST_FAILURES:
        n_more = sum(n for _, n in lines[_MOST_FAILURES:])
        yield Line(f"  ... and {n_more} more (--json lists all)", is_warning=True)


def describe_models(unmapped: Mapping[str, int], check: Agreement | None) -> Iterator[Line]:
    """Labels of the models that were left out, and what a precision changed."""
    from detseg.pipeline.precision import describe_check

    if check is not None:
        yield Line(describe_check(check), is_warning=True)
    if unmapped:
        counted = ", ".join(f"{label} {n}" for label, n in sorted(unmapped.items()))
        yield Line(
            f"left out, because no class takes them: {counted} (add them to [[classes]], or as aliases)",
            is_warning=True,
        )


def preannotate_shortfall(report: PreannotateReport, run: RunSettings) -> str | None:
    """Return why a command ends with exit code 3 and a scheduled run fails, although it did what it could."""
    if report.quarantined_share <= run.max_quarantined_share:
        return None
    return (
        f"{len(report.quarantined):,} of {format_count(report.scanned, 'file')} could not be used, more than "
        f"run.max_quarantined_share allows ({run.max_quarantined_share:g}): "
        "`detseg status --quarantine` names them"
    )


def collect_shortfall(report: CollectReport) -> str | None:
    """Return why a command ends with exit code 3 and a scheduled run fails, although it did what it could."""
    if not report.failures:
        return None
    first = report.failures[0]
    return f"{len(report.failures):,} parts of reviews cannot be read, the first: {first.uri} {first.reason}"


def evaluate_shortfall(report: EvaluateReport) -> str | None:
    """Return why a command ends with exit code 1 and a scheduled run fails, although it wrote its report."""
    return report.sent_back.problem if report.sent_back else None


def _first_parts(reason: str) -> str:
    """The first two of the parts of a reason, one a region, and how many more there are.

    >>> _first_parts("region a: no mask; region b: no mask; region c: no mask; region d: no mask")
    'region a: no mask; region b: no mask; and 2 more'
    """
    parts: Sequence[str] = reason.split("; ")
    return "; ".join(parts if len(parts) <= 3 else (*parts[:2], f"and {len(parts) - 2} more"))
