"""The commands of the loop: preannotate, collect, qa. Each is a flow run where a Prefect server runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detseg.cli import options
from detseg.plurals import format_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detseg.config import Settings
    from detseg.pipeline.collect import CollectReport
    from detseg.pipeline.preannotate import PreannotateReport
    from detseg.pipeline.promoting import Applied
    from detseg.pipeline.pushing.report import Status
    from flows.parameters import Overrides


_MORE: Mapping[Status, str] = {
    "added": "given a second prediction",
    "replaced": "given another prediction in place of the first",
    "deleted": "left deleted in Label Studio (--restore makes them again)",
    "held": "left to somebody else, who has them in the project",
    "unpredicted": "left out without a prediction",
    "duplicate": "kept waiting, for near duplicates of them are in the queue",
}
"""Words for what else may become of an image, after "would be"."""


def preannotate(
    *,
    config: options.ConfigOption = None,
    source: options.SourceOption = None,
    detector: options.DetectorOption = None,
    segmenter: options.SegmenterOption = None,
    device: options.DeviceOption = None,
    engine: options.EngineOption = None,
    precision: options.PrecisionOption = None,
    batch_size: options.BatchOption = None,
    task_runner: options.TaskRunnerOption = None,
    box_threshold: options.BoxThresholdOption = None,
    mask_threshold: options.MaskThresholdOption = None,
    project: options.ProjectOption = None,
    predictions: options.PredictionsOption = None,
    restore: options.RestoreOption = False,
    dry_run: options.DryRunOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Fills the Label Studio queue with predictions.

    Finds the images that nobody has labeled yet, predicts them and pushes each of them once. Run it as often
    as you like: what is done is not done again.
    """
    from detseg.cli import output
    from flows.parameters import run_settings

    flags: Overrides = {
        "source__location": source,
        "model__detector": detector,
        "model__segmenter": segmenter,
        "model__box_threshold": box_threshold,
        "model__mask_threshold": mask_threshold,
        "engine__device": device,
        "engine__mode": engine,
        "engine__precision": precision,
        "engine__batch_size": batch_size,
        "run__task_runner": task_runner,
        "queue__project": project,
        "queue__predictions": predictions,
        "queue__restore": restore or None,
    }
    settings = run_settings(config, flags)
    report = _plan(settings) if dry_run else _run(config, flags, settings)
    if as_json:
        output.print_json(report.to_json())
    else:
        print_preannotated(report, would=dry_run)
    output.note_models(report.unmapped, report.precision_check)
    if not report.scanned:
        output.note(f"no images in {settings.source.location}: is that the right place?")
    if report.quarantined_share > settings.run.max_quarantined_share:
        raise typer.Exit(output.EXIT_QUARANTINED)


def _plan(settings: Settings) -> PreannotateReport:
    from detseg.cli.bars import progress_bars
    from detseg.cli.output import note
    from detseg.pipeline.preannotate import plan

    with progress_bars():
        return plan(options.with_token(settings), note=note)


def _run(config: Path | None, flags: Overrides, settings: Settings) -> PreannotateReport:
    from detseg.cli.bars import progress_bars
    from detseg.cli.output import note
    from detseg.cli.recorded import BY_PREFECT, is_recorded

    with progress_bars():
        if is_recorded(settings, *BY_PREFECT):
            from detseg.pipeline.choosing import choose_models
            from detseg.pipeline.workspace import check_label_studio

            check_label_studio(settings)  # before Prefect is loaded
            for line in choose_models(settings).notes:  # the flow's own lines go to Prefect
                note(line)
            from flows.preannotate import preannotate as flow
            from flows.recording import run_recorded

            return run_recorded(note, settings.state_path, flow, config, flags)
        from detseg.pipeline.preannotate import preannotate

        return preannotate(settings, note=note)


def collect(
    config: options.ConfigOption = None,
    project: options.ProjectOption = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read every task again, not only what changed.")
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Brings what people did into the catalog.

    Asks Label Studio for what changed since the last time.
    """
    from detseg.cli.bars import progress_bars
    from detseg.cli.output import EXIT_QUARANTINED, note, print_json
    from detseg.cli.recorded import TOKEN_BLOCK, is_recorded
    from detseg.config import load_settings

    settings = load_settings(config, queue__project=project)
    with progress_bars():
        if is_recorded(settings, TOKEN_BLOCK):
            from detseg.pipeline.workspace import check_label_studio

            check_label_studio(settings)
            from flows.collect import collect as flow
            from flows.recording import run_recorded

            report = run_recorded(note, settings.state_path, flow, config, {"queue__project": project}, full)
        else:
            from detseg.pipeline.collect import collect as run

            report = run(settings, full=full)
    if as_json:
        print_json(report.to_json())
    else:
        print_collected(report)
    if report.failures:
        raise typer.Exit(EXIT_QUARANTINED)


def qa(
    *,
    config: options.ConfigOption = None,
    project: options.ProjectOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where the HTML report goes.")] = None,
    send_back: Annotated[
        int | None,
        typer.Option(
            "--send-back",
            metavar="N",
            min=0,
            help="Put the N images with the worst suspects into a tab of Label Studio; 0 takes it away.",
        ),
    ] = None,
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Give the promoted model the thresholds that save seconds for certain."),
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Measures what was collected, and writes the report.

    How good the model is, how good the labels are, what was saved, what to change. Needs no server.
    """
    from detseg.cli.answers import print_evaluated
    from detseg.cli.bars import progress_bars
    from detseg.cli.output import answer_refusals, note, print_json
    from detseg.cli.recorded import TOKEN_BLOCK, is_recorded
    from detseg.config import load_settings

    path = None if out is None else out.absolute()
    with answer_refusals(as_json and apply, applied=None):
        settings = load_settings(config, queue__project=project)
        with progress_bars():
            if is_recorded(settings, *([] if send_back is None else [TOKEN_BLOCK])):
                from flows.evaluate import evaluate as flow
                from flows.recording import run_recorded

                state = settings.state_path
                report = run_recorded(
                    note, state, flow, config, {"queue__project": project}, path, send_back, apply=apply
                )
            else:
                from detseg.pipeline.evaluate import qa as run

                report = run(settings, out=path, n_sent_back=send_back, apply=apply)
    if as_json:
        print_json(report.to_json())
    else:
        print_evaluated(report)
        if report.applied:
            _print_applied(report.applied, "box" if settings.model.detector else "mask")
    if report.sent_back and report.sent_back.problem:
        note(report.sent_back.problem)
        raise typer.Exit(1)


def _print_applied(applied: Applied, shape: str) -> None:
    """Say which thresholds the promoted model has now, or which of that shape to write into the settings."""
    from detseg.cli.output import say

    listed = ", ".join(f"{label} {value:g}" for label, value in applied.thresholds.items())
    by = f"by {format_count(applied.n_reviews, 'review')}"
    if applied.model is not None:
        by += f" of its regions, {applied.n_set_aside:,} of other models set aside"
    if not applied.thresholds:
        of = f" of {applied.model}" if applied.model else ""
        say(f"no other threshold{of} saves seconds for certain ({by}): nothing was changed")
    elif applied.model is None:
        table = ", ".join(
            f"{json.dumps(label, ensure_ascii=False)} = {value:g}"
            for label, value in applied.thresholds.items()
        )
        say(f"no model is promoted ({by}):")
        say(f"write class_{shape}_thresholds = {{{table}}} into [model] of detseg.toml")
    elif applied.promotion is None:
        say(f"lowest scores of {applied.model} stay as they are: {listed} ({by})")
    else:
        say(f"lowest scores of {applied.model} from now on: {listed} ({by})")
        say("`detseg preannotate` shows no region below them; `detseg models rollback` takes them back")


def print_preannotated(report: PreannotateReport, *, would: bool = False) -> None:
    """The run in a few lines."""
    from detseg.cli.output import note, print_failures, say

    verb = "would be " if would else ""
    say(
        f"{format_count(report.scanned, 'file')}: {format_count(report.new, 'new image')}, "
        f"{verb}predicted {report.predicted}, {verb}pushed {report.pushed}, "
        f"already done {report.already_done}",
    )
    if report.unreviewed:
        say(f"{format_count(report.unreviewed, 'image')} left out: no review, whose boxes are the detector")
    if report.imported:
        say(f"{format_count(report.imported, 'image')} left out: labeled by `detseg import`")
    if report.gold_waiting:
        say(f"{format_count(report.gold_waiting, 'gold image')} kept back, to go along with other new ones")
    queue = report.queue
    more = [
        f"{verb}{words} {queue.counts[status]}" for status, words in _MORE.items() if queue.counts.get(status)
    ]
    if more:
        say(f"of the tasks: {', '.join(more)}")
    arms = [format_count(n, f"{arm} image") for arm, n in queue.arms.items() if n and arm != "assisted"]
    if arms:
        say(f"of all tasks of the project: {', '.join(arms)}")
    if report.quarantined:
        say(f"could not be used, and in quarantine: {len(report.quarantined)}")
        print_failures([(one.uri, one.reason) for one in report.quarantined])
    if queue.incomplete:
        say(f"pushed without some of their regions: {len(queue.incomplete)}")
        print_failures([(one.uri, _first_parts(one.reason)) for one in queue.incomplete])
    for warning in queue.warnings:
        note(warning)
    say(f"model {report.model_version}")
    if report.url:
        say(f"queue {report.url}")


def _first_parts(reason: str) -> str:
    """The first two of the parts of a reason, one a region, and how many more there are.

    >>> _first_parts("region a: no mask; region b: no mask; region c: no mask; region d: no mask")
    'region a: no mask; region b: no mask; and 2 more'
    """
    parts = reason.split("; ")
    return "; ".join(parts if len(parts) <= 3 else (*parts[:2], f"and {len(parts) - 2} more"))


def print_collected(report: CollectReport) -> None:
    """The run in a few lines."""
    from detseg.cli.output import note, print_failures, say

    say(f"reviews: {report.new} new, {report.updated} updated, {report.deleted} deleted")
    states = ", ".join(f"{n} {state}" for state, n in report.states.items())
    say(f"images: {states}")
    if report.n_external:
        tasks = format_count(report.n_external, "task")
        verb = "was" if report.n_external == 1 else "were"
        say(f"{tasks} that somebody else put into the project {verb} left alone")
    if report.n_answers:
        answers = format_count(report.n_answers, "answer", "stays", "stay")
        say(f"{answers} in Label Studio: no boxes or masks of the image (choices, texts, key points, ...)")
    if report.missing_labels:
        note(f"the labeling interface lacks {', '.join(report.missing_labels)}: nobody can choose them there")
    for warning in report.warnings:
        note(warning)
    if report.failures:
        say("not everything could be read; the reviews that it stands in are not measured:")
        print_failures([*dict.fromkeys((one.uri, one.reason) for one in report.failures)])
