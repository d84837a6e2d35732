from datetime import timedelta, timezone

import pytest

from detseg.catalog import Catalog, ProjectKey, Quarantined, Task
from detseg.errors import CatalogError
from tests.catalog.made import NOON, VERSION, entry, found, image_id, image_ids, record_project, review
from tests.catalog.reading import review_ids


@pytest.fixture
def empty(catalog: Catalog) -> ProjectKey:
    """A project without tasks, beside 6 images."""
    catalog.images.record(found(n) for n in range(6))
    return record_project(catalog).key


def test_a_push_is_claimed_once(catalog: Catalog, empty: ProjectKey) -> None:
    asked = [image_id(n) for n in (3, 1, 3, 0)]
    assert catalog.tasks.open_push(empty, asked, VERSION) == tuple(image_id(n) for n in (3, 1, 0))
    assert catalog.tasks.open_push(empty, asked, VERSION) == ()
    assert catalog.tasks.open_push(empty, image_ids(3), VERSION) == (image_id(2),)
    assert list(catalog.tasks.open_intents(empty)) == image_ids(4)
    assert catalog.tasks.open_push(empty, [], VERSION) == ()


def test_a_confirmed_push_is_a_task(catalog: Catalog, empty: ProjectKey) -> None:
    catalog.tasks.open_push(empty, image_ids(2), VERSION)
    for _ in range(2):  # the second time changes nothing
        catalog.tasks.confirm_push(empty, {image_id(1): 7})
    done = Task(empty, image_id(1), 7, "pushed", VERSION, NOON)
    assert catalog.tasks.of_images(empty, [image_id(1), image_id(5)]) == {image_id(1): done}
    assert list(catalog.tasks.open_intents(empty)) == [image_id(0)]
    assert list(catalog.tasks.of_project(empty)) == [
        Task(empty, image_id(0), None, "intent", VERSION, None),
        done,
    ]


def test_dropped_intents_are_free_again_tasks_stay(catalog: Catalog, empty: ProjectKey) -> None:
    catalog.tasks.open_push(empty, image_ids(3), VERSION)
    catalog.tasks.confirm_push(empty, {image_id(0): 7})
    assert catalog.tasks.drop_intents(empty, image_ids(3)) == 2
    assert catalog.tasks.drop_intents(empty, image_ids(3)) == 0
    assert catalog.tasks.open_push(empty, image_ids(3), VERSION) == (image_id(1), image_id(2))


def test_bare_tasks_wait_for_their_predictions(catalog: Catalog, empty: ProjectKey) -> None:
    catalog.tasks.open_push(empty, image_ids(3), VERSION)
    catalog.tasks.confirm_push(empty, {image_id(0): 7, image_id(1): 8}, without_prediction=True)
    catalog.tasks.confirm_push(empty, {image_id(1): 8, image_id(2): 9})  # once bare, it stays so
    assert catalog.tasks.without_prediction(empty) == (image_id(0), image_id(1))
    catalog.task_predictions.record(empty, {image_id(0): [VERSION]})
    assert catalog.tasks.without_prediction(empty) == (image_id(1),)


def test_what_was_deleted_on_the_server_is_not_pushed_again(catalog: Catalog, project: ProjectKey) -> None:
    assert catalog.server_tasks.mark_deleted(project, [101, 102, 999]) == 2
    assert catalog.server_tasks.mark_deleted(project, [101]) == 0
    assert catalog.tasks.open_push(project, image_ids(6), VERSION) == ()
    task = catalog.tasks.of_images(project, [image_id(1)])[image_id(1)]
    assert (task.state, task.task_id) == ("deleted", None)


def test_the_reviews_of_a_deleted_task_go_with_it(catalog: Catalog, project: ProjectKey) -> None:
    catalog.reviews.record(
        project, [review(1, 1), review(2, 1, author="person 2", state="skipped"), review(3, 2)]
    )
    catalog.server_tasks.mark_deleted(project, [101])
    assert review_ids(catalog, project) == {3}


def test_a_restoration_that_is_given_up_leaves_the_task_deleted(
    catalog: Catalog, project: ProjectKey
) -> None:
    catalog.reviews.record(project, [review(1, 1)])
    catalog.server_tasks.mark_deleted(project, [101, 102])
    assert catalog.tasks.open_push(project, image_ids(4), VERSION, restore=True) == tuple(image_ids(4)[1:3])
    assert catalog.tasks.drop_intents(project, image_ids(4)) == 2
    assert catalog.tasks.count(project, "deleted") == 2
    assert catalog.tasks.open_push(project, image_ids(4), VERSION) == ()
    assert catalog.tasks.open_push(project, image_ids(4), VERSION, restore=True) == tuple(image_ids(4)[1:3])


def test_a_confirmation_that_cannot_be_true_is_refused(catalog: Catalog, project: ProjectKey) -> None:
    with pytest.raises(CatalogError, match="is task 101 already, now task 201 was confirmed"):
        catalog.tasks.confirm_push(project, {image_id(1): 201})
    catalog.images.record([found(50)])
    with pytest.raises(CatalogError, match="never intended"):
        catalog.tasks.confirm_push(project, {image_id(50): 300})


def test_a_confirmation_is_whole_or_not_at_all(catalog: Catalog, empty: ProjectKey) -> None:
    catalog.tasks.open_push(empty, [image_id(0)], VERSION)
    with pytest.raises(CatalogError):
        catalog.tasks.confirm_push(empty, {image_id(0): 7, image_id(1): 8})
    assert list(catalog.tasks.open_intents(empty)) == [image_id(0)]


def test_a_confirmed_push_leaves_quarantine(catalog: Catalog, empty: ProjectKey) -> None:
    catalog.quarantine.record([Quarantined(entry(0).uri, "refused", "push", image=image_id(0))])
    catalog.tasks.open_push(empty, [image_id(0)], VERSION)
    assert len(catalog.quarantine.entries()) == 1
    catalog.tasks.confirm_push(empty, {image_id(0): 7})
    assert catalog.quarantine.entries() == ()


def test_projects_are_told_apart_by_id_and_birth(catalog: Catalog) -> None:
    first = record_project(catalog, url="http://a")
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    moved = record_project(catalog, url="http://b", title="Parts", created_at=elsewhere)
    assert (moved.key, moved.url, moved.title) == (first.key, "http://b", "Parts")
    assert moved.created_at == NOON
    fresh_server = record_project(catalog, url="http://b", created_at=NOON + timedelta(days=1))
    assert fresh_server.key != first.key
    assert catalog.projects.all() == (moved, fresh_server)


def test_two_projects_hold_one_image_as_two_tasks(catalog: Catalog, project: ProjectKey) -> None:
    other = record_project(catalog, server_id=2).key
    assert catalog.tasks.open_push(other, image_ids(2), VERSION) == tuple(image_ids(2))
    catalog.tasks.confirm_push(other, {image_id(0): 100})
    assert len(list(catalog.tasks.of_project(other))) == 2
    assert len(list(catalog.tasks.of_project(project))) == 6
