"""The flow of ``detseg preannotate``: its steps as tasks, a shard of images in each task that predicts."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from detseg.config import Settings
from detseg.config.settings import ServerAccess
from detseg.pipeline import preannotate as steps
from detseg.pipeline.choosing import Chosen, choose_models
from detseg.pipeline.outcome import describe_preannotate, preannotate_notes, preannotate_shortfall
from detseg.pipeline.preannotate import Model, PreannotateReport, Steps
from detseg.pipeline.push import PushReport
from detseg.pipeline.scan import Scan
from detseg.pipeline.shards import ShardReport
from detseg.pipeline.workspace import check_label_studio
from detseg.plurals import format_count
from detseg.types import ImageRef, ModelVersion
from flows.artifacts import publish
from flows.limits import import_limit
from flows.outcome import ending, fall_short, log_lines, run_name
from flows.parameters import Overrides, run_settings
from flows.retries import RETRY_IO
from flows.runners import Unsearched, running_tasks
from flows.token_block import with_secrets


@task(cache_policy=NO_CACHE, **RETRY_IO)
def sign_in(server: ServerAccess) -> None:
    """Check that Label Studio lets us in."""
    check_label_studio(server)


@task(cache_policy=NO_CACHE)
def scan(settings: Settings) -> Scan:
    """List the images, and those that were never seen before."""
    return steps.scan_source(settings)


@task(cache_policy=NO_CACHE)
def load_model(chosen: Unsearched[Chosen], refs: Unsearched[Sequence[ImageRef]]) -> Model:
    """Load the model for the images that wait for it. The weights stay in this process."""
    return steps.load_model(chosen.value, refs.value)


@task(cache_policy=NO_CACHE, task_run_name="predict shard {number}")
def predict_shard(
    number: int,
    refs: Unsearched[Sequence[ImageRef]],
    settings: Settings,
    *,
    n_images: int,
    version: ModelVersion,
) -> ShardReport:
    """Predicts what this model has not predicted yet, and records it in one transaction."""
    began = time.monotonic()
    report = steps.predict_shard(settings, refs.value, n_images=n_images, version=version)
    get_run_logger().info(
        "shard %d of %d: %s in %.1f s, %d could not be used",
        number,
        math.ceil(n_images / settings.run.shard_size),
        format_count(len(refs.value), "image"),
        time.monotonic() - began,
        len(report.failures),
    )
    return report


@task(cache_policy=NO_CACHE, **RETRY_IO)
def push(
    settings: Settings, refs: Unsearched[Sequence[ImageRef]], model: Unsearched[Model]
) -> PushReport | None:
    """Makes tasks of what is predicted and not in the queue yet; None where the model was superseded."""
    return steps.push_images(
        settings, refs.value, model.value, limit=import_limit(settings.server, settings.label_studio)
    )


def _predict_all(settings: Settings, model: Model) -> list[ShardReport]:
    given = {"settings": settings, "n_images": len(model.missing), "version": model.version}
    with running_tasks(settings.run.task_runner) as runner:
        futures = [
            runner.submit(predict_shard, {"number": number, "refs": Unsearched(refs), **given})
            for number, refs in enumerate(model.shards(settings.run.shard_size), 1)
        ]
        return [future.result() for future in futures]


_STEPS = Steps(
    sign_in=sign_in,
    scan=scan,
    load_model=lambda chosen, refs: load_model(Unsearched(chosen), Unsearched(refs)),
    predict=_predict_all,
    push=lambda settings, refs, model: push(settings, Unsearched(refs), Unsearched(model)),
)


def _named(given: Settings) -> str:
    settings = choose_models(given).settings
    named = (name for name in (settings.model.detector, settings.model.segmenter) if name)
    models = " + ".join(Path(name).name if Path(name).is_absolute() else name for name in named)
    return f"preannotate {settings.source.location} with {models} for {settings.queue.project}"


@flow(name="preannotate", flow_run_name=run_name(_named))
def preannotate(config: Path | None = None, overrides: Overrides | None = None) -> PreannotateReport:
    """Predicts the images that nobody has labeled yet and puts them into the queue of Label Studio.

    ``config`` is the settings file (detseg.toml in the working directory if there is one), ``overrides``
    are settings over it. Equal images, and images that this model predicted before, cost nothing.
    """
    return ending(partial(_preannotate, config, overrides))


def _preannotate(config: Path | None, overrides: Overrides | None) -> PreannotateReport:
    settings = with_secrets(run_settings(config, overrides))
    report = steps.preannotate(settings, _STEPS, note=get_run_logger().info)
    publish("preannotate", report.to_json(), link=report.url, link_text="The queue in Label Studio")
    log_lines((*describe_preannotate(report), *preannotate_notes(report, settings.source.location)))
    fall_short(preannotate_shortfall(report, settings.run))
    return report
