"""The flow of ``detseg collect``: what people did in Label Studio since the last time, into the catalog."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from detseg.config import Settings
from detseg.pipeline import collect as collecting
from detseg.pipeline.collect import CollectReport
from detseg.pipeline.outcome import collect_shortfall, describe_collect
from flows.artifacts import publish
from flows.outcome import ending, fall_short, log_lines, run_name
from flows.parameters import Overrides, run_settings
from flows.retries import RETRY_IO
from flows.token_block import with_secrets


@task(cache_policy=NO_CACHE, **RETRY_IO)
def collect_reviews(settings: Settings, *, full: bool = False) -> CollectReport:
    """Brings the catalog's reviews up to the server's; a page of tasks is one transaction."""
    return collecting.collect(settings, full=full)


@flow(name="collect", flow_run_name=run_name(lambda given: f"collect reviews of {given.queue.project}"))
def collect(
    config: Path | None = None, overrides: Overrides | None = None, full: bool = False
) -> CollectReport:
    """Brings what people did in Label Studio since the last time into the catalog.

    ``config`` is the settings file (detseg.toml in the working directory if there is one), ``overrides``
    are settings over it. Doing it again changes nothing; ``full`` reads every task again.
    """
    return ending(partial(_collect, config, overrides, full=full))


def _collect(config: Path | None, overrides: Overrides | None, *, full: bool) -> CollectReport:
    report = collect_reviews(with_secrets(run_settings(config, overrides)), full=full)
    publish("collect", report.to_json(), link=report.url, link_text="The tasks in Label Studio")
    log_lines(describe_collect(report))
    fall_short(collect_shortfall(report))
    return report
