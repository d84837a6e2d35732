"""The use case of ``detseg preannotate``: scan, load the model, predict shard by shard, push.

Every step opens the catalog for itself, and may be killed and run again: what is done is in the catalog, and
is not done twice. The flow runs the same steps as tasks.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from detseg.catalog import Catalog
from detseg.errors import Superseded
from detseg.models.agreement import Agreement
from detseg.paging import pages
from detseg.pipeline import predictors, progress, push, scan, shards
from detseg.pipeline.choosing import Chosen, choose_models, record_version
from detseg.pipeline.experiments.gold import check_gold
from detseg.pipeline.model_cache import CachedModel, cache_model, read_cached_model
from detseg.pipeline.precision import check_precision
from detseg.pipeline.predictors import predictor_settings
from detseg.pipeline.push import PushReport
from detseg.pipeline.pushing.queue import UNLIMITED, Limit
from detseg.pipeline.reading import open_sources
from detseg.pipeline.reviewed import keep_reviewed, read_reviewed, reviewed_of_run
from detseg.pipeline.scan import Scan
from detseg.pipeline.serving import check_serving
from detseg.pipeline.shards import ShardReport
from detseg.pipeline.workspace import check_label_studio, opened_catalog
from detseg.taxonomy import Taxonomy
from detseg.types import Failure, ImageId, ImageRef, ModelVersion

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.config.settings import ServerAccess
    from detseg.models.reviewed import ReviewedBoxes


@dataclass(frozen=True, slots=True)
class Model:
    """The model of a run: the classes that it knows, and the images that wait for it, in their order.

    ``precision_check`` says what a lower precision than float32 changes on the first of them; None where
    there is nothing to check. ``unreviewed`` images have no boxes of people, which were to be the detector.
    ``as_of`` is that of ``Chosen``.
    """

    version: ModelVersion
    taxonomy: Taxonomy
    missing: tuple[ImageRef, ...]
    precision_check: Agreement | None
    unreviewed: frozenset[ImageId] = frozenset()
    as_of: int | None = None

    def answerable(self, refs: Sequence[ImageRef]) -> tuple[ImageRef, ...]:
        """The images that the model can say something about."""
        return tuple(ref for ref in refs if ref.id not in self.unreviewed)

    def shards(self, size: int) -> tuple[tuple[ImageRef, ...], ...]:
        """The images that wait, in groups of at most ``size``."""
        return tuple(pages(self.missing, size))


@dataclass(frozen=True, slots=True)
class PreannotateReport:
    """The outcome of one run. Counts are images (equal files are one), but ``scanned`` counts files.

    ``predicted`` images had no answer of this model when the run began, and have one now, also where the
    worker died that recorded it. ``already_done`` images needed nothing: predicted and in the queue before.
    ``unneeded`` ones were predicted, and their tasks needed nothing: another run pushed them meanwhile, or as
    many people have labeled them as are asked. ``gold_waiting`` images have a known truth, and their turn has
    not come; ``imported`` ones were labeled by an import; ``unreviewed`` ones have no boxes of people, which
    were to be the detector. ``project_id`` is None in a dry run where there is no project yet; then
    ``predicted``, ``pushed`` and ``queue`` are what a run would do. ``queue`` says what became of each image
    in Label Studio. ``precision_check`` says what a lower precision than float32 changed on the first images;
    None where there was nothing to check. ``unmapped`` counts by label what was seen and left out, because no
    class of the taxonomy takes it.
    """

    scanned: int
    new: int
    predicted: int
    pushed: int
    already_done: int
    gold_waiting: int
    imported: int
    quarantined: tuple[Failure, ...]
    model_version: ModelVersion
    project_id: int | None
    queue: PushReport
    url: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    unmapped: Mapping[str, int] = field(default_factory=dict)
    precision_check: Agreement | None = None
    unreviewed: int = 0
    unneeded: int = 0

    @property
    def quarantined_share(self) -> float:
        """Unusable files among all, in [0, 1]; 0 where there are none."""
        return len(self.quarantined) / self.scanned if self.scanned else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "scanned": self.scanned,
            "new": self.new,
            "predicted": self.predicted,
            "pushed": self.pushed,
            "already_done": self.already_done,
            "unneeded": self.unneeded,
            "gold_waiting": self.gold_waiting,
            "imported": self.imported,
            "unreviewed": self.unreviewed,
            "quarantined": [{"uri": one.uri, "reason": one.reason} for one in self.quarantined],
            "model_version": self.model_version,
            "project_id": self.project_id,
            "queue": self.queue.to_json(),
            "precision_check": asdict(self.precision_check) if self.precision_check else None,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a run in their order; each takes the settings, and what those before it found."""

    sign_in: Callable[[ServerAccess], None]
    scan: Callable[[Settings], Scan]
    load_model: Callable[[Chosen, Sequence[ImageRef]], Model]
    predict: Callable[[Settings, Model], Sequence[ShardReport]]
    push: Callable[[Settings, Sequence[ImageRef], Model], PushReport | None]
    """returns None, with nothing sent, where another model was promoted since"""


def preannotate(
    settings: Settings, steps: Steps | None = None, *, note: Callable[[str], None] = lambda _: None
) -> PreannotateReport:
    """Predict the images that nobody has labeled yet, and make one task of each in Label Studio.

    Calling it again goes on where it stopped, and does nothing twice. It predicts with the promoted model, if
    there is one and nobody named another; ``note`` hears which, and why. Where another one is promoted
    meanwhile, or one taken back, it goes on with that: what an earlier model said never goes over a later
    one's. ``steps`` are other ways to do each step, as the flow has them. Raises DetsegError for what keeps a
    run from its work; images that cannot be used are in the report.
    """
    steps = steps or Steps(check_label_studio, scan_source, load_model, predict_all, push_images)
    steps.sign_in(settings.server)  # hours of predicting are not the time to find out
    chosen = _choose(settings, note)
    seconds = defaultdict[str, float](float)
    with _timed("scan", seconds):
        found = steps.scan(chosen.settings)
    while True:
        with _timed("load", seconds):
            model = steps.load_model(chosen, found.images)
        with _timed("predict", seconds):
            progress.report("predict", total=len(model.missing))
            predicted = steps.predict(chosen.settings, model)
        with _timed("push", seconds):
            pushed = steps.push(chosen.settings, model.answerable(found.images), model)
        if pushed is not None:
            break
        note(f"another model was chosen while {model.version} predicted: going on with that one")
        chosen = _choose(settings, note)
    seconds["total"] = sum(seconds.values())
    return _sum_up(found, predicted, pushed, model=model, seconds=dict(seconds))


def _choose(settings: Settings, note: Callable[[str], None]) -> Chosen:
    chosen = choose_models(settings)
    for line in chosen.notes:
        note(line)
    return chosen


@contextmanager
def _timed(step: str, seconds: defaultdict[str, float]) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[step] += time.monotonic() - start


def scan_source(settings: Settings) -> Scan:
    """List the images of the source, and those that were never seen before."""
    with opened_catalog(settings) as catalog:
        return scan.scan(settings, catalog)


def load_model(chosen: Chosen, refs: Sequence[ImageRef]) -> Model:
    """The predictor that was chosen, and what of ``refs`` it has not answered yet; loaded if there is any.

    The weights stay in this process.
    """
    with opened_catalog(chosen.settings) as catalog:
        model = load(chosen.settings, catalog, refs)
        if chosen.promotion is not None:
            record_version(catalog, chosen.promotion, model.version)
        return replace(model, as_of=chosen.as_of)


def predict_shard(
    settings: Settings, refs: Sequence[ImageRef], *, n_images: int, version: ModelVersion
) -> ShardReport:
    """Predicts what this model has not predicted yet, and records it in one transaction.

    ``n_images`` are those that wait in the whole run.
    """
    with opened_catalog(settings) as catalog:
        reviewed = reviewed_of_run(settings.model.detector, settings.queue, catalog, version)
        predictor = predictors.load(
            predictor_settings(settings), n_images=n_images, version=version, reviewed=reviewed
        )
        return shards.predict_shard(settings, catalog, predictor, refs)


def predict_all(settings: Settings, model: Model) -> list[ShardReport]:
    """Predicts all images that wait for the model, one shard after the other."""
    n_images, version = len(model.missing), model.version
    return [
        predict_shard(settings, refs, n_images=n_images, version=version)
        for refs in model.shards(settings.run.shard_size)
    ]


def push_images(
    settings: Settings, refs: Sequence[ImageRef], model: Model, *, limit: Limit = UNLIMITED
) -> PushReport | None:
    """Makes tasks of what is predicted and not in the queue yet; None where the model was superseded."""
    with opened_catalog(settings) as catalog, suppress(Superseded):
        return push.push(
            settings,
            catalog,
            refs=refs,
            version=model.version,
            taxonomy=model.taxonomy,
            limit=limit,
            as_of=model.as_of,
        )
    return None


def load(settings: Settings, catalog: Catalog, refs: Sequence[ImageRef]) -> Model:
    """The model of a run, as ``load_model`` gives it, by a catalog that is open already."""
    check_serving(settings)  # before hours of predicting what cannot be pushed
    chosen = predictor_settings(settings)
    known = read_cached_model(chosen, catalog)
    if known is not None and not _missing(catalog, refs, known.version):
        check_gold(settings.gold_file, known.taxonomy)
        return Model(known.version, known.taxonomy, (), None)
    reviewed = read_reviewed(settings.model.detector, settings.queue, catalog)
    predictor = predictors.load(chosen, reviewed=reviewed)
    keep_reviewed(predictor.version, reviewed)
    check_gold(settings.gold_file, predictor.taxonomy)
    cache_model(chosen, catalog, CachedModel(predictor.version, predictor.taxonomy, predictor.files))
    unreviewed = _unreviewed(refs, reviewed)
    missing = _missing(catalog, [ref for ref in refs if ref.id not in unreviewed], predictor.version)
    check = check_precision(partial(open_sources, settings), predictor, [ref.uri for ref in missing])
    return Model(predictor.version, predictor.taxonomy, missing, check, unreviewed)


def _unreviewed(refs: Sequence[ImageRef], reviewed: ReviewedBoxes | None) -> frozenset[ImageId]:
    if reviewed is None:
        return frozenset()
    return frozenset(ref.id for ref in refs if ref.id not in reviewed.boxes)


def _missing(catalog: Catalog, refs: Sequence[ImageRef], version: ModelVersion) -> tuple[ImageRef, ...]:
    missing = frozenset(catalog.predictions.missing((ref.id for ref in refs), version))
    return tuple(ref for ref in refs if ref.id in missing) if missing else ()


def _sum_up(
    found: Scan,
    predicted_shards: Sequence[ShardReport],
    pushed: PushReport,
    *,
    model: Model,
    seconds: Mapping[str, float],
) -> PreannotateReport:
    """The report of a run from those of its steps."""
    unusable = tuple(one for shard in predicted_shards for one in shard.failures)
    unused = {one.uri for one in unusable}
    predicted = {ref.id for ref in model.missing if ref.uri not in unused}
    failures = (*found.failures, *unusable, *pushed.failures)
    waiting = {one.ref.id for one in pushed.outcomes if one.status == "duplicate"}
    touched = predicted | pushed.changed.keys() | waiting
    failed = {one.uri for one in failures}
    done = sum(1 for ref in model.answerable(found.images) if ref.id not in touched and ref.uri not in failed)
    return PreannotateReport(
        scanned=found.n_files,
        new=found.n_new,
        predicted=len(predicted),
        pushed=len(pushed.pushed),
        already_done=done,
        gold_waiting=found.n_waiting,
        imported=found.n_imported,
        unreviewed=len(model.unreviewed),
        unneeded=len(predicted - pushed.changed.keys() - {one.ref.id for one in pushed.outcomes}),
        quarantined=tuple(sorted(failures, key=lambda one: one.uri)),
        model_version=model.version,
        project_id=pushed.project_id or None,
        queue=pushed,
        url=pushed.url or None,
        seconds=seconds,
        precision_check=model.precision_check,
        unmapped=sum((Counter(shard.unmapped) for shard in predicted_shards), Counter()),
    )


def plan(settings: Settings, *, note: Callable[[str], None] = lambda _: None) -> PreannotateReport:
    """Return the report of the run that ``preannotate`` would make now: nothing is recorded or sent.

    ``note`` hears which model it would be, and why. Reads the source, the catalog and the server. Where no
    server answers, a warning of the report says so. Raises DetsegError, and ConfigError where a run would
    before it predicts.
    """
    check_serving(settings)
    settings = _choose(settings, note).settings
    with opened_catalog(settings) as catalog:
        found = scan.scan(settings, catalog, record=False)
        chosen = predictor_settings(settings)
        known = read_cached_model(chosen, catalog)
        reviewed = read_reviewed(settings.model.detector, settings.queue, catalog)
        if known is None:
            predictor = predictors.load(chosen, reviewed=reviewed)
            known = CachedModel(predictor.version, predictor.taxonomy)
        check_gold(settings.gold_file, known.taxonomy)
        unreviewed = _unreviewed(found.images, reviewed)
        refs = [ref for ref in found.images if ref.id not in unreviewed]
        missing = _missing(catalog, refs, known.version)
        model = Model(known.version, known.taxonomy, missing, None, unreviewed)
        planned = push.plan_push(settings, catalog, refs=refs, version=model.version, taxonomy=model.taxonomy)
    return _sum_up(found, (), planned, model=model, seconds={})
