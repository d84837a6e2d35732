"""The tasks of a project, by image. A push is an intent first, then a fact of the server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from detseg.catalog.arms import record_arms, select_control
from detseg.catalog.database import Database, Row
from detseg.catalog.quarantine import clear_quarantine
from detseg.catalog.records import NOTHING_SHOWN, Assignment, ProjectKey, Task, TaskState
from detseg.catalog.server_tasks import mark_replaced, there
from detseg.catalog.shown import record_shown
from detseg.catalog.tables import locations, reviews, task_predictions, tasks
from detseg.errors import CatalogError
from detseg.paging import pages
from detseg.types import ImageId, ModelVersion, SeenTask


@dataclass(frozen=True, slots=True)
class Tasks:
    """``catalog.tasks``"""

    database: Database
    clock: Callable[[], datetime]

    def open_push(
        self,
        project: ProjectKey,
        ids: Iterable[ImageId],
        version: ModelVersion,
        *,
        restore: bool = False,
        arms: Sequence[Assignment] = (),
        shown: Mapping[ImageId, str] | None = None,
    ) -> tuple[ImageId, ...]:
        """Claims the images that this project has no task for; answers the claimed ones, in their order.

        ``arms`` are recorded with the intents of those that never had a task; all others keep theirs.
        ``shown`` says what their pages will show of the predictions.

        They are intents from now on, and the caller is the only one who got them: another process that asks
        for the same images gets none of them. What was deleted on the server stays deleted, unless it is to
        be restored.
        """
        wanted = tuple(dict.fromkeys(ids))
        if not wanted:
            return ()
        now = self.clock()
        rows = [
            {
                "project": project,
                "image_id": image,
                "state": "intent",
                "model_version": version,
                "intended_at": now,
            }
            for image in wanted
        ]
        insert = self.database.insert(tasks).on_conflict_do_nothing().returning(tasks.c.image_id)
        with self.database.writing() as connection:
            claimed = set(connection.scalars(insert, rows))
            record_arms(self.database, connection, project, [one for one in arms if one.image in claimed])
            if restore:
                fresh = {"state": "intent", "pushed_at": None, "intended_at": now}
                values = {**fresh, "model_version": version}
                claimed |= _reopen_deleted(connection, project, wanted, values)
            texts = {image: text for image, text in (shown or {}).items() if image in claimed}
            record_shown(self.database, connection, project, version, texts=texts)
        return tuple(image for image in wanted if image in claimed)

    def confirm_push(
        self,
        project: ProjectKey,
        task_ids: Mapping[ImageId, int],
        *,
        created_by: datetime | None = None,
        without_prediction: bool = False,
    ) -> None:
        """Records the server's task ids for intents. Confirming twice with the same ids changes nothing.

        ``created_by`` is when they were there at the latest, by the server's clock; ``without_prediction``:
        they came without them, as control images always do. Whatever else had one of these numbers is
        deleted. Raises CatalogError for an image that was never intended, or is another task already.
        """
        now = self.clock()
        with self.database.writing() as connection:
            for page in pages(task_ids):
                query = sa.select(tasks).where(tasks.c.project == project, tasks.c.image_id.in_(page))
                rows = {row.image_id: row for row in connection.execute(query)}
                confirmed = [
                    image for image in page if not _is_confirmed(rows.get(image), image, task_ids[image])
                ]
                if confirmed:
                    mark_replaced(connection, project, {image: task_ids[image] for image in confirmed})
                    if not without_prediction:
                        control = set(connection.scalars(select_control(project, page)))
                        rows_with = [rows[image] for image in confirmed if image not in control]
                        _record_predictions(self.database, connection, rows_with, now)
                    connection.execute(
                        sa.update(tasks)
                        .where(tasks.c.project == project, tasks.c.image_id == sa.bindparam("image"))
                        .values(
                            task_id=sa.bindparam("task"),
                            created_at=created_by,
                            state="pushed",
                            pushed_at=now,
                        ),
                        [{"image": image, "task": task_ids[image]} for image in confirmed],
                    )
                clear_quarantine(connection, "push", ids=page)

    def open_intents(self, project: ProjectKey) -> dict[ImageId, datetime]:
        """Images that were claimed and never confirmed, sorted, and when: ask the server before sending."""
        query = (
            sa.select(tasks.c.image_id, tasks.c.intended_at)
            .where(tasks.c.project == project, tasks.c.state == "intent")
            .order_by(tasks.c.image_id)
        )
        return {ImageId(row.image_id): row.intended_at for row in self.database.read(query)}

    def undated(self, project: ProjectKey) -> tuple[int, ...]:
        """The server's ids, ascending, of the tasks that are there and of which nobody knows since when."""
        query = (
            sa.select(tasks.c.task_id)
            .where(tasks.c.project == project, tasks.c.state == "pushed", tasks.c.created_at.is_(None))
            .order_by(tasks.c.task_id)
        )
        return tuple(row.task_id for row in self.database.read(query))

    def drop_intents(self, project: ProjectKey, ids: Iterable[ImageId]) -> int:
        """Gives claimed images free again, because the server has no task for them; answers how many.

        What was to be restored is a deleted task again.
        """
        dropped = 0
        with self.database.writing() as connection:
            for page in pages(ids):
                open_ones = sa.and_(
                    tasks.c.project == project, tasks.c.image_id.in_(page), tasks.c.state == "intent"
                )
                restored = sa.update(tasks).where(open_ones, tasks.c.former_id.is_not(None))
                again = connection.execute(restored.values(state="deleted"))
                dropped += again.rowcount + connection.execute(sa.delete(tasks).where(open_ones)).rowcount
        return dropped

    def without_prediction(self, project: ProjectKey) -> tuple[ImageId, ...]:
        """The images whose tasks never had a prediction, and should have one; sorted."""
        query = (
            sa.select(tasks.c.image_id)
            .where(
                tasks.c.project == project,
                tasks.c.state == "pushed",
                ~sa.exists().where(
                    task_predictions.c.project == project, task_predictions.c.image_id == tasks.c.image_id
                ),
                tasks.c.image_id.not_in(select_control(project)),
                tasks.c.model_version != NOTHING_SHOWN,
            )
            .order_by(tasks.c.image_id)
        )
        return tuple(ImageId(row.image_id) for row in self.database.read(query))

    def count_begun_without(self, project: ProjectKey) -> int:
        """Count the tasks that people reviewed and that were to show a prediction and had none when
        they began."""
        of_people = sa.exists().where(
            reviews.c.project == project,
            reviews.c.image_id == tasks.c.image_id,
            reviews.c.deleted.is_(False),
            reviews.c.annotation_id > 0,
        )
        begun = (tasks.c.state == "pushed", tasks.c.model_version == NOTHING_SHOWN, of_people)
        query = sa.select(sa.func.count()).select_from(tasks).where(tasks.c.project == project, *begun)
        with self.database.reading() as connection:
            return connection.scalar(query) or 0

    def show(self, project: ProjectKey, shown: Mapping[ImageId, ModelVersion]) -> None:
        """Records which version's prediction people worked on, of tasks that show any."""
        with self.database.writing() as connection:
            for image, version in sorted(shown.items()):
                one = sa.update(tasks).where(
                    tasks.c.project == project,
                    tasks.c.image_id == image,
                    tasks.c.model_version != NOTHING_SHOWN,
                )
                connection.execute(one.values(model_version=version))

    def ids(self, project: ProjectKey, *, after: int = 0, last: int | None = None) -> tuple[int, ...]:
        """The server's ids of the tasks that are there, ascending: from ``after`` (not it) to ``last``."""
        live = there(project)
        query = sa.select(live.c.task_id).where(live.c.task_id > after).order_by(live.c.task_id)
        if last is not None:
            query = query.where(live.c.task_id <= last)
        return tuple(row.task_id for row in self.database.read(query))

    def last_id(self, project: ProjectKey) -> int:
        """The highest of the server's ids of the tasks that are there; 0 without tasks."""
        with self.database.reading() as connection:
            return connection.scalar(sa.select(sa.func.max(there(project).c.task_id))) or 0

    def overwritten(self, project: ProjectKey) -> dict[int, ImageId]:
        """The images that are nowhere any more, because other bytes are in their places, by the server's ids
        of their tasks, ascending. What was not listed any more is still taken to be where it was.
        """
        query = (
            sa.select(tasks.c.task_id, tasks.c.image_id)
            .where(
                tasks.c.project == project,
                tasks.c.state == "pushed",
                ~sa.exists().where(locations.c.image_id == tasks.c.image_id),
            )
            .order_by(tasks.c.task_id)
        )
        return {row.task_id: ImageId(row.image_id) for row in self.database.read(query)}

    def import_existing(
        self, project: ProjectKey, found: Mapping[ImageId, tuple[SeenTask, ModelVersion]]
    ) -> None:
        """Records tasks that another catalog pushed, and the model version that they show."""
        now = self.clock()
        rows = [
            {
                "project": project,
                "image_id": image,
                "task_id": task.id,
                "created_at": task.created_at,
                "state": "pushed",
                "model_version": version,
                "intended_at": now,
                "pushed_at": now,
            }
            for image, (task, version) in found.items()
        ]
        if rows:
            with self.database.writing() as connection:
                for page in pages(found):
                    mark_replaced(connection, project, {image: found[image][0].id for image in page})
                connection.execute(self.database.insert(tasks).on_conflict_do_nothing(), rows)

    def of_project(self, project: ProjectKey) -> Iterator[Task]:
        """The project's tasks in every state, sorted by image. Holds one page in memory."""
        query = sa.select(tasks).where(tasks.c.project == project)
        return map(_task, self.database.read_along(query, tasks.c.image_id, size=5_000))

    def pushed_since(self, project: ProjectKey, moment: datetime | None) -> tuple[ImageId, ...]:
        """The images whose tasks were confirmed at that moment or later (all for None), deleted ones too."""
        query = sa.select(tasks.c.image_id).where(tasks.c.project == project, tasks.c.pushed_at.is_not(None))
        if moment is not None:
            query = query.where(tasks.c.pushed_at >= moment)
        rows = self.database.read(query.order_by(tasks.c.image_id))
        return tuple(ImageId(row.image_id) for row in rows)

    def of_images(self, project: ProjectKey, ids: Iterable[ImageId]) -> dict[ImageId, Task]:
        """The tasks of those images, whatever their states; images that were never intended are left out."""
        query = sa.select(tasks).where(tasks.c.project == project)
        rows = self.database.read_pages(query, tasks.c.image_id, ids)
        return {ImageId(row.image_id): _task(row) for row in rows}

    def model_versions(self, project: ProjectKey, ids: Iterable[ImageId]) -> dict[ImageId, ModelVersion]:
        """The model versions of ``of_images``."""
        query = sa.select(tasks.c.image_id, tasks.c.model_version).where(tasks.c.project == project)
        rows = self.database.read_pages(query, tasks.c.image_id, ids)
        return {ImageId(row.image_id): ModelVersion(row.model_version) for row in rows}

    def count(self, project: ProjectKey, state: TaskState) -> int:
        """Count the project's tasks in that state."""
        query = (
            sa.select(sa.func.count())
            .select_from(tasks)
            .where(tasks.c.project == project, tasks.c.state == state)
        )
        with self.database.reading() as connection:
            return connection.scalar(query) or 0


def _reopen_deleted(
    connection: sa.Connection, project: ProjectKey, ids: Sequence[ImageId], values: Mapping[str, object]
) -> set[str]:
    """Makes intents of tasks that were deleted on the server. Rows stay, since reviews point to them."""
    reopened: set[str] = set()
    for page in pages(ids):
        deleted = sa.and_(tasks.c.project == project, tasks.c.image_id.in_(page), tasks.c.state == "deleted")
        statement = sa.update(tasks).where(deleted).values(**values).returning(tasks.c.image_id)
        again = connection.scalars(statement).all()
        connection.execute(
            sa.delete(task_predictions).where(
                task_predictions.c.project == project, task_predictions.c.image_id.in_(again)
            )
        )
        reopened.update(again)
    return reopened


def _record_predictions(
    database: Database, connection: sa.Connection, confirmed: Sequence[Row], now: datetime
) -> None:
    """The predictions that new tasks came with."""
    if not confirmed:
        return
    values = [
        {
            "project": row.project,
            "image_id": row.image_id,
            "model_version": row.model_version,
            "state": "pushed",
            "intended_at": row.intended_at,
            "pushed_at": now,
        }
        for row in confirmed
    ]
    connection.execute(database.insert(task_predictions).on_conflict_do_nothing(), values)


def _is_confirmed(row: Row | None, image: ImageId, task_id: int) -> bool:
    if row is None:
        raise CatalogError(
            f"task {task_id} was confirmed for image {image[:19]}, which was never intended: "
            "open the push first"
        )
    if row.task_id not in (None, task_id):
        raise CatalogError(
            f"image {image[:19]} is task {row.task_id} already, now task {task_id} was confirmed: "
            "the project holds it twice, delete one of the two tasks in Label Studio"
        )
    return row.task_id is not None


def _task(row: Row) -> Task:
    return Task(
        project=ProjectKey(row.project),
        image=ImageId(row.image_id),
        task_id=row.task_id,
        state=row.state,
        model_version=ModelVersion(row.model_version),
        pushed_at=row.pushed_at,
        created_at=row.created_at,
    )
