"""The predictions that a project's tasks have, by model version: first an intent, then a fact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from detseg.catalog.arms import select_control
from detseg.catalog.database import Database
from detseg.catalog.quarantine import clear_quarantine
from detseg.catalog.records import NOTHING_SHOWN, ProjectKey
from detseg.catalog.shown import record_shown
from detseg.catalog.tables import reviews, task_predictions, tasks
from detseg.paging import pages
from detseg.types import ImageId, ModelVersion


@dataclass(frozen=True, slots=True)
class TaskPredictions:
    """``catalog.task_predictions``"""

    database: Database
    clock: Callable[[], datetime]

    def versions(self, project: ProjectKey) -> frozenset[ModelVersion]:
        """The model versions that any task of the project has, had, or is about to get."""
        query = (
            sa.select(task_predictions.c.model_version)
            .where(task_predictions.c.project == project)
            .distinct()
        )
        return frozenset(ModelVersion(row.model_version) for row in self.database.read(query))

    def present(
        self, project: ProjectKey, ids: Iterable[ImageId], version: ModelVersion
    ) -> frozenset[ImageId]:
        """Those of the images whose tasks are on the server with this version's prediction."""
        query = (
            sa.select(task_predictions.c.image_id)
            .join(tasks)
            .where(
                task_predictions.c.project == project,
                task_predictions.c.model_version == version,
                task_predictions.c.state == "pushed",
                tasks.c.state == "pushed",
            )
        )
        rows = self.database.read_pages(query, task_predictions.c.image_id, ids)
        return frozenset(ImageId(row.image_id) for row in rows)

    def several(
        self, project: ProjectKey, ids: Iterable[ImageId]
    ) -> dict[ImageId, dict[ModelVersion, datetime]]:
        """Return when each model version's prediction came, of the images whose tasks had more than one of
        them."""
        found: dict[ImageId, dict[ModelVersion, datetime]] = {}
        query = (
            sa.select(task_predictions)
            .where(task_predictions.c.project == project, task_predictions.c.pushed_at.is_not(None))
            .order_by(task_predictions.c.pushed_at)
        )
        for row in self.database.read_pages(query, task_predictions.c.image_id, ids):
            found.setdefault(ImageId(row.image_id), {})[ModelVersion(row.model_version)] = row.pushed_at
        return {image: versions for image, versions in found.items() if len(versions) > 1}

    def pushed_since(
        self, project: ProjectKey, moment: datetime | None, *, added: bool = False
    ) -> tuple[tuple[ImageId, ModelVersion], ...]:
        """Return the predictions that tasks were confirmed to have, at that moment or later (ever for None).

        ``added``: those alone that were given to tasks that were there already.
        """
        query = (
            sa.select(task_predictions.c.image_id, task_predictions.c.model_version)
            .join(tasks)
            .where(
                task_predictions.c.project == project,
                task_predictions.c.state == "pushed",
                tasks.c.state == "pushed",
            )
            .order_by(task_predictions.c.image_id, task_predictions.c.model_version)
        )
        if added:
            query = query.where(task_predictions.c.pushed_at > tasks.c.pushed_at)
        if moment is not None:
            query = query.where(task_predictions.c.pushed_at >= moment)
        rows = self.database.read(query)
        return tuple((ImageId(row.image_id), ModelVersion(row.model_version)) for row in rows)

    def open_push(
        self,
        project: ProjectKey,
        ids: Iterable[ImageId],
        version: ModelVersion,
        *,
        shown: Mapping[ImageId, str] | None = None,
    ) -> tuple[ImageId, ...]:
        """Claims the tasks that do not have this version's prediction; answers their images, in order.

        The caller alone got them, as with ``tasks.open_push``. A prediction that another one replaced may
        come back. Control images are never given one. ``shown`` says what the tasks' pages will show of it.
        """
        now = self.clock()
        wanted = tuple(dict.fromkeys(ids))
        insert = self.database.insert(task_predictions)
        insert = insert.on_conflict_do_update(
            index_elements=["project", "image_id", "model_version"],
            set_={"state": "intent", "intended_at": now, "pushed_at": None},
            where=task_predictions.c.state == "replaced",
        )
        claiming = insert.returning(task_predictions.c.image_id)
        claimed: set[str] = set()
        with self.database.writing() as connection:
            for page in pages(wanted):
                control = set(connection.scalars(select_control(project, page)))
                rows = [
                    {
                        "project": project,
                        "image_id": image,
                        "model_version": version,
                        "state": "intent",
                        "intended_at": now,
                    }
                    for image in page
                    if image not in control
                ]
                if rows:
                    claimed.update(connection.scalars(claiming, rows))
            texts = {image: text for image, text in (shown or {}).items() if image in claimed}
            record_shown(self.database, connection, project, version, texts=texts)
        return tuple(image for image in wanted if image in claimed)

    def confirm_push(
        self, project: ProjectKey, ids: Iterable[ImageId], version: ModelVersion, *, replaces: bool = False
    ) -> None:
        """Records that the tasks have this prediction, in place of all others if it ``replaces``.

        Where nobody has reviewed the image or begun to, it is the version that is shown from now on.
        """
        now = self.clock()
        with self.database.writing() as connection:
            for page in pages(ids):
                here = sa.and_(task_predictions.c.project == project, task_predictions.c.image_id.in_(page))
                intents = sa.update(task_predictions).where(
                    here, task_predictions.c.model_version == version, task_predictions.c.state == "intent"
                )
                connection.execute(intents.values(state="pushed", pushed_at=now))
                if replaces:
                    others = sa.update(task_predictions).where(
                        here,
                        task_predictions.c.model_version != version,
                        task_predictions.c.state == "pushed",
                    )
                    connection.execute(others.values(state="replaced"))
                unseen = ~sa.exists().where(
                    reviews.c.project == project,
                    reviews.c.image_id == tasks.c.image_id,
                    reviews.c.deleted.is_(False),
                )
                shown = sa.update(tasks).where(
                    tasks.c.project == project,
                    tasks.c.image_id.in_(page),
                    tasks.c.model_version != NOTHING_SHOWN,
                    unseen,
                )
                connection.execute(shown.values(model_version=version))
                clear_quarantine(connection, "push", ids=page)

    def record(self, project: ProjectKey, found: Mapping[ImageId, Iterable[ModelVersion]]) -> None:
        """Records predictions that the server's tasks have already."""
        now = self.clock()
        rows = [
            {
                "project": project,
                "image_id": image,
                "model_version": version,
                "state": "pushed",
                "intended_at": now,
                "pushed_at": now,
            }
            for image, versions in found.items()
            for version in set(versions)
        ]
        if rows:
            with self.database.writing() as connection:
                connection.execute(self.database.insert(task_predictions).on_conflict_do_nothing(), rows)

    def open_intents(self, project: ProjectKey) -> dict[tuple[ImageId, ModelVersion], datetime]:
        """Return what was claimed and never confirmed, sorted, and when it was claimed."""
        query = (
            sa.select(task_predictions)
            .where(task_predictions.c.project == project, task_predictions.c.state == "intent")
            .order_by(task_predictions.c.image_id, task_predictions.c.model_version)
        )
        return {
            (ImageId(row.image_id), ModelVersion(row.model_version)): row.intended_at
            for row in self.database.read(query)
        }

    def drop(
        self,
        project: ProjectKey,
        ids: Iterable[ImageId],
        version: ModelVersion,
        *,
        state: Literal["intent", "pushed"] = "intent",
    ) -> int:
        """Gives predictions free again that were claimed, or that are confirmed to be ``pushed``, because the
        server does not have them; answers how many."""
        dropped = 0
        with self.database.writing() as connection:
            for page in pages(ids):
                dropped += connection.execute(
                    sa.delete(task_predictions).where(
                        task_predictions.c.project == project,
                        task_predictions.c.image_id.in_(page),
                        task_predictions.c.model_version == version,
                        task_predictions.c.state == state,
                    )
                ).rowcount
        return dropped
