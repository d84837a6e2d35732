"""The runs of the flows, and the cursors that say how far they came."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.catalog.records import Run
from detseg.catalog.tables import cursors, runs
from detseg.types import ModelVersion


@dataclass(frozen=True, slots=True)
class Runs:
    """``catalog.runs``"""

    database: Database
    clock: Callable[[], datetime]

    def start(self, flow: str, version: ModelVersion | None = None) -> int:
        """Records that a run of that flow began; answers its number."""
        values = {
            "flow": flow,
            "started_at": self.clock(),
            "model_version": version,
            "status": "running",
            "counts": "{}",
        }
        with self.database.writing() as connection:
            return connection.execute(sa.insert(runs).returning(runs.c.id), values).scalar_one()

    def end(self, run: int, status: Literal["done", "failed"], counts: Mapping[str, int]) -> None:
        """Records how a run ended and what it counted."""
        with self.database.writing() as connection:
            connection.execute(
                sa.update(runs)
                .where(runs.c.id == run)
                .values(status=status, ended_at=self.clock(), counts=json.dumps(dict(counts)))
            )

    def latest(self, limit: int = 20) -> tuple[Run, ...]:
        """The last runs, newest first."""
        with self.database.reading() as connection:
            rows = connection.execute(sa.select(runs).order_by(runs.c.id.desc()).limit(limit)).all()
        return tuple(
            Run(
                id=row.id,
                flow=row.flow,
                started_at=row.started_at,
                ended_at=row.ended_at,
                model_version=row.model_version,
                status=row.status,
                counts=json.loads(row.counts),
            )
            for row in rows
        )


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
