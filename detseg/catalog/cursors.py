"""The marks that say how far the runs came."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.catalog.tables import cursors


@dataclass(frozen=True, slots=True)
class Cursors:
    """``catalog.cursors``: names and texts, for instance how far a project was collected."""

    database: Database

    def get(self, name: str) -> str | None:
        """The value under that name; None if it was never set."""
        with self.database.reading() as connection:
            return connection.scalar(sa.select(cursors.c.value).where(cursors.c.name == name))

    def set(self, name: str, value: str) -> None:
        """Sets the value under that name."""
        with self.database.writing() as connection:
            self.database.upsert(connection, cursors, [{"name": name, "value": value}])
