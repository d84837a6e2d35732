"""The use case of ``detseg preannotate``, as its steps and what they add up to.

The flow runs the steps: scan, one ``predict_shard`` per shard, push. Every step may be killed and run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from detseg.catalog import Catalog
from detseg.models.agreement import Agreement
from detseg.paging import pages
from detseg.pipeline import predictors
from detseg.pipeline.experiments.gold import check_gold
from detseg.pipeline.known_model import KnownModel, recall, remember
from detseg.pipeline.precision import check_precision
from detseg.pipeline.push import PushReport
from detseg.pipeline.pushing.preview import preview
from detseg.pipeline.scan import Scan, scan
from detseg.pipeline.serving import check_serving
from detseg.pipeline.shards import ShardReport
from detseg.pipeline.workspace import opened_catalog
from detseg.taxonomy import Taxonomy
from detseg.types import Failure, ImageRef, ModelVersion

if TYPE_CHECKING:
    from detseg.config import Settings


@dataclass(frozen=True, slots=True)
class Model:
    """Who predicts in a run: the classes that it knows, and the images that wait for it, in their order.

    ``precision_check`` says what a lower precision than float32 changes on the first of them; None where
    there is nothing to check.
    """

    version: ModelVersion
    taxonomy: Taxonomy
    missing: tuple[ImageRef, ...]
    precision_check: Agreement | None

    def shards(self, size: int) -> tuple[tuple[ImageRef, ...], ...]:
        """The images that wait, in groups of at most ``size``."""
        return tuple(pages(self.missing, size))


@dataclass(frozen=True, slots=True)
class PreannotateReport:
    """What one run did. Counts are images (equal files are one), but ``scanned`` counts files.

    ``already_done`` images needed nothing: predicted and in the queue before. ``gold_waiting`` images have a
    known truth, and their turn has not come. ``project_id`` is None in a dry run where there is no project
    yet; then ``predicted``, ``pushed`` and ``queue`` are what a run would do. ``queue`` says what became of
    each image in Label Studio.
    ``precision_check`` says what a lower precision than float32 changed on the first images; None where there
    was nothing to check. ``unmapped`` counts by label what was seen and left out, because no class of the
    taxonomy takes it.
    """

    scanned: int
    new: int
    predicted: int
    pushed: int
    already_done: int
    gold_waiting: int
    quarantined: tuple[Failure, ...]
    model_version: ModelVersion
    project_id: int | None
    queue: PushReport
    url: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    unmapped: Mapping[str, int] = field(default_factory=dict)
    precision_check: Agreement | None = None

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
            "gold_waiting": self.gold_waiting,
            "quarantined": [{"uri": one.uri, "reason": one.reason} for one in self.quarantined],
            "model_version": self.model_version,
            "project_id": self.project_id,
            "queue": self.queue.to_json(),
            "precision_check": asdict(self.precision_check) if self.precision_check else None,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }


def load(settings: Settings, catalog: Catalog, refs: Sequence[ImageRef]) -> Model:
    """The predictor of the settings, and what of ``refs`` it has not answered yet; loaded if there is any."""
    check_serving(settings)  # before hours of predicting what cannot be pushed
    known = recall(settings, catalog)
    if known is not None and not _missing(catalog, refs, known.version):
        check_gold(settings, known.taxonomy)
        return Model(known.version, known.taxonomy, (), None)
    predictor = predictors.load(settings)
    check_gold(settings, predictor.taxonomy)
    remember(settings, catalog, KnownModel(predictor.version, predictor.taxonomy))
    missing = _missing(catalog, refs, predictor.version)
    check = check_precision(settings, predictor, [ref.uri for ref in missing])
    return Model(predictor.version, predictor.taxonomy, missing, check)


def _missing(catalog: Catalog, refs: Sequence[ImageRef], version: ModelVersion) -> tuple[ImageRef, ...]:
    missing = frozenset(catalog.predictions.missing((ref.id for ref in refs), version))
    return tuple(ref for ref in refs if ref.id in missing) if missing else ()


def sum_up(
    found: Scan,
    shards: Sequence[ShardReport],
    push: PushReport,
    *,
    model: Model,
    seconds: Mapping[str, float],
) -> PreannotateReport:
    """The report of a run from those of its steps."""
    predicted = {image for shard in shards for image in shard.predicted}
    failures = (*found.failures, *(one for shard in shards for one in shard.failures), *push.failures)
    touched = predicted | push.changed.keys()
    failed = {one.uri for one in failures}
    done = sum(1 for ref in found.images if ref.id not in touched and ref.uri not in failed)
    return PreannotateReport(
        scanned=found.n_files,
        new=found.n_new,
        predicted=len(predicted),
        pushed=len(push.pushed),
        already_done=done,
        gold_waiting=found.n_waiting,
        quarantined=tuple(sorted(failures, key=lambda one: one.uri)),
        model_version=model.version,
        project_id=push.project_id,
        queue=push,
        url=push.url,
        seconds=seconds,
        precision_check=model.precision_check,
        unmapped=sum((Counter(shard.unmapped) for shard in shards), Counter()),
    )


def plan(settings: Settings) -> PreannotateReport:
    """What a run would do, as its report; nothing is recorded, predicted or pushed."""
    with opened_catalog(settings) as catalog:
        found = scan(settings, catalog, record=False)
        known = recall(settings, catalog)
        if known is None:
            predictor = predictors.load(settings)
            known = KnownModel(predictor.version, predictor.taxonomy)
        predicted = {ref.id for ref in _missing(catalog, found.images, known.version)}
        queue = preview(settings, catalog, refs=found.images, version=known.version, taxonomy=known.taxonomy)
    touched = predicted | queue.changed.keys()
    refused = {one.uri for one in queue.failures}
    return PreannotateReport(
        scanned=found.n_files,
        new=found.n_new,
        predicted=len(predicted),
        pushed=len(queue.pushed),
        already_done=sum(1 for ref in found.images if ref.id not in touched and ref.uri not in refused),
        gold_waiting=found.n_waiting,
        quarantined=(*found.failures, *queue.failures),
        model_version=known.version,
        project_id=queue.project_id or None,
        queue=queue,
        url=queue.url or None,
    )
