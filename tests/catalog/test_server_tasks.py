"""Numbers that a server gives again: a task is its number, its image and the moment of its creation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

import pytest

from detseg.catalog import Catalog, ProjectKey, ReviewCounts
from detseg.types import SeenTask
from tests.catalog.made import NOON, VERSION, found, image_id, image_ids, record_project, review
from tests.catalog.reading import review_ids

SECOND = timedelta(seconds=1)


def numbers(catalog: Catalog, project: ProjectKey) -> dict[str, int | None]:
    return {task.image: task.task_id for task in catalog.tasks.of_project(project) if task.state == "pushed"}


def test_a_number_that_is_given_again_takes_it_from_the_deleted_task(
    catalog: Catalog, project: ProjectKey
) -> None:
    catalog.reviews.record(project, [review(1, 5), review(2, 4)])
    catalog.images.record([found(50)])
    catalog.tasks.open_push(project, [image_id(50)], VERSION)
    catalog.tasks.confirm_push(project, {image_id(50): 105}, created_by=NOON)
    assert numbers(catalog, project) == {**{image_id(n): 100 + n for n in range(5)}, image_id(50): 105}
    assert catalog.tasks.count(project, "deleted") == 1
    assert review_ids(catalog, project) == {2}
    assert catalog.reviews.counts(project, after=0, last=200) == (6, 1, 0)


def test_a_later_task_under_a_known_number_is_another_one(catalog: Catalog, project: ProjectKey) -> None:
    catalog.reviews.record(project, [review(1, 5)])
    known = SeenTask(105, NOON, image_id(5))
    assert catalog.server_tasks.recognise(project, [known]).images == {105: image_id(5)}
    edited = replace(known, image="something else")  # which the reading of its reviews will say
    assert catalog.server_tasks.recognise(project, [edited]).images == {105: image_id(5)}
    later = replace(known, created_at=NOON + SECOND)
    recognised = catalog.server_tasks.recognise(project, [later])
    assert (recognised.images, recognised.n_reviews_gone) == ({}, 1)
    assert catalog.tasks.count(project, "deleted") == 1
    assert catalog.server_tasks.recognise(project, [later]).images == {}  # not back, either
    assert catalog.server_tasks.recognise(project, [known]).images == {105: image_id(5)}  # as after a backup
    assert catalog.tasks.count(project, "deleted") == 0


def test_where_nobody_knows_the_moment_the_image_decides(catalog: Catalog, project: ProjectKey) -> None:
    assert catalog.tasks.undated(project) == (100, 101, 102, 103, 104, 105)
    seen = [SeenTask(100 + n, NOON, image_id(n)) for n in range(5)] + [SeenTask(105, NOON, None)]
    recognised = catalog.server_tasks.recognise(project, seen)
    assert recognised.images == {100 + n: image_id(n) for n in range(5)}
    assert catalog.tasks.undated(project) == ()
    assert catalog.tasks.count(project, "deleted") == 1


def test_a_moment_after_the_answer_becomes_the_true_one(catalog: Catalog, project: ProjectKey) -> None:
    catalog.images.record([found(50)])
    catalog.tasks.open_push(project, [image_id(50)], VERSION)
    catalog.tasks.confirm_push(project, {image_id(50): 200}, created_by=NOON + SECOND)
    catalog.server_tasks.recognise(project, [SeenTask(200, NOON, image_id(50))])
    assert catalog.tasks.of_images(project, [image_id(50)])[image_id(50)].created_at == NOON
    later = SeenTask(200, NOON + SECOND, image_id(50))
    assert catalog.server_tasks.recognise(project, [later]).images == {}


def test_an_annotation_that_was_given_the_number_of_another_is_one_more(
    catalog: Catalog, project: ProjectKey
) -> None:
    first = review(7, 0)
    catalog.reviews.record(project, [first])
    other = replace(review(7, 1, author="b", minute=-30), created_at=NOON + SECOND)
    assert catalog.reviews.record(project, [other]) == ReviewCounts(new=1, replaced=1)
    assert list(catalog.reviews.latest(project)) == [other]
    assert catalog.reviews.ids_of_tasks(project, [100, 101]) == {7}
    assert catalog.reviews.record(project, [first]) == ReviewCounts(updated=1, replaced=1)
    assert list(catalog.reviews.latest(project)) == [first]


def test_a_review_whose_creation_nobody_knew_learns_it(catalog: Catalog, project: ProjectKey) -> None:
    undated = replace(review(7, 0, minute=5), created_at=NOON + timedelta(minutes=5))
    catalog.reviews.record(project, [undated])
    assert catalog.reviews.record(project, [review(7, 0, minute=5)]) == ReviewCounts(unchanged=1)
    assert list(catalog.reviews.latest(project)) == [review(7, 0, minute=5)]


@dataclass
class Server:
    """Gives numbers as Label Studio does on SQLite: one more than the highest that is there."""

    tasks: dict[int, SeenTask] = field(default_factory=dict)
    n_seconds: int = 0

    def make(self, n: int) -> SeenTask:
        self.n_seconds += 1
        number = max(self.tasks, default=0) + 1
        self.tasks[number] = SeenTask(number, NOON + self.n_seconds * SECOND, image_id(n))
        return self.tasks[number]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_on_the_server_its_numbers_are_the_catalogs(catalog: Catalog, seed: int) -> None:
    rng, server, project = Random(seed), Server(), record_project(catalog).key
    catalog.images.record(found(n) for n in range(60))
    backup: dict[int, SeenTask] = {}
    for n in range(60):
        if rng.random() < 0.4 and server.tasks:
            del server.tasks[max(server.tasks) if rng.random() < 0.7 else rng.choice(list(server.tasks))]
        if rng.random() < 0.1:
            backup = dict(server.tasks)
        if rng.random() < 0.05:
            server.tasks = dict(backup)
        made = server.make(n)
        catalog.tasks.open_push(project, [image_id(n)], VERSION)
        catalog.tasks.confirm_push(project, {image_id(n): made.id}, created_by=made.created_at + SECOND / 2)
        if rng.random() < 0.3:
            _read_all(catalog, project, server)
    _read_all(catalog, project, server)
    assert numbers(catalog, project) == {task.image: task.id for task in server.tasks.values()}
    assert catalog.tasks.open_push(project, image_ids(60), VERSION) == ()


def _read_all(catalog: Catalog, project: ProjectKey, server: Server) -> None:
    catalog.server_tasks.recognise(project, server.tasks.values())
    catalog.server_tasks.mark_deleted(project, set(catalog.tasks.ids(project)) - server.tasks.keys())
