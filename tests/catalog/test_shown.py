from detseg.catalog import Catalog, ProjectKey
from detseg.types import ModelVersion
from tests.catalog.made import VERSION, found, image_id, image_ids, record_project

OTHER = ModelVersion("other@ffffffff")


def test_it_comes_with_the_claim(catalog: Catalog) -> None:
    catalog.images.record(found(n) for n in range(3))
    project = record_project(catalog).key
    assert catalog.shown.of_images(project, image_ids(3), VERSION) == {}
    catalog.tasks.open_push(project, image_ids(2), VERSION, shown={image_id(0): "a", image_id(1): "b"})
    catalog.tasks.open_push(project, image_ids(3), VERSION, shown=dict.fromkeys(image_ids(3), "c"))
    assert catalog.shown.of_images(project, image_ids(3), VERSION) == {
        image_id(0): "a",
        image_id(1): "b",
        image_id(2): "c",
    }


def test_what_was_given_back_is_recorded_anew(catalog: Catalog) -> None:
    catalog.images.record([found(0)])
    project = record_project(catalog).key
    catalog.tasks.open_push(project, image_ids(1), VERSION, shown={image_id(0): "a"})
    catalog.tasks.drop_intents(project, image_ids(1))
    catalog.tasks.open_push(project, image_ids(1), VERSION, shown={image_id(0): "b"})
    assert catalog.shown.of_images(project, image_ids(1), VERSION) == {image_id(0): "b"}


def test_every_version_has_its_own(catalog: Catalog, project: ProjectKey) -> None:
    shown = dict.fromkeys(image_ids(2), "x")
    catalog.task_predictions.open_push(project, image_ids(1), OTHER, shown=shown)
    catalog.task_predictions.open_push(project, image_ids(1), OTHER, shown={image_id(0): "y"})  # held
    assert catalog.shown.of_images(project, image_ids(6), OTHER) == {image_id(0): "x"}
    assert catalog.shown.of_images(project, image_ids(6), VERSION) == {}


def test_what_is_restored_shows_what_it_is_sent_with(catalog: Catalog, project: ProjectKey) -> None:
    catalog.server_tasks.mark_deleted(project, [100])
    catalog.tasks.open_push(
        project, image_ids(2), OTHER, restore=True, shown=dict.fromkeys(image_ids(2), "x")
    )
    assert catalog.shown.of_images(project, image_ids(2), OTHER) == {image_id(0): "x"}
