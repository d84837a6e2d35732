"""The use case of ``detseg qa``: predictions against reviews, as figures and as a report.

Needs the catalog alone, so it works while Label Studio is down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from detseg.datasets.figures import growth
from detseg.datasets.store import DatasetStore
from detseg.errors import DatasetError
from detseg.labelstudio.label_config import config_to_taxonomy, fit_policy
from detseg.metrics.answers import answer_questions, saving_noun
from detseg.metrics.qa_result import Basis, QaResult
from detseg.pipeline import progress
from detseg.pipeline.choosing import thresholds_in_use, versions_of
from detseg.pipeline.dataset_figures import measure_labels
from detseg.pipeline.experiments.gold import count_late_truth
from detseg.pipeline.image_map import map_of_project
from detseg.pipeline.labels import label_rules
from detseg.pipeline.near_duplicates import near_duplicates
from detseg.pipeline.policies import cost_model, shape_policy
from detseg.pipeline.promoting import Applied, apply_thresholds
from detseg.pipeline.qa.answers import encode_answer, encode_estimate, notes_on
from detseg.pipeline.qa.cases import CaseReader, read_waiting
from detseg.pipeline.qa.figures_json import encode_figures, write_figures
from detseg.pipeline.qa.measure import Measures
from detseg.pipeline.reading import open_sources, read_one
from detseg.pipeline.send_back import SentBack, send_back
from detseg.pipeline.workspace import known_project, opened_catalog
from detseg.report.data import Alike, Images, QaReport
from detseg.report.page import write_report
from detseg.report.tabs.duplicates import MOST_CLUSTERS

if TYPE_CHECKING:
    from pathlib import Path

    from detseg.catalog import Catalog, Project
    from detseg.config import Settings
    from detseg.datasets.figures import VersionSize
    from detseg.metrics.model_quality import QualityBySource


_N_STEPS = 4
"""The steps after the measuring: figures of what was measured, of the labels, pictures, and the page."""


@dataclass(frozen=True, slots=True)
class EvaluateReport:
    """The figures of an evaluation, the HTML file that shows them, and the JSON file that holds all of them.

    ``sent_back`` is None where nothing was to be sent back, ``applied`` where no threshold was to be changed.
    """

    result: QaResult
    path: Path
    figures: Path
    sent_back: SentBack | None = None
    applied: Applied | None = None

    def to_json(self) -> dict[str, Any]:
        """The headline: ``answers`` as the page has them, and figures of what data there is.

        ``figures`` names the file with everything, see ``docs/report.md``.
        """
        result, edits = self.result, self.result.work.edits
        model, saving = result.model, result.work.effort.saving
        return {
            "images": edits.n_images,
            "simulated": result.simulated,
            "incomplete_reviews": result.basis.n_incomplete,
            "edits": encode_figures(edits.all.counts),
            "answers": {
                answer.question: {one.key: encode_answer(one) for one in (answer.main, *answer.others)}
                for answer in answer_questions(result)
            },
            "model": {
                "headline": model.headline,
                "n_control": model.control.n_images,
                "n_gold": model.gold.n_images,
                "n_assisted": model.assisted.n_images,
            },
            "acceptance_rate": edits.all.counts.acceptance_rate,
            **_plain_figures(model.best),
            "seconds_per_image": encode_estimate(result.work.times.assisted.median_s, "seconds"),
            "effort": {
                "method": result.work.effort.method,
                "saved_share": encode_estimate(saving.share, "share", noun=saving_noun(saving)),
                "saved_hours": encode_estimate(saving.hours, "number", noun=saving_noun(saving)),
            },
            "suspects": result.suspects.n_suspects,
            "waiting": {
                "images": result.waiting.n_images,
                "found_in_first_fifth": encode_estimate(result.waiting.check.found, "share"),
            },
            "notes": list(notes_on(result)),
            "per_class": {label: self._class_to_json(label) for label in sorted(self._labels())},
            "report": str(self.path),
            "figures": str(self.figures),
            "sent_back": self.sent_back.to_json() if self.sent_back else None,
            **({"applied": self.applied.to_json()} if self.applied else {}),
        }

    def _labels(self) -> set[str]:
        model = self.result.model
        measured = (self.result.work.edits.per_class, *(_classes(of) for of in model.by_source.values()))
        return {label for per_class in measured for label in per_class}

    def _class_to_json(self, label: str) -> dict[str, Any]:
        """The figures of one class as those of all, in plain numbers, and AP with its interval."""
        edits, best = self.result.work.edits.per_class.get(label), self.result.model.best
        ap = best.boxes.ap_per_class.get(label) if best else None
        box = best.boxes.score.per_class.get(label) if best else None
        pixels = best.segmentation.per_class.get(label) if best else None
        panoptic = best.panoptic.per_class.get(label) if best else None
        return {
            "edits": encode_figures(edits.counts) if edits else None,
            "acceptance_rate": edits.counts.acceptance_rate if edits else None,
            "box_ap": encode_estimate(ap, "score") if ap else None,
            "ap": box.ap if box else None,
            "iou": pixels.iou if pixels else None,
            "dice": pixels.dice if pixels else None,
            "pq": panoptic.pq if panoptic else None,
        }


def _plain_figures(best: QualityBySource | None) -> dict[str, Any]:
    """The headline's figures as plain numbers, however few images they rest on; None where it has none.

    ``answers`` says how sure they are.
    """
    names = ("ap", "ap50", "ap75")
    return {
        "box": {name: getattr(best.boxes.score, name) if best else None for name in names},
        "mask": {name: getattr(best.masks.score, name) if best else None for name in names},
        "miou": best.segmentation.all.iou if best else None,
        "dice": best.segmentation.all.dice if best else None,
        "pq": best.panoptic.all.pq if best else None,
    }


def _classes(quality: QualityBySource) -> set[str]:
    return {*quality.boxes.score.per_class, *quality.segmentation.per_class, *quality.panoptic.per_class}


def qa(
    settings: Settings, *, out: Path | None = None, n_sent_back: int | None = None, apply: bool = False
) -> EvaluateReport:
    """Measure the model and the labels on what people reviewed, and write the report.

    The HTML goes to ``out``, else to report.html in the state folder, and all figures beside it as JSON. The
    images of the ``n_sent_back`` worst suspects, if that is given, go into a tab of Label Studio; nothing
    else needs a server. With ``apply`` the promoted model has the thresholds that save seconds for certain
    before the report is written. Raises CatalogError if nothing was pushed to the project, and where another
    model was promoted meanwhile.
    """
    with opened_catalog(settings) as catalog:
        report = evaluate(
            settings,
            catalog,
            out=out or settings.state_path / "report.html",
            now=datetime.now(UTC),
            apply=apply,
        )
    if n_sent_back is None:
        return report
    suspects = report.result.suspects.ranked
    return replace(
        report, sent_back=send_back(settings.server, settings.queue.project, suspects, n_sent_back)
    )


def evaluate(
    settings: Settings, catalog: Catalog, *, out: Path, now: datetime, apply: bool = False
) -> EvaluateReport:
    """Measures predictions against reviews; writes the report to ``out`` and all figures beside it, as JSON.

    With ``apply``, thresholds are changed before, as ``qa`` says. Raises CatalogError if nothing was pushed
    to the project of the settings.
    """
    project = known_project(catalog, settings.queue.project, on_server=True)
    drawn = config_to_taxonomy(project.label_config)
    taxonomy = (settings.declared_taxonomy if settings.changes else None) or drawn
    policy = fit_policy(shape_policy(settings.labels), project.label_config, taxonomy)
    reader = CaseReader(catalog, project, policy)
    promotion = catalog.promotions.present()
    promotion = promotion if promotion and promotion.model else None
    basis = Basis(
        project=settings.queue.project,
        created_at=now,
        n_incomplete=len(catalog.reviews.incomplete(project.key)),
        n_deleted_tasks=catalog.tasks.count(project.key, "deleted"),
        states=catalog.reviews.states(project.key),
        arms=catalog.arms.counts(project.key),
        n_late_truth=count_late_truth(catalog, project.key, catalog.gold.imported() | catalog.gold.of_file()),
        n_begun_without=catalog.tasks.count_begun_without(project.key),
        promoted=promotion.model if promotion else None,
    )
    measures = Measures(taxonomy, cost_model(settings.costs))
    progress.report("evaluate", total=sum(basis.states.values()) - basis.states["unlabeled"])
    for case in reader.all():
        measures.add(case)
        progress.report("evaluate", advance=1)
    progress.report("report", total=_N_STEPS)
    of_promoted = versions_of(catalog, promotion, measures.versions) if promotion else None
    in_use = partial(thresholds_in_use, settings, catalog, taxonomy.names)
    applied = None
    if apply:
        found = measures.thresholds(versions=of_promoted, in_use=in_use())
        applied = apply_thresholds(catalog, found, basis.promoted)
    waiting = read_waiting(catalog, project, policy.annotate)
    result = measures.result(basis, waiting, versions=of_promoted, in_use=in_use())
    progress.report("report", advance=1)
    figures = out.with_suffix(".json")
    labels = measure_labels(catalog, project, label_rules(settings.queue), taxonomy.names)
    write_figures(figures, result, labels=labels)
    progress.report("report", advance=1)
    images = Images(cases=reader.of_images, read=partial(read_one, settings))
    grown, notes = _growth(settings.datasets_location, project.title)
    notes += notes_on(result)
    opened, folder = partial(open_sources, settings), settings.state_path
    map_ = map_of_project(
        opened, catalog, project, result.suspects.ranked, folder=folder, datasets=settings.datasets_location
    )
    examples, alike = measures.examples(), _alike(folder, catalog, project)
    progress.report("report", advance=1)
    write_report(out, QaReport(result, labels, taxonomy, examples, images, grown, map_, notes, alike=alike))
    progress.report("report", advance=1)
    return EvaluateReport(result, out, figures, applied=applied)


def _alike(folder: Path, catalog: Catalog, project: Project) -> Alike:
    """The near duplicates among the images of a project that the catalog knows the places of."""
    images = [task.image for task in catalog.tasks.of_project(project.key)]
    clusters = near_duplicates(folder, catalog.features.read(images)).clusters
    largest = sorted(clusters, key=lambda cluster: (-len(cluster), cluster))[:MOST_CLUSTERS]
    places = catalog.images.refs(image for cluster in largest for image in cluster)
    shown = (tuple(places[image] for image in cluster if image in places) for cluster in largest)
    return Alike(len(clusters), sum(map(len, clusters)), tuple(one for one in shown if one))


def _growth(datasets: str, project: str) -> tuple[tuple[VersionSize, ...], tuple[str, ...]]:
    """The sizes of the project's dataset versions, and a note where they cannot be read."""
    try:
        return growth(DatasetStore(datasets).versions(), project), ()
    except DatasetError as error:
        return (), (f"How the labels grew: {error}.",)
