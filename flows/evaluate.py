"""The flow of ``detseg qa``: what was predicted against what was collected, as figures and as a report."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from detseg.config import Settings
from detseg.pipeline import evaluate as evaluating
from detseg.pipeline import send_back as sending_back
from detseg.pipeline.evaluate import EvaluateReport
from detseg.pipeline.workspace import opened_catalog
from flows.artifacts import publish
from flows.parameters import Overrides, run_settings
from flows.token_block import with_secrets


@task(cache_policy=NO_CACHE)
def measure(settings: Settings, out: Path, now: datetime) -> EvaluateReport:
    """Measures and writes the report; needs the catalog alone."""
    with opened_catalog(settings) as catalog:
        return evaluating.evaluate(settings, catalog, out=out, now=now)


@task(cache_policy=NO_CACHE)
def send_back(settings: Settings, report: EvaluateReport, n: int) -> EvaluateReport:
    """Puts the worst suspects into a tab of Label Studio; a server that does not answer is no error."""
    ranked = report.result.suspects.ranked
    return replace(report, sent_back=sending_back.send_back(settings, ranked, n))


def _run_name() -> str:
    given = flow_run.parameters
    return f"evaluate {run_settings(given.get('config'), given.get('overrides')).project}"


@flow(name="evaluate", flow_run_name=_run_name)
def evaluate(
    config: Path | None = None,
    overrides: Overrides | None = None,
    out: Path | None = None,
    n_sent_back: int | None = None,
) -> EvaluateReport:
    """Measures the model and the labels on what people reviewed, and writes the HTML report.

    ``config`` is the settings file (detseg.toml in the working directory if there is one), ``overrides``
    are settings over it. The report goes to ``out``, else to report.html in the state folder. The tasks of
    the ``n_sent_back`` worst suspects, if that is given, go into a tab of Label Studio.
    """
    settings = run_settings(config, overrides)
    out = out or settings.state_path / "report.html"
    report = measure(settings, out, datetime.now(UTC))
    if n_sent_back is not None:
        report = send_back(with_secrets(settings), report, n_sent_back)
    publish("evaluate", report.to_json(), link=report.path, link_text="The report")
    return report
