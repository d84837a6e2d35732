"""The flow of ``detseg retrain``: the steps of a round as tasks, for workers that have a GPU."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from detseg.config import Settings
from detseg.pipeline import retrain as steps
from detseg.pipeline.outcome import describe_retrain
from detseg.pipeline.promoting import Promoted
from detseg.pipeline.retrain import RetrainReport, Steps
from detseg.pipeline.rounds import Round
from flows.artifacts import publish
from flows.outcome import ending, log_lines, run_name
from flows.parameters import Overrides, run_settings
from flows.recording import after_work

if TYPE_CHECKING:
    from detseg.pipeline.retrain import Trained


@task(cache_policy=NO_CACHE)
def make_version(settings: Settings, begun: Round) -> str:
    """Make the dataset version of the round, unless it is there."""
    return steps.make_round_version(settings, begun)


@task(cache_policy=NO_CACHE)
def train(settings: Settings, begun: Round) -> Trained:
    """Train and register the model of the round; goes on with a training that was stopped."""
    return steps.train_round(settings, begun, note=get_run_logger().info)


@task(cache_policy=NO_CACHE)
def judge(settings: Settings, begun: Round) -> Promoted:
    """Judge the model beside the present one, and promote it if it is better."""
    return steps.judge_round(settings, begun, note=get_run_logger().info)


_STEPS = Steps(make_version, train, judge)


@flow(name="retrain", flow_run_name=run_name(lambda given: f"retrain for {given.queue.project}"))
def retrain(
    config: Path | None = None,
    overrides: Overrides | None = None,
    by_hand: bool = False,
    restart: bool = False,
) -> RetrainReport:
    """Trains the next model when it is due, judges it, and promotes it if it is better.

    ``config`` is the settings file (detseg.toml in the working directory if there is one), ``overrides``
    are settings over it. ``by_hand`` begins a round also where none is due, ``restart`` another one than that
    which has not ended. A run that was killed is gone on with by the next one.
    """
    return ending(partial(_retrain, config, overrides, by_hand=by_hand, restart=restart))


def _retrain(
    config: Path | None, overrides: Overrides | None, *, by_hand: bool, restart: bool
) -> RetrainReport:
    settings = run_settings(config, overrides)
    report = steps.retrain(settings, _STEPS, by_hand=by_hand, restart=restart, note=get_run_logger().info)
    publish("retrain", report.to_json())
    log_lines(describe_retrain(report, settings))
    if report.promoted is not None:
        after_work(partial(_announce, report.promoted))
    return report


def _announce(promoted: Promoted) -> None:
    """The event ``detseg.model.promoted`` or ``detseg.model.refused``, which an automation may wait for."""
    emit_event(
        f"detseg.model.{'promoted' if promoted.is_present else 'refused'}",
        resource={
            "prefect.resource.id": f"detseg.model.{promoted.model.name}",
            "prefect.resource.name": promoted.model.name,
        },
        payload=promoted.to_json(),
    )
