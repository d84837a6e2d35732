"""The tasks that show a model's regions and wait for people, without what it takes to draw them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from detseg.catalog.database import Database, Row
from detseg.catalog.records import ProjectKey, WaitingTask
from detseg.catalog.region_json import decode_outlines, relabel
from detseg.catalog.tables import arms, locations, predictions, reviews, shown, task_predictions, tasks
from detseg.taxonomy import NO_CHANGES, Relabeling
from detseg.types import ImageId, ModelVersion


@dataclass(frozen=True, slots=True)
class Waiting:
    """``catalog.waiting``"""

    database: Database
    relabeling: Relabeling = NO_CHANGES

    def of_project(self, project: ProjectKey) -> Iterator[WaitingTask]:
        """The tasks in the arm "assisted" that have no review of any kind, sorted by image.

        Holds one page in memory; boxes and masks are not decoded.
        """
        rows = self.database.read_along(_select(project), tasks.c.image_id)
        return (_waiting(row, self.relabeling) for row in rows)


def _select(project: ProjectKey) -> sa.Select[tuple[object, ...]]:
    uri = (
        sa.select(sa.func.min(locations.c.uri))
        .where(locations.c.image_id == tasks.c.image_id)
        .scalar_subquery()
    )
    prediction = sa.and_(
        predictions.c.image_id == tasks.c.image_id, predictions.c.model_version == tasks.c.model_version
    )
    on_server = sa.and_(
        task_predictions.c.project == tasks.c.project,
        task_predictions.c.image_id == tasks.c.image_id,
        task_predictions.c.model_version == tasks.c.model_version,
        task_predictions.c.state == "pushed",
    )
    as_sent = sa.and_(
        shown.c.project == tasks.c.project,
        shown.c.image_id == tasks.c.image_id,
        shown.c.model_version == tasks.c.model_version,
    )
    in_experiment = sa.exists().where(
        arms.c.project == tasks.c.project, arms.c.image_id == tasks.c.image_id, arms.c.arm != "assisted"
    )
    reviewed = sa.exists().where(
        reviews.c.project == tasks.c.project,
        reviews.c.image_id == tasks.c.image_id,
        reviews.c.deleted.is_(False),
    )
    columns = (tasks.c.image_id, tasks.c.task_id, tasks.c.model_version, predictions.c.regions, shown.c.shown)
    return (
        sa.select(*columns, uri.label("uri"))
        .join(predictions, prediction)
        .join(task_predictions, on_server)
        .outerjoin(shown, as_sent)
        .where(tasks.c.project == project, tasks.c.state == "pushed", ~in_experiment, ~reviewed)
    )


def _waiting(row: Row, relabeling: Relabeling) -> WaitingTask:
    return WaitingTask(
        image=ImageId(row.image_id),
        uri=row.uri or row.image_id,
        task_id=row.task_id,
        model_version=ModelVersion(row.model_version),
        regions=decode_outlines(relabel(row.regions, relabeling)),
        shown=row.shown,
    )
