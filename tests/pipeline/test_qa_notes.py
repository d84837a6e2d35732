"""QA of projects that have next to nothing, or something odd: what is left out is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.qa import make_catalog
from detseg.catalog import Catalog, Project, open_catalog
from detseg.config import load_settings
from detseg.pipeline.evaluate import EvaluateReport, evaluate
from detseg.types import Mask, Size
from tests.catalog.reading import review_ids

Change = Callable[[Catalog, Project], object]


def measure(folder: Path, n_images: int, change: Change | None = None) -> EvaluateReport:
    """QA of a made-up catalog in which every image was reviewed, after a change of it."""
    settings = load_settings(make_catalog(folder, n_images))
    with open_catalog(settings.catalog_url) as catalog:
        (project,) = catalog.projects.all()
        if change is not None:
            change(catalog, project)
        return evaluate(settings, catalog, out=folder / "report.html", now=datetime(2026, 3, 1, tzinfo=UTC))


def test_no_images_and_no_reviews(tmp_path: Path) -> None:
    for folder, n_images in ((tmp_path / "none", 0), (tmp_path / "some", 3)):
        report = measure(folder, n_images, lambda c, p: c.reviews.mark_deleted(p.key, review_ids(c, p.key)))
        figures = report.to_json()
        assert figures["images"] == 0
        for answer in figures["answers"].values():
            assert {one["text"] for one in answer.values()} == {"n/a"}
        assert figures["notes"] == [
            "no reviews yet: people submit tasks in Label Studio, `detseg collect` brings what they did"
        ]
        assert "no reviews yet" in report.path.read_text(encoding="utf-8")


@pytest.mark.parametrize("n_images", [1, 2, 3])
def test_a_few_reviews_make_no_rates(tmp_path: Path, n_images: int) -> None:
    report = measure(tmp_path, n_images)
    assert report.result.n_cases == n_images
    assert report.result.work.edits.all.acceptance_rate.value is None
    assert report.to_json()["notes"] == []


def test_work_that_began_without_a_prediction_is_left_out_and_said(tmp_path: Path) -> None:
    def forget_predictions(catalog: Catalog, project: Project) -> None:
        images = [task.image for task in catalog.tasks.of_project(project.key)]
        catalog.server_tasks.mark_unseen(project.key, images[:3])
        of_first = [one.annotation_id for one in catalog.reviews.of_images(project.key, images[:1])]
        catalog.reviews.mark_deleted(project.key, of_first)  # nobody has begun that one

    report = measure(tmp_path, 6, forget_predictions)
    assert report.result.n_cases == 3
    assert report.to_json()["notes"] == [
        "1 task predicted and never reviewed: not counted",
        "2 tasks left out: no prediction was there when people began, or it was lost by an import",
    ]


def test_predicted_and_never_reviewed_images_do_not_count(tmp_path: Path) -> None:
    def forget_most(catalog: Catalog, project: Project) -> None:
        catalog.reviews.mark_deleted(project.key, sorted(review_ids(catalog, project.key))[2:])

    report = measure(tmp_path, 6, forget_most)
    model = report.result.model
    assert model.control.n_images + model.assisted.n_images == 2
    assert report.to_json()["notes"] == ["4 tasks predicted and never reviewed: not counted"]


def test_labels_that_the_project_has_no_more_are_measured_and_said(tmp_path: Path) -> None:
    def rename(catalog: Catalog, project: Project) -> None:
        config = project.label_config.replace('"bolt"', '"screw"')
        catalog.projects.record(
            project.server_id,
            url=project.url,
            title=project.title,
            created_at=project.created_at,
            label_config=config,
        )

    report = measure(tmp_path, 3, rename)
    n = report.result.suspects.per_rule["outside_taxonomy"].n_suspects
    assert n > 0
    assert report.to_json()["notes"] == [
        f"{n} regions with labels that the project lacks (by now): measured, and among the suspects"
    ]
    assert "bolt" in report.result.model.assisted.boxes.score.per_class


def test_a_mask_of_another_size_is_said(tmp_path: Path) -> None:
    def shrink(catalog: Catalog, project: Project) -> None:
        first = next(catalog.reviews.latest(project.key))
        regions = list(first.annotation.regions)
        i = next(i for i, region in enumerate(regions) if region.instance.mask is not None)
        small = Mask(Size(64, 48), (100, 20, 64 * 48 - 120))
        regions[i] = replace(regions[i], instance=replace(regions[i].instance, mask=small))
        changed = replace(first.annotation, regions=tuple(regions))
        catalog.reviews.record(project.key, [replace(first, annotation=changed)], replace=True)

    misfit, left_out = measure(tmp_path, 3, shrink).to_json()["notes"]
    assert misfit == "1 mask of another size than the image: overlapping nothing"
    assert left_out.startswith("1 image not in mIoU and PQ: ")


def test_tasks_that_were_deleted_are_said(tmp_path: Path) -> None:
    def delete_one(catalog: Catalog, project: Project) -> None:
        catalog.server_tasks.mark_deleted(project.key, catalog.tasks.ids(project.key)[:1])

    report = measure(tmp_path, 3, delete_one)
    assert report.result.n_cases == 2
    assert report.to_json()["notes"] == ["1 task deleted in Label Studio: not counted"]
