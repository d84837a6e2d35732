"""Which of an image's tasks stay: every state of one that is known and of up to two others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import product

import pytest

from detseg.catalog import ProjectKey, Task, TaskState
from detseg.labelstudio.predictions import PredictionOnServer, TaskOnServer
from detseg.pipeline.pushing.duplicates import resolve
from detseg.pipeline.pushing.settling import GIVEN_UP
from detseg.types import SeenTask
from tests.catalog.made import NOON, VERSION, image_id

LATE, TOO_LATE = NOON + timedelta(minutes=5), NOON + 2 * GIVEN_UP


def on_server(number: int, *, shows: bool, touched: bool, from_file: bool = False) -> TaskOnServer:
    seen = SeenTask(number, NOON if number == 1 else LATE, image_id(0))
    predictions = (PredictionOnServer(number, VERSION, is_parent=False),) if shows else ()
    return TaskOnServer(seen, {}, predictions, touched, touched, from_file)


def known(state: TaskState) -> Task:
    """Task 1, which may be deleted."""
    return Task(ProjectKey(1), image_id(0), 1 if state == "pushed" else None, state, VERSION, NOON, NOON)


def states(n: int) -> Iterator[tuple[TaskOnServer, ...]]:
    """Every state of so many tasks, numbered from 1."""
    flags = list(product((False, True), repeat=3))
    for some in product(flags, repeat=n):
        yield tuple(
            on_server(number, shows=shows, touched=touched, from_file=from_file)
            for number, (shows, touched, from_file) in enumerate(some, 1)
        )


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("state", ["pushed", "deleted"])
@pytest.mark.parametrize("doubted", [False, True])
def test_what_people_began_stays_and_one_task_is_the_images(n: int, state: TaskState, doubted: bool) -> None:
    for tasks in states(n):
        found = resolve(known(state), tasks, doubted=doubted)
        kept = () if found.kept is None else (found.kept,)
        assert sorted((*kept, *found.others, *found.spare), key=lambda one: one.id) == list(tasks)
        begun = [one for one in tasks if one.touched or one.from_file]
        assert not any(one in found.spare for one in begun)
        assert all(one in begun for one in found.others)
        if state == "pushed":
            assert kept
            if tasks[0] in begun:
                assert found.kept == tasks[0]
            if not begun and any(one.versions for one in tasks):
                assert kept[0].versions
        if begun:
            assert found.kept in begun


def test_a_deletion_stands_against_late_copies_alone() -> None:
    late = on_server(2, shows=True, touched=False)
    assert resolve(known("deleted"), [late], doubted=False).spare == (late,)
    later = TaskOnServer(SeenTask(2, TOO_LATE, image_id(0)), {}, late.predictions, False, False, False)
    assert resolve(known("deleted"), [later], doubted=False).kept == later
    assert resolve(known("deleted"), [later], doubted=True).spare == (later,)
    earlier = TaskOnServer(SeenTask(1, NOON, image_id(0)), {}, (), False, False, False)  # as after a backup
    assert resolve(known("deleted"), [earlier], doubted=True).kept == earlier
