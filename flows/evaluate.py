"""The flow of ``detseg qa``: what was predicted against what was collected, as figures and as a report."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from detseg.config import Settings
from detseg.pipeline.evaluate import EvaluateReport, qa
from detseg.pipeline.outcome import Line, describe_basis, evaluate_shortfall
from flows.artifacts import publish, publish_answers
from flows.outcome import fall_short, log_lines, run_name
from flows.parameters import Overrides, run_settings
from flows.token_block import with_secrets


@task(cache_policy=NO_CACHE)
def measure(settings: Settings, out: Path | None, n_sent_back: int | None, *, apply: bool) -> EvaluateReport:
    """Measures and writes the report; worst suspects go into a tab of Label Studio, and thresholds that save
    seconds to the promoted model, if that is asked."""
    return qa(settings, out=out, n_sent_back=n_sent_back, apply=apply)


@flow(name="evaluate", flow_run_name=run_name(lambda given: f"evaluate {given.queue.project}"))
def evaluate(
    config: Path | None = None,
    overrides: Overrides | None = None,
    out: Path | None = None,
    n_sent_back: int | None = None,
    *,
    apply: bool = False,
) -> EvaluateReport:
    """Measures the model and the labels on what people reviewed, and writes the HTML report.

    ``config`` is the settings file (detseg.toml in the working directory if there is one), ``overrides``
    are settings over it. The report goes to ``out``, else to report.html in the state folder. The tasks of
    the ``n_sent_back`` worst suspects, if that is given, go into a tab of Label Studio. With ``apply`` the
    promoted model gets the thresholds that save seconds for certain.
    """
    settings = run_settings(config, overrides)
    if n_sent_back is not None:
        settings = with_secrets(settings)
    report = measure(settings, out, n_sent_back, apply=apply)
    publish("evaluate", report.to_json())
    publish_answers(report)
    log_lines((*describe_basis(report.result), Line(f"report {report.path}")))
    fall_short(evaluate_shortfall(report))
    return report
