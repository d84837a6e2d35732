"""The commands of the loop: preannotate, collect, qa. Each is a flow run where a Prefect server runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detseg.cli import options
from detseg.plurals import format_count

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.pipeline.preannotate import PreannotateReport
    from detseg.pipeline.promoting import Applied
    from flows.parameters import Overrides


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
    from detseg.pipeline.outcome import describe_preannotate, preannotate_notes, preannotate_shortfall
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
        output.print_lines(describe_preannotate(report, would=dry_run))
    output.print_lines(preannotate_notes(report, settings.source.location))
    if preannotate_shortfall(report, settings.run) is not None:
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

            check_label_studio(settings.server)  # before Prefect is loaded
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
    from detseg.cli.output import EXIT_QUARANTINED, note, print_json, print_lines
    from detseg.cli.recorded import TOKEN_BLOCK, is_recorded
    from detseg.config import load_settings
    from detseg.pipeline.outcome import collect_shortfall, describe_collect

    settings = load_settings(config, queue__project=project)
    with progress_bars():
        if is_recorded(settings, TOKEN_BLOCK):
            from detseg.pipeline.workspace import check_label_studio

            check_label_studio(settings.server)
            from flows.collect import collect as flow
            from flows.recording import run_recorded

            report = run_recorded(note, settings.state_path, flow, config, {"queue__project": project}, full)
        else:
            from detseg.pipeline.collect import collect as run

            report = run(settings, full=full)
    if as_json:
        print_json(report.to_json())
    else:
        print_lines(describe_collect(report))
    if collect_shortfall(report) is not None:
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
        typer.Option(
            "--apply", help="Raise the promoted model's thresholds to those that save seconds for certain."
        ),
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
    from detseg.pipeline.outcome import evaluate_shortfall

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
    if (problem := evaluate_shortfall(report)) is not None:
        note(problem)
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
