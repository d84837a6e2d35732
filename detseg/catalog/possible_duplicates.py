"""Possible duplicates: sent again because the first request seemed lost, they may come to be there twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.catalog.records import PossibleDuplicate, ProjectKey
from detseg.catalog.tables import possible_duplicates
from detseg.types import ImageId, ModelVersion


@dataclass(frozen=True, slots=True)
class PossibleDuplicates:
    """``catalog.possible_duplicates``"""

    database: Database
    clock: Callable[[], datetime]

    def record(
        self, project: ProjectKey, ids: Iterable[ImageId], version: ModelVersion | None = None
    ) -> None:
        """Records images whose task, or whose task's prediction of that version, may come twice."""
        now = self.clock()
        rows = [
            {"project": project, "image_id": image, "model_version": version or "", "since": now}
            for image in dict.fromkeys(ids)
        ]
        with self.database.writing() as connection:
            self.database.upsert(connection, possible_duplicates, rows)

    def all(self, project: ProjectKey) -> tuple[PossibleDuplicate, ...]:
        """The project's, sorted by image and version."""
        query = (
            sa.select(possible_duplicates)
            .where(possible_duplicates.c.project == project)
            .order_by(possible_duplicates.c.image_id, possible_duplicates.c.model_version)
        )
        return tuple(
            PossibleDuplicate(ImageId(row.image_id), ModelVersion(row.model_version) or None, row.since)
            for row in self.database.read(query)
        )

    def forget(self, project: ProjectKey, before: datetime) -> int:
        """Remove those from before that moment; returns how many they were."""
        with self.database.writing() as connection:
            return connection.execute(
                sa.delete(possible_duplicates).where(
                    possible_duplicates.c.project == project, possible_duplicates.c.since < before
                )
            ).rowcount
