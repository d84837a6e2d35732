"""The flow of a night: collect what people did, measure it, predict and queue what is new."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from prefect import flow

from detseg.pipeline.outcome import collect_shortfall, preannotate_shortfall
from detseg.pipeline.preannotate import PreannotateReport
from detseg.pipeline.workspace import has_queue
from flows.collect import collect
from flows.evaluate import evaluate
from flows.outcome import ending, fall_short, run_name
from flows.parameters import Overrides, run_settings
from flows.preannotate import preannotate


@flow(name="nightly", flow_run_name=run_name(lambda given: f"nightly for {given.queue.project}"))
def nightly(config: Path | None = None, overrides: Overrides | None = None) -> PreannotateReport:
    """Collects, measures and fills the queue, one after the other.

    ``config`` is the settings file (detseg.toml in the working directory if there is one), ``overrides``
    are settings over it. Each part is a flow run of its own below this one. What fails stops what comes after
    it, and the next run does all that is left; images and reviews that cannot be used stop nothing, and fail
    the run at its end. The first night fills the queue alone: nobody can have worked on it yet.
    """
    return ending(partial(_nightly, config, overrides))


def _nightly(config: Path | None, overrides: Overrides | None) -> PreannotateReport:
    settings, collected = run_settings(config, overrides), None
    if has_queue(settings):
        collected = collect(config, overrides)
        evaluate(config, overrides)
    report = preannotate(config, overrides)
    fall_short(
        None if collected is None else collect_shortfall(collected),
        preannotate_shortfall(report, settings.run),
    )
    return report
