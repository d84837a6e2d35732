"""``detseg retrain``: the next model from what people have labeled since, promoted if it is better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detseg.cli import options

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.pipeline.retrain import RetrainReport
    from flows.parameters import Overrides


def retrain(
    *,
    now: Annotated[bool, typer.Option("--now", help="Also where no round is due.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Give up the round that has not ended, and begin another.")
    ] = False,
    base: Annotated[
        str | None, typer.Option(help="Where it begins, in place of the promoted model (retrain.base).")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Longest training (retrain.minutes).")
    ] = None,
    project: options.ProjectOption = None,
    device: options.DeviceOption = None,
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Also labels of the demo's reviewer, a program.")
    ] = False,
    dry_run: options.DryRunOption = False,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Trains the next model when due, and promotes a better one.

    Due with so many newly reviewed images, or so many weeks after the last round (`[retrain]`). A round makes
    a dataset version, trains, judges beside the present model. The same command goes on with what was killed.
    """
    from detseg.cli.output import answer_refusals, print_json, print_lines, say
    from detseg.pipeline.outcome import describe_retrain
    from flows.parameters import run_settings

    flags: Overrides = {
        "retrain__base": base,
        "retrain__minutes": minutes,
        "retrain__simulated": allow_simulated or None,
        "queue__project": project,
        "engine__device": device,
    }
    with answer_refusals(as_json, promoted=None):
        settings = run_settings(config, flags)
        report = (
            _look(settings, restart=restart)
            if dry_run
            else _run(config, flags, settings, by_hand=now, restart=restart)
        )
    if as_json:
        print_json(report.to_json())
    else:
        print_lines(describe_retrain(report, settings))
        if not (report.due.is_due or report.round or dry_run):
            say("`detseg retrain --now` begins a round all the same")


def _look(settings: Settings, *, restart: bool) -> RetrainReport:
    from detseg.pipeline.retrain import RetrainReport, look_for_due
    from detseg.pipeline.workspace import opened_catalog

    with opened_catalog(settings) as catalog:
        return RetrainReport(look_for_due(settings, catalog, restart=restart))


def _run(
    config: Path | None, flags: Overrides, settings: Settings, *, by_hand: bool, restart: bool
) -> RetrainReport:
    from detseg.cli.bars import progress_bars
    from detseg.cli.output import note
    from detseg.cli.recorded import is_recorded

    with progress_bars():
        if is_recorded(settings):
            from flows.recording import run_recorded
            from flows.retrain import retrain as flow

            return run_recorded(
                note, settings.state_path, flow, config, flags, by_hand=by_hand, restart=restart
            )
        from detseg.pipeline.retrain import retrain as run

        return run(settings, by_hand=by_hand, restart=restart, note=note)
