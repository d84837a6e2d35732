"""The use case of ``detseg qa``: predictions against reviews, as figures and as a report.

Needs the catalog alone, so it works while Label Studio is down.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detseg.errors import CatalogError
from detseg.labelstudio.label_config import config_to_taxonomy, offered_kinds
from detseg.labelstudio.results import as_shown
from detseg.metrics.detection import confusion, precision_recall, score_annotations
from detseg.metrics.edits import EditCounts, find_edits, summarize_edits
from detseg.metrics.pairs import Pair, pair_annotations
from detseg.metrics.panoptic import panoptic_quality
from detseg.metrics.segmentation import score_masks
from detseg.pipeline import progress
from detseg.pipeline.asking import shape_policy
from detseg.pipeline.reading import read_one
from detseg.report.first.data import GalleryItem, QaReport
from detseg.report.first.page import write_report
from detseg.types import EDIT_KINDS, Annotation, ImageId, ImageRef, ModelVersion

if TYPE_CHECKING:
    from datetime import datetime

    from detseg.catalog import Catalog, Project, ReviewRecord, Task
    from detseg.config import Settings
    from detseg.labelstudio.shapes import ShapePolicy


@dataclass(frozen=True, slots=True)
class EvaluateReport:
    """What was measured, and the HTML file that shows it.

    ``n_incomplete`` reviews were left out, because something in them could not be read.
    """

    qa: QaReport
    path: Path
    n_incomplete: int = 0

    def to_json(self) -> dict[str, Any]:
        qa = self.qa
        return {
            "images": qa.edits.n_images,
            "simulated": qa.simulated,
            "incomplete_reviews": self.n_incomplete,
            "edits": _edits_to_json(qa.edits.all),
            "acceptance_rate": qa.edits.all.acceptance_rate,
            "box": {"ap": qa.box.ap, "ap50": qa.box.ap50, "ap75": qa.box.ap75},
            "mask": {"iou": qa.mask.all.iou, "dice": qa.mask.all.dice},
            "pq": qa.panoptic.all.pq,
            "seconds_per_image": qa.edits.time.median_s,
            "per_class": {label: _class_to_json(qa, label) for label in _labels(qa)},
            "report": str(self.path),
        }


def evaluate(settings: Settings, catalog: Catalog, *, out: Path, now: datetime) -> EvaluateReport:
    """Measures what was predicted against what was collected, and writes the report to ``out``.

    Raises CatalogError if nothing was pushed to the project of the settings.
    """
    project = _find_project(catalog, settings.project)
    latest = tuple(catalog.reviews.latest(project.key))
    records = tuple(record for record in latest if not record.unread)
    progress.report("evaluate", total=2)
    qa = _measure(settings, catalog, project, records, now=now)
    progress.report("evaluate", advance=1)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_report(out, qa)
    progress.report("evaluate", advance=1)
    return EvaluateReport(qa, out, n_incomplete=len(latest) - len(records))


def _find_project(catalog: Catalog, title: str) -> Project:
    found = [project for project in catalog.projects.all() if project.title == title]
    if not found:
        raise CatalogError(
            f"the catalog {catalog.url} knows no project {title!r}: `detseg preannotate` makes it, "
            "`detseg collect` brings the reviews"
        )
    return found[-1]  # the latest, where a server was set up anew


def _measure(
    settings: Settings,
    catalog: Catalog,
    project: Project,
    records: Sequence[ReviewRecord],
    *,
    now: datetime,
) -> QaReport:
    tasks = {task.image: task for task in catalog.tasks.of_project(project.key)}
    reviews = tuple(record.annotation for record in records)
    taxonomy = config_to_taxonomy(project.label_config)
    policy = replace(shape_policy(settings), kinds=offered_kinds(project.label_config, taxonomy))
    by_version = _predictions(catalog, reviews, tasks, policy=policy)
    predictions = tuple(prediction for answers in by_version.values() for prediction in answers)
    pairs = pair_annotations(reviews, predictions)
    return QaReport(
        title=settings.project,
        created_at=now,
        taxonomy=taxonomy,
        simulated=any(record.simulated for record in records),
        states=Counter(review.state for review in reviews),
        edits=summarize_edits(pairs),
        edits_per_version={
            version: summarize_edits(pair_annotations(reviews, answers))
            for version, answers in by_version.items()
        },
        box=score_annotations(reviews, predictions, "bbox"),
        mask=score_masks(reviews, predictions),
        panoptic=panoptic_quality(reviews, predictions),
        confusion=confusion(reviews, predictions, "bbox", min_score=0.0),  # thresholds were applied before
        curves=precision_recall(reviews, predictions, "bbox"),
        lead_times_s=tuple(pair.truth.lead_time_s for pair in pairs if pair.truth.lead_time_s is not None),
        gallery=tuple(_gallery(settings, catalog, project, pairs=pairs, tasks=tasks)),
    )


def _predictions(
    catalog: Catalog, reviews: Sequence[Annotation], tasks: Mapping[ImageId, Task], *, policy: ShapePolicy
) -> dict[ModelVersion, tuple[Annotation, ...]]:
    """What the annotators of those reviews were shown, by model version."""
    images: defaultdict[ModelVersion, list[ImageId]] = defaultdict(list)
    for image in dict.fromkeys(review.image for review in reviews):
        images[tasks[image].model_version].append(image)
    return {
        version: tuple(
            replace(prediction, regions=as_shown(prediction.regions, policy))
            for prediction in catalog.predictions.read(images[version], version)
        )
        for version in sorted(images)
    }


def _gallery(
    settings: Settings,
    catalog: Catalog,
    project: Project,
    *,
    pairs: Sequence[Pair],
    tasks: Mapping[ImageId, Task],
) -> Iterator[GalleryItem]:
    refs = catalog.images.refs(pair.truth.image for pair in pairs)
    for pair in pairs:
        image = pair.truth.image
        ref = refs.get(image, ImageRef(image, image))
        yield GalleryItem(
            name=Path(ref.uri).name,
            load=partial(read_one, settings, ref.uri),
            prediction=pair.prediction,
            review=pair.truth,
            edits=find_edits(pair.prediction, pair.truth),
            task_url=f"{project.url}/projects/{project.server_id}/data?task={tasks[image].task_id}",
        )


def _labels(qa: QaReport) -> list[str]:
    measured = (qa.edits.per_class, qa.box.per_class, qa.mask.per_class, qa.panoptic.per_class)
    return sorted({label for per_class in measured for label in per_class})


def _class_to_json(qa: QaReport, label: str) -> dict[str, Any]:
    counts = qa.edits.per_class.get(label, EditCounts())
    box, mask = qa.box.per_class.get(label), qa.mask.per_class.get(label)
    quality = qa.panoptic.per_class.get(label)
    return {
        "edits": _edits_to_json(counts),
        "acceptance_rate": counts.acceptance_rate,
        "ap": box.ap if box else None,
        "iou": mask.iou if mask else None,
        "dice": mask.dice if mask else None,
        "pq": quality.pq if quality else None,
    }


def _edits_to_json(counts: EditCounts) -> dict[str, int]:
    return {kind: getattr(counts, kind) for kind in EDIT_KINDS}
