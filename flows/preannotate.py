"""The flow of ``detseg preannotate``: scan the source, predict what is new in shards, push to Label Studio.

A run that was killed is simply started again: what is done is in the catalog, and is not done twice.
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from detseg.config import Settings
from detseg.pipeline import predictors, progress
from detseg.pipeline import push as pushing
from detseg.pipeline import scan as scanning
from detseg.pipeline import shards as predicting
from detseg.pipeline.preannotate import Model, PreannotateReport, load, sum_up
from detseg.pipeline.push import PushReport
from detseg.pipeline.scan import Scan
from detseg.pipeline.shards import ShardReport
from detseg.pipeline.workspace import check_label_studio, opened_catalog
from detseg.taxonomy import Taxonomy
from detseg.types import ImageRef, ModelVersion
from flows.artifacts import publish
from flows.limits import import_limit
from flows.parameters import Overrides, run_settings
from flows.retries import RETRY_IO
from flows.runners import THREADS, task_runner, unsearched
from flows.stopwatch import Stopwatch
from flows.token_block import with_secrets


@task(cache_policy=NO_CACHE, **RETRY_IO)
def sign_in(settings: Settings) -> None:
    """Whether Label Studio lets us in: hours of predicting are not the time to find out."""
    check_label_studio(settings)


@task(cache_policy=NO_CACHE)
def scan(settings: Settings) -> Scan:
    """Which images there are, and what was never seen before."""
    with opened_catalog(settings) as catalog:
        return scanning.scan(settings, catalog)


@task(cache_policy=NO_CACHE)
def load_model(settings: Settings, refs: tuple[ImageRef, ...]) -> Model:
    """Who predicts, and for how many images. The weights stay in this process."""
    with opened_catalog(settings) as catalog:
        return load(settings, catalog, refs)


@task(cache_policy=NO_CACHE, task_run_name="predict shard {number}")
def predict_shard(
    number: int, refs: tuple[ImageRef, ...], settings: Settings, *, n_images: int, version: ModelVersion
) -> ShardReport:
    """Predicts what this model has not predicted yet, and records it in one transaction."""
    del number  # names the run
    with opened_catalog(settings) as catalog:
        predictor = predictors.load(settings, n_images=n_images, version=version)
        return predicting.predict_shard(settings, catalog, predictor, refs)


@task(cache_policy=NO_CACHE, **RETRY_IO)
def push(
    settings: Settings, refs: tuple[ImageRef, ...], version: ModelVersion, taxonomy: Taxonomy
) -> PushReport:
    """Makes tasks of what is predicted and not in the queue yet."""
    with opened_catalog(settings) as catalog:
        return pushing.push(
            settings, catalog, refs=refs, version=version, taxonomy=taxonomy, limit=import_limit(settings)
        )


def _run_name() -> str:
    settings = run_settings(**flow_run.parameters)
    named = (name for name in (settings.detector, settings.segmenter) if name)
    models = " + ".join(Path(name).name if Path(name).is_absolute() else name for name in named)
    return f"preannotate {settings.source} with {models} for {settings.project}"


@flow(name="preannotate", flow_run_name=_run_name, task_runner=task_runner(THREADS))
def preannotate(config: Path | None = None, overrides: Overrides | None = None) -> PreannotateReport:
    """Predicts the images that nobody has labeled yet and puts them into the queue of Label Studio.

    ``config`` is the settings file (detseg.toml in the working directory if there is one), ``overrides``
    are settings over it. Equal images, and images that this model predicted before, cost nothing.
    """
    settings = with_secrets(run_settings(config, overrides))
    sign_in(settings)
    watch = Stopwatch()
    with watch("scan"):
        found = scan(settings)
    with watch("load"):
        model = load_model(settings, unsearched(found.images))
    with watch("predict"):
        progress.report("predict", total=len(model.missing))
        shards, n_images = enumerate(model.shards(settings.shard_size), 1), len(model.missing)
        futures = [
            predict_shard.submit(n, unsearched(refs), settings, n_images=n_images, version=model.version)
            for n, refs in shards
        ]
        predicted = [future.result() for future in futures]
    with watch("push"):
        pushed = push(settings, unsearched(found.images), model.version, model.taxonomy)
    report = sum_up(found, predicted, pushed, model=model, seconds=watch.seconds)
    publish("preannotate", report.to_json(), link=report.url, link_text="The queue in Label Studio")
    return report
