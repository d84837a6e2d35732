from datetime import timedelta

import pytest

from detseg.catalog import Catalog, ProjectKey
from detseg.catalog.records import PossibleDuplicate
from detseg.types import ModelVersion
from tests.catalog.made import NOON, VERSION, image_id, image_ids
from tests.catalog.reading import prediction_states

OTHER = ModelVersion("other@ffffffff")


def states(catalog: Catalog, project: ProjectKey, n: int) -> dict[ModelVersion, str]:
    return prediction_states(catalog, project, image_id(n))


def test_a_task_has_the_prediction_that_it_came_with(catalog: Catalog, project: ProjectKey) -> None:
    assert states(catalog, project, 3) == {VERSION: "pushed"}
    assert catalog.task_predictions.versions(project) == {VERSION}
    assert catalog.task_predictions.open_push(project, image_ids(6), VERSION) == ()


def test_a_second_version_is_claimed_once_and_confirmed(catalog: Catalog, project: ProjectKey) -> None:
    asked = [image_id(n) for n in (2, 0, 2)]
    assert catalog.task_predictions.open_push(project, asked, OTHER) == (image_id(2), image_id(0))
    assert catalog.task_predictions.open_push(project, image_ids(3), OTHER) == (image_id(1),)
    assert catalog.task_predictions.open_push(project, [], OTHER) == ()
    assert catalog.task_predictions.open_intents(project) == {(image, OTHER): NOON for image in image_ids(3)}
    catalog.task_predictions.confirm_push(project, image_ids(1), OTHER)
    assert states(catalog, project, 0) == {VERSION: "pushed", OTHER: "pushed"}
    assert catalog.task_predictions.drop(project, image_ids(3), OTHER) == 2
    assert catalog.task_predictions.open_intents(project) == {}
    assert states(catalog, project, 1) == {VERSION: "pushed"}


def test_a_version_that_replaces_takes_the_place_of_all_others(catalog: Catalog, project: ProjectKey) -> None:
    catalog.task_predictions.open_push(project, image_ids(1), OTHER)
    catalog.task_predictions.confirm_push(project, image_ids(1), OTHER, replaces=True)
    assert states(catalog, project, 0) == {VERSION: "replaced", OTHER: "pushed"}
    assert states(catalog, project, 1) == {VERSION: "pushed"}
    # and back again
    assert catalog.task_predictions.open_push(project, image_ids(2), VERSION) == (image_id(0),)
    catalog.task_predictions.confirm_push(project, image_ids(1), VERSION, replaces=True)
    assert states(catalog, project, 0) == {VERSION: "pushed", OTHER: "replaced"}


def test_what_the_server_has_already_is_recorded(catalog: Catalog, project: ProjectKey) -> None:
    for _ in range(2):
        catalog.task_predictions.record(project, {image_id(0): (OTHER, VERSION), image_id(1): ()})
    assert states(catalog, project, 0) == {VERSION: "pushed", OTHER: "pushed"}
    assert states(catalog, project, 1) == {VERSION: "pushed"}


def test_a_deleted_task_is_restored_with_a_new_prediction(catalog: Catalog, project: ProjectKey) -> None:
    catalog.server_tasks.mark_deleted(project, [101, 102])
    assert catalog.tasks.count(project, "deleted") == 2
    assert catalog.tasks.open_push(project, image_ids(6), OTHER, restore=True) == (image_id(1), image_id(2))
    assert catalog.tasks.open_push(project, image_ids(6), OTHER, restore=True) == ()
    assert list(catalog.tasks.open_intents(project)) == [image_id(1), image_id(2)]
    assert states(catalog, project, 1) == {}
    catalog.tasks.confirm_push(project, {image_id(1): 201})
    assert states(catalog, project, 1) == {OTHER: "pushed"}
    task = catalog.tasks.of_images(project, image_ids(3))[image_id(1)]
    assert (task.state, task.task_id, task.model_version) == ("pushed", 201, OTHER)


@pytest.mark.parametrize("version", [None, OTHER])
def test_possible_duplicates_are_kept_until_they_are_old(
    catalog: Catalog, project: ProjectKey, version: ModelVersion | None
) -> None:
    for _ in range(2):
        catalog.possible_duplicates.record(project, [image_id(2), image_id(1)], version)
    assert catalog.possible_duplicates.all(project) == tuple(
        PossibleDuplicate(image_id(n), version, NOON) for n in (1, 2)
    )
    assert catalog.possible_duplicates.forget(project, NOON) == 0
    assert catalog.possible_duplicates.forget(project, NOON + timedelta(seconds=1)) == 2
    assert catalog.possible_duplicates.all(project) == ()


def test_present_is_what_needs_nothing(catalog: Catalog, project: ProjectKey) -> None:
    other = ModelVersion("other@1")
    catalog.server_tasks.mark_deleted(project, [101])
    catalog.task_predictions.open_push(project, image_ids(3), other)
    catalog.task_predictions.confirm_push(project, [image_id(0)], other)
    assert catalog.task_predictions.present(project, image_ids(9), VERSION) == {
        image_id(n) for n in (0, 2, 3, 4, 5)
    }
    assert catalog.task_predictions.present(project, image_ids(9), other) == {image_id(0)}
    assert catalog.task_predictions.present(project, [], VERSION) == frozenset()
