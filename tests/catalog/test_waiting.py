"""Which tasks wait for people, and what is told of their regions."""

from __future__ import annotations

from detseg.catalog import Assignment, Catalog, ProjectKey
from detseg.types import Arm, ModelVersion
from tests.catalog.made import REGIONS, VERSION, found, image_id, image_ids, prediction, review

NEWER = ModelVersion("sample@ffffffff")


def waiting(catalog: Catalog, project: ProjectKey) -> list[int]:
    return [task.task_id for task in catalog.waiting.of_project(project)]


def test_a_task_waits_until_somebody_reviews_it(catalog: Catalog, project: ProjectKey) -> None:
    catalog.predictions.record(prediction(n) for n in range(5))
    assert waiting(catalog, project) == [100, 101, 102, 103, 104]  # 105 was never predicted
    catalog.reviews.record(
        project, [review(1, 0), review(2, 1, state="empty"), review(3, 2, state="skipped")]
    )
    assert waiting(catalog, project) == [103, 104]
    catalog.reviews.mark_deleted(project, [2])
    assert waiting(catalog, project) == [101, 103, 104]
    catalog.server_tasks.mark_deleted(project, [103])
    assert waiting(catalog, project) == [101, 104]


def test_regions_come_without_their_drawing(catalog: Catalog, project: ProjectKey) -> None:
    catalog.predictions.record([prediction(0)])
    (task,) = catalog.waiting.of_project(project)
    assert (task.image, task.uri, task.model_version) == (image_id(0), "file:///photos/0.jpg", VERSION)
    assert task.shown is None
    for outline, region in zip(task.regions, REGIONS, strict=True):
        instance = region.instance
        assert (outline.id, outline.label, outline.kind) == (region.id, instance.label, instance.kind)
        assert outline.score == instance.score
        assert (outline.has_box, outline.has_mask) == (instance.box is not None, instance.mask is not None)


def test_images_of_experiments_do_not_wait(catalog: Catalog, project: ProjectKey) -> None:
    catalog.predictions.record(prediction(n) for n in range(6))
    arms: tuple[Arm, ...] = ("control", "decoy", "gold")
    catalog.arms.record(project, [Assignment(image_id(n), arm) for n, arm in enumerate(arms)])
    assert waiting(catalog, project) == [103, 104, 105]


def test_the_version_counts_that_the_page_shows(catalog: Catalog, project: ProjectKey) -> None:
    catalog.predictions.record(prediction(n) for n in range(2))
    catalog.predictions.record([prediction(0, version=NEWER, regions=())])
    catalog.task_predictions.open_push(project, [image_id(0)], NEWER, shown={image_id(0): "as boxes"})
    catalog.task_predictions.confirm_push(project, [image_id(0)], NEWER, replaces=True)
    new, old = catalog.waiting.of_project(project)
    assert (new.task_id, new.model_version, new.regions, new.shown) == (100, NEWER, (), "as boxes")
    assert (old.task_id, old.model_version, len(old.regions)) == (101, VERSION, 2)


def test_they_come_page_by_page_and_from_one_project(catalog: Catalog, project: ProjectKey) -> None:
    many = image_ids(1_203)
    catalog.images.record(found(n) for n in range(1_203))
    catalog.predictions.record(prediction(n) for n in range(1_203))
    catalog.tasks.open_push(project, many, VERSION)
    catalog.tasks.confirm_push(project, {image: 100 + n for n, image in enumerate(many)})
    assert [task.image for task in catalog.waiting.of_project(project)] == sorted(many)
    assert waiting(catalog, ProjectKey(project + 1)) == []
