"""The server's tasks that are the catalog's. A number identifies one only while it is there.

A server on SQLite gives the number of its newest task again once that is deleted. So a task is the one that
has the number, and that was not made later than ours was. What lost its number keeps it as its former one.

An image has one task, and copies of it where people worked on several: a request may be carried out twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from detseg.catalog.database import Database, Row
from detseg.catalog.records import NOTHING_SHOWN, ProjectKey, Recognised, is_same_task
from detseg.catalog.tables import copies, reviews, task_predictions, tasks
from detseg.paging import pages
from detseg.types import ImageId, ModelVersion, SeenTask


@dataclass(frozen=True, slots=True)
class ServerTasks:
    """``catalog.server_tasks``"""

    database: Database

    def recognise(self, project: ProjectKey, seen: Iterable[SeenTask]) -> Recognised:
        """Finds out which of these tasks are the catalog's, and records what they show.

        Where a number is another task's now, the one that had it is deleted, with its reviews. Where a
        deleted one is there again, as after a backup, it is back; its reviews are when they are read.
        """
        images: dict[int, ImageId] = {}
        n_reviews = 0
        for page in pages(seen):
            by_number = {one.id: one for one in page}
            with self.database.reading() as connection:
                rows = _select(connection, project, tuple(by_number))
                of_copies = _select_copies(connection, project, tuple(by_number))
            gone, again, dated = _compare(rows, by_number)
            gone += [row for row in of_copies if row.created_at != by_number[row.task_id].created_at]
            if gone or again or dated:
                with self.database.writing() as connection:
                    n_reviews += mark_gone(connection, project, [row.task_id for row in gone])[1]
                    _update(connection, project, {**dated, **again}, by_number)
            known = [row for row in (*rows, *of_copies) if row.task_id is not None and row not in gone]
            images |= {row.task_id: ImageId(row.image_id) for row in known}
            images |= {number: ImageId(image) for image, number in again.items()}
        return Recognised(images, n_reviews)

    def mark_deleted(self, project: ProjectKey, task_ids: Iterable[int]) -> int:
        """Marks tasks that are gone on the server, and their reviews; how many tasks were not marked yet."""
        marked = 0
        with self.database.writing() as connection:
            for page in pages(task_ids):
                marked += mark_gone(connection, project, page)[0]
        return marked

    def totals(self, project: ProjectKey) -> tuple[int, int]:
        """Count the tasks that are there, copies included, and the predictions of all but the copies."""
        live = there(project)
        has = sa.and_(
            task_predictions.c.project == tasks.c.project, task_predictions.c.image_id == tasks.c.image_id
        )
        of_predictions = (
            sa.select(sa.func.count())
            .select_from(tasks.join(task_predictions, has))
            .where(
                tasks.c.project == project, tasks.c.state == "pushed", task_predictions.c.state == "pushed"
            )
        )
        with self.database.reading() as connection:
            n_tasks = connection.scalar(sa.select(sa.func.count()).select_from(live)) or 0
            return n_tasks, connection.scalar(of_predictions) or 0

    def numbers(self, project: ProjectKey, ids: Iterable[ImageId]) -> dict[ImageId, frozenset[int]]:
        """The numbers of those images' tasks and copies; images without any have none."""
        live = there(project)
        found: dict[ImageId, set[int]] = {image: set() for image in ids}
        query = sa.select(live.c.image_id, live.c.task_id)
        for row in self.database.read_pages(query, live.c.image_id, tuple(found)):
            found[ImageId(row.image_id)].add(row.task_id)
        return {image: frozenset(numbers) for image, numbers in found.items()}

    def copies(self, project: ProjectKey) -> dict[ImageId, tuple[int, ...]]:
        """The numbers of all tasks of the images that have copies, ascending."""
        live = there(project)
        query = (
            sa.select(live.c.image_id, live.c.task_id)
            .where(live.c.image_id.in_(sa.select(copies.c.image_id).where(copies.c.project == project)))
            .order_by(live.c.image_id, live.c.task_id)
        )
        found: defaultdict[ImageId, list[int]] = defaultdict(list)
        for row in self.database.read(query):
            found[ImageId(row.image_id)].append(row.task_id)
        return {image: tuple(numbers) for image, numbers in found.items()}

    def keep(
        self,
        project: ProjectKey,
        image: ImageId,
        task: SeenTask,
        *,
        others: Sequence[SeenTask] = (),
        versions: Sequence[ModelVersion] | None = None,
        begun: bool = False,
    ) -> None:
        """Records that this task is the image's and that the ``others`` are its copies, whatever was before.

        ``versions`` are those of the predictions that it has, in their order; without, it has what the
        catalog says. ``begun``: somebody has begun to work on it, so what it does not show yet was not seen.
        """
        here = sa.and_(tasks.c.project == project, tasks.c.image_id == image)
        with self.database.writing() as connection:
            for one in (task, *others):
                mark_replaced(connection, project, {image: one.id})
            values = {"task_id": task.id, "created_at": task.created_at, "state": "pushed"}
            connection.execute(sa.update(tasks).where(here).values(values))
            if versions is not None:
                _set_predictions(self.database, connection, project, image, versions=versions)
                if versions or begun:
                    shown = versions[-1] if versions else NOTHING_SHOWN
                    connection.execute(sa.update(tasks).where(here).values(model_version=shown))
            ours = sa.and_(copies.c.project == project, copies.c.image_id == image)
            connection.execute(sa.delete(copies).where(ours))
            rows = [
                {"project": project, "task_id": one.id, "image_id": image, "created_at": one.created_at}
                for one in others
            ]
            self.database.upsert(connection, copies, rows)

    def mark_unseen(self, project: ProjectKey, ids: Iterable[ImageId]) -> None:
        """Records that somebody began to work on these images' tasks before they showed anything."""
        with self.database.writing() as connection:
            for page in pages(ids):
                here = sa.and_(tasks.c.project == project, tasks.c.image_id.in_(page))
                connection.execute(sa.update(tasks).where(here).values(model_version=NOTHING_SHOWN))


def there(project: ProjectKey) -> sa.Subquery:
    """The numbers and images of all tasks that are on the server, copies too."""
    pushed = sa.select(tasks.c.task_id, tasks.c.image_id).where(
        tasks.c.project == project, tasks.c.state == "pushed"
    )
    further = sa.select(copies.c.task_id, copies.c.image_id).where(copies.c.project == project)
    return sa.union_all(pushed, further).subquery("there")


def mark_gone(connection: sa.Connection, project: ProjectKey, task_ids: Sequence[int]) -> tuple[int, int]:
    """Marks one page of tasks as deleted; how many tasks and reviews were not marked before.

    A copy takes the place of an image's task.
    """
    here = sa.and_(tasks.c.project == project, tasks.c.task_id.in_(task_ids), tasks.c.state == "pushed")
    copied = sa.and_(copies.c.project == project, copies.c.task_id.in_(task_ids))
    n_reviews = 0
    for table, condition in ((tasks, here), (copies, copied)):
        theirs = sa.and_(
            reviews.c.project == project,
            reviews.c.task_id.in_(task_ids),
            reviews.c.image_id.in_(sa.select(table.c.image_id).where(condition)),
            reviews.c.deleted.is_(False),
        )
        n_reviews += connection.execute(sa.update(reviews).where(theirs).values(deleted=True)).rowcount
    n_copies = connection.execute(sa.delete(copies).where(copied)).rowcount
    gone = sa.update(tasks).where(here).values(state="deleted", former_id=tasks.c.task_id, task_id=None)
    images = connection.scalars(gone.returning(tasks.c.image_id)).all()
    _promote_copies(connection, project, images)
    return len(images) + n_copies, n_reviews


def _promote_copies(connection: sa.Connection, project: ProjectKey, images: Sequence[str]) -> None:
    """Makes copies the tasks of images whose tasks are gone: the first of each."""
    query = (
        sa.select(copies)
        .where(copies.c.project == project, copies.c.image_id.in_(images))
        .order_by(copies.c.task_id.desc())
    )
    first = {row.image_id: row for row in connection.execute(query)}
    for image, row in first.items():
        connection.execute(
            sa.update(tasks)
            .where(tasks.c.project == project, tasks.c.image_id == image)
            .values(task_id=row.task_id, created_at=row.created_at, state="pushed")
        )
        connection.execute(
            sa.delete(copies).where(copies.c.project == project, copies.c.task_id == row.task_id)
        )


def _set_predictions(
    database: Database,
    connection: sa.Connection,
    project: ProjectKey,
    image: ImageId,
    *,
    versions: Sequence[ModelVersion],
) -> None:
    """Makes the catalog say that an image's task has these predictions, and no others."""
    here = sa.and_(task_predictions.c.project == project, task_predictions.c.image_id == image)
    connection.execute(
        sa.delete(task_predictions).where(here, task_predictions.c.model_version.not_in(versions))
    )
    row = connection.execute(
        sa.select(tasks).where(tasks.c.project == project, tasks.c.image_id == image)
    ).one()
    rows = [
        {
            "project": project,
            "image_id": image,
            "model_version": version,
            "state": "pushed",
            "intended_at": row.intended_at,
            "pushed_at": row.pushed_at,
        }
        for version in dict.fromkeys(versions)
    ]
    database.upsert(connection, task_predictions, rows)


def mark_replaced(connection: sa.Connection, project: ProjectKey, numbers: Mapping[ImageId, int]) -> None:
    """Marks the tasks as deleted whose numbers the server has given to one page of other images."""
    query = sa.select(tasks).where(tasks.c.project == project, tasks.c.task_id.in_(numbers.values()))
    rows = [*connection.execute(query), *_select_copies(connection, project, tuple(numbers.values()))]
    mark_gone(connection, project, [row.task_id for row in rows if numbers.get(row.image_id) != row.task_id])


def _select(connection: sa.Connection, project: ProjectKey, numbers: Sequence[int]) -> list[Row]:
    """The tasks that have one of these numbers, and the deleted ones that had."""
    has = tasks.c.task_id.in_(numbers)
    had = sa.and_(tasks.c.former_id.in_(numbers), tasks.c.state == "deleted")
    return list(connection.execute(sa.select(tasks).where(tasks.c.project == project, sa.or_(has, had))))


def _select_copies(connection: sa.Connection, project: ProjectKey, numbers: Sequence[int]) -> list[Row]:
    query = sa.select(copies).where(copies.c.project == project, copies.c.task_id.in_(numbers))
    return list(connection.execute(query))


def _compare(
    rows: Sequence[Row], seen: Mapping[int, SeenTask]
) -> tuple[list[Row], dict[str, int], dict[str, int]]:
    """The tasks that are gone; the numbers of those that are back, and of those whose creation is news."""
    gone: list[Row] = []
    again: dict[str, int] = {}
    dated: dict[str, int] = {}
    taken: set[int] = set()
    for row in rows:
        if row.task_id is None:
            continue
        one = seen[row.task_id]
        if not is_same_task(row.image_id, row.created_at, one):
            gone.append(row)
            continue
        taken.add(one.id)
        if row.created_at != one.created_at:
            dated[row.image_id] = one.id
    for row in rows:
        if row.task_id is not None or row.former_id in taken:
            continue
        one = seen[row.former_id]
        if one.image == row.image_id and is_same_task(row.image_id, row.created_at, one):
            again[row.image_id] = one.id
    return gone, again, dated


def _update(
    connection: sa.Connection, project: ProjectKey, numbers: Mapping[str, int], seen: Mapping[int, SeenTask]
) -> None:
    """Gives tasks their numbers and the moments of their creation."""
    if not numbers:
        return
    values: list[dict[str, Any]] = [
        {"image": image, "number": number, "created": seen[number].created_at}
        for image, number in numbers.items()
    ]
    connection.execute(
        sa.update(tasks)
        .where(tasks.c.project == project, tasks.c.image_id == sa.bindparam("image"))
        .values(task_id=sa.bindparam("number"), created_at=sa.bindparam("created"), state="pushed"),
        values,
    )
