"""The images of a project that are part of an experiment, and their part in it. Nobody but the catalog knows.

An image is assigned in the transaction that claims its task, and stays what it is from then on, whatever
becomes of the task and of the settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.catalog.records import Assignment, ProjectKey
from detseg.catalog.region_json import decode_decoys, decode_labels, encode_decoys, relabel
from detseg.catalog.tables import arms, tasks
from detseg.taxonomy import NO_CHANGES, Relabeling
from detseg.types import ARMS, Arm, ImageId, RegionId


@dataclass(frozen=True, slots=True)
class Arms:
    """``catalog.arms``"""

    database: Database
    relabeling: Relabeling = NO_CHANGES

    def of_images(self, project: ProjectKey, ids: Iterable[ImageId]) -> dict[ImageId, Assignment]:
        """The assignments of those images; images in the arm "assisted" are left out."""
        found: dict[ImageId, Assignment] = {}
        query = sa.select(arms).where(arms.c.project == project)
        for row in self.database.read_pages(query, arms.c.image_id, ids):
            image = ImageId(row.image_id)
            found[image] = Assignment(image, row.arm, decode_decoys(relabel(row.decoys, self.relabeling)))
        return found

    def record(self, project: ProjectKey, assignments: Iterable[Assignment]) -> None:
        """Records the arms of images whose tasks are there. Images that have one keep it."""
        with self.database.writing() as connection:
            record_arms(self.database, connection, project, tuple(assignments))

    def labels(self, project: ProjectKey, ids: Iterable[ImageId]) -> dict[ImageId, dict[RegionId, str]]:
        """The label of every decoy on those images, by its id; images without any are left out."""
        query = sa.select(arms).where(arms.c.project == project, arms.c.arm == "decoy")
        return {
            ImageId(row.image_id): decode_labels(relabel(row.decoys, self.relabeling))
            for row in self.database.read_pages(query, arms.c.image_id, ids)
        }

    def counts(self, project: ProjectKey) -> dict[Arm, int]:
        """Count the project's tasks by arm, deleted ones left out; every arm is a key."""
        query = (
            sa.select(arms.c.arm, sa.func.count().label("n"))
            .select_from(
                tasks.outerjoin(
                    arms, sa.and_(arms.c.project == tasks.c.project, arms.c.image_id == tasks.c.image_id)
                )
            )
            .where(tasks.c.project == project, tasks.c.state == "pushed")
            .group_by(arms.c.arm)
        )
        counted = {row.arm or "assisted": row.n for row in self.database.read(query)}
        return {arm: counted.get(arm, 0) for arm in ARMS}


def record_arms(
    database: Database, connection: sa.Connection, project: ProjectKey, assignments: Sequence[Assignment]
) -> None:
    """Records arms inside the transaction that claims the tasks. Images that have one keep it."""
    rows = [
        {"project": project, "image_id": one.image, "arm": one.arm, "decoys": encode_decoys(one.decoys)}
        for one in assignments
        if one.arm != "assisted"
    ]
    if rows:
        connection.execute(database.insert(arms).on_conflict_do_nothing(), rows)


def select_control(project: ProjectKey, ids: Sequence[ImageId] | None = None) -> sa.Select[str]:
    """The control images among those, or all of the project's."""
    query = sa.select(arms.c.image_id).where(arms.c.project == project, arms.c.arm == "control")
    return query if ids is None else query.where(arms.c.image_id.in_(ids))
