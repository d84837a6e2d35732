"""Reports to look at, on made-up cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from detseg.metrics.cases import Case
from detseg.metrics.costs import CostModel
from detseg.metrics.expected_edits import PerChange
from detseg.metrics.intervals import Estimate
from detseg.metrics.qa_result import Basis
from detseg.metrics.suspects.findings import Suspect
from detseg.metrics.waiting import RankedImage, RankingCheck, Waiting, WaitingImage
from detseg.pipeline.qa.measure import Measures
from detseg.report.data import Images, QaReport
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Annotation, Box, ImageId, ModelVersion
from tests.report.made import TAXONOMY, by_image, image_of, made_cases, read_scene


def make_report(
    cases: Sequence[Case],
    *,
    title: str = "metal parts",
    taxonomy: Taxonomy = TAXONOMY,
    limit: int = 60,
    notes: tuple[str, ...] = (),
    waiting: Sequence[WaitingImage] = (),
) -> QaReport:
    """The report on those cases, measured as the pipeline measures."""
    measures = Measures(taxonomy, CostModel())
    for case in cases:
        measures.add(case)
    basis = Basis(
        project=title,
        created_at=datetime(2026, 11, 20, 12, 30, tzinfo=UTC),
        n_incomplete=0,
        n_deleted_tasks=0,
        states=Counter(case.reviews[0].state for case in cases if case.reviews)
        + Counter({"unlabeled": len(waiting)}),
        arms=Counter(case.arm for case in cases),
    )
    examples = measures.examples(limit=limit)
    return QaReport(measures.result(basis, waiting), taxonomy, examples, images_of(cases), notes)


def titled(report: QaReport, title: str) -> QaReport:
    """The report of a project of that name."""
    basis = replace(report.result.basis, project=title)
    return replace(report, result=replace(report.result, basis=basis))


def listing(report: QaReport, *, uri: str = "scene-1.png", link: str = "http://127.0.0.1/1") -> QaReport:
    """The report with a list of images that wait, which takes more cases than a quick test has."""
    edits, costs_s = PerChange(0.4, 0.7, 0.1, 1.0, 0.3), PerChange(30.0, 61.0, 1.4, 7.0, 24.0)
    ranked = tuple(
        RankedImage(image_of(n), uri, n, link, costs_s.total, 9, edits, costs_s) for n in range(1, 31)
    )
    known, by_count = Estimate(0.42, 0.31, 0.53, 128, 620), Estimate(0.21, 0.13, 0.31, 128, 390)
    check = RankingCheck(200, known, by_count, found_at_best=0.59, holds=True)
    waiting = Waiting(n_images=1_200, n_new_model=3, check=check, ranked=ranked)
    return replace(report, result=replace(report.result, waiting=waiting))


def images_of(cases: Sequence[Case]) -> Images:
    """The made cases and their pictures."""
    known = by_image(cases)

    def few(ids: tuple[ImageId, ...]) -> Mapping[ImageId, Case]:
        return {image: known[image] for image in ids if image in known}

    return Images(few, read_scene)


def renamed(case: Case, names: Mapping[str, str]) -> Case:
    """The case with other labels."""

    def rename(annotation: Annotation) -> Annotation:
        regions = tuple(
            replace(r, instance=replace(r.instance, label=names[r.instance.label]))
            for r in annotation.regions
        )
        return replace(annotation, regions=regions)

    return replace(
        case,
        prediction=rename(case.prediction),
        reviews=tuple(map(rename, case.reviews)),
        gold=None if case.gold is None else rename(case.gold),
    )


def renamed_taxonomy(names: Mapping[str, str]) -> Taxonomy:
    """The sample classes under other names."""
    return Taxonomy(tuple(LabelClass(names[c.name], c.kind, c.colour) for c in TAXONOMY.classes))


def hostile_report(text: str) -> QaReport:
    """A report in which every name from outside is that text, with quotes, dollars and more around it."""
    names = {c.name: f"{text}\"'$\\frac{{ {c.name} ボルト" for c in TAXONOMY.classes}
    cases = []
    for case in made_cases(80):
        changed = renamed(case, names)
        said = tuple(replace(r, author=f"{text} {r.author} \u202e") for r in changed.reviews)
        version = ModelVersion(f"{text}@12345678")
        link = f'https://host/"><b>{text}'
        cases.append(replace(changed, reviews=said, model_version=version, task_url=link))
    report = make_report(cases, title=text, taxonomy=renamed_taxonomy(names), limit=6, notes=(text,))
    report = replace(report, images=_misnamed(report.images, text), currency=text)
    return listing(report, uri=f'x" onerror="alert(3){text}', link=f'https://host/"><b>{text}')


def _misnamed(images: Images, text: str) -> Images:
    """The same images under file names that hold the text; they can still be read."""

    def few(ids: tuple[ImageId, ...]) -> Mapping[ImageId, Case]:
        return {
            image: replace(case, uri=f'x" onerror="alert(2){text}-{case.uri.rpartition("-")[2]}')
            for image, case in images.cases(ids).items()
        }

    return Images(few, images.read)


def suspect_of(case: Case, box: Box | None) -> Suspect:
    """A label under suspicion on that case's image, there."""
    return Suspect(
        case.image, case.task_id, case.task_url, None, "bolt", "annotator-1", "tiny", 0.5, "why", box
    )
