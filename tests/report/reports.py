"""Reports to look at, on made-up cases."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from PIL import Image

from detseg.catalog.region_json import encode_regions
from detseg.datasets.differences import ChangedImage, Difference
from detseg.datasets.figures import DatasetFigures, FigureTally, VersionSize
from detseg.datasets.sample import Sample
from detseg.datasets.version import Counts, Recipe, Version
from detseg.metrics.cases import Case
from detseg.metrics.costs import CostModel
from detseg.metrics.expected_edits import PerChange
from detseg.metrics.intervals import Estimate
from detseg.metrics.qa_result import Basis
from detseg.metrics.suspects.findings import Suspect
from detseg.metrics.waiting import RankedImage, RankingCheck, Waiting, WaitingImage
from detseg.pipeline.qa.measure import Measures
from detseg.report.data import ImageMap, Images, MapFacts, MapPoint, QaReport
from detseg.report.dataset_page import Pair, Side, difference_page, version_page
from detseg.report.page import Page
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Annotation, Box, DecodedImage, ImageId, ModelVersion
from tests.report.made import TAXONOMY, by_image, image_of, made_cases, read_scene

NOON = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)


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
        created_at=NOON,
        n_incomplete=0,
        n_deleted_tasks=0,
        states=Counter(case.reviews[0].state for case in cases if case.reviews)
        + Counter({"unlabeled": len(waiting)}),
        arms=Counter(case.arm for case in cases),
    )
    examples = measures.examples(limit=limit)
    tally = FigureTally()
    for case in cases:
        if (truth := case.truth) is not None:
            tally.add(truth, authors=(truth.author,), split="val" if case.task_id % 5 == 0 else "train")
    labels = tally.result(taxonomy.names)
    result = measures.result(basis, waiting)
    growth, map_ = made_growth(labels), made_map(cases)
    return QaReport(result, labels, taxonomy, examples, images_of(cases), growth, map_, notes)


def made_map(cases: Sequence[Case], text: str = "") -> ImageMap:
    """The cases in rings, with grey pictures."""
    points = tuple(
        MapPoint(
            x=0.5 + math.cos(n) * (n % 5 + 1) / 10,
            y=0.5 + math.sin(n) * (n % 5 + 1) / 10,
            name=f"{text}{case.uri}",
            thumbnail=Image.new("L", (64, 48), n % 256),
            facts=MapFacts(
                state=case.truth.state if case.truth else "unlabeled",
                label=f"{text}{case.truth.regions[0].instance.label}"
                if case.truth and case.truth.regions
                else "",
                split="val" if n % 5 == 0 else "train",
                suspect=f"{text}far smaller" if n % 7 == 0 else "",
                cluster=f"{text}cluster {n // 6}" if n % 3 == 0 else "",
                link=case.task_url,
            ),
        )
        for n, case in enumerate(cases)
    )
    return ImageMap(points, f"{text}{len(points)} of 1,200 images.")


def made_growth(labels: DatasetFigures) -> tuple[VersionSize, ...]:
    """Three versions that led to these labels."""
    return tuple(
        VersionSize(
            f"v{n}",
            f"{n}" * 64,
            datetime(2026, 10, 7 * n, 9, 30, tzinfo=UTC),
            labels.n_images * n // 3,
            labels.n_objects * n // 3,
            {name: one.n_objects * n // 3 for name, one in labels.per_class.items()},
        )
        for n in (1, 2, 3)
    )


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
    report = replace(report, map=made_map(cases, text), images=_misnamed(report.images, text), currency=text)
    return listing(report, uri=f'x" onerror="alert(3){text}', link=f'https://host/"><b>{text}')


def dataset_pages(cases: Sequence[Case], text: str = "") -> dict[str, Page]:
    """The pages of a made version, and of what differs between two, with that text in every name."""
    names = {c.name: f"{text}{c.name}" for c in TAXONOMY.classes}
    taxonomy = renamed_taxonomy(names)
    versions = [
        Version(f"v{n}", f"{n}" * 64, NOON, Recipe(f"{text}parts", taxonomy.classes, where=text), Counts())
        for n in (1, 2)
    ]
    pairs = [_pair(renamed(case, names), text) for case in cases if case.truth is not None]
    changed = tuple(
        ChangedImage(side.sample.image, side.sample.uri, pair.change, {"changed": 1})
        for pair in pairs
        if (side := pair.after or pair.before)
    )
    zero = {"added": 1, "removed": 0, "changed": 2}
    found = Difference(changed, zero, dict.fromkeys(names.values(), zero), {"labeled > empty": 2}, {})

    def read(sample: Sample) -> DecodedImage:
        return read_scene(sample.uri.removeprefix(text))

    report = make_report([renamed(case, names) for case in cases], taxonomy=taxonomy)
    losses = {"coco": {}, "yolo": {"masks left out": 12}}
    return {
        "version": version_page(
            versions[1], report.labels, report.growth, losses, images=made_map(cases, text)
        ),
        "difference": difference_page((versions[0], versions[1]), found, pairs, read),
    }


def _pair(case: Case, text: str) -> Pair:
    """The model's regions before, people's after; the first images came, others went."""
    assert case.truth is not None
    sides = [
        Side(
            Sample(
                said.image,
                said.size,
                "labeled" if said.regions else "empty",
                encode_regions(said.regions),
                said.author,
                uri=text + case.uri,
                authors=(f"{text}{said.author}",),
            ),
            split,
        )
        for said, split in ((case.prediction, "train"), (case.truth, "val"))
    ]
    return Pair(None if case.task_id % 5 == 1 else sides[0], None if case.task_id % 5 == 2 else sides[1])


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
