"""The models that were trained, each under a name of its own, with what it was made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import count

import sqlalchemy as sa

from detseg.catalog.database import Database, Row
from detseg.catalog.records import RegisteredModel, TrainedModel
from detseg.catalog.tables import models, promotions
from detseg.files import parse_json

LONGEST_NAME = 100
"""The most letters of a name as it is wished; it may get a number."""


@dataclass(frozen=True, slots=True)
class Models:
    """``catalog.models``"""

    database: Database
    clock: Callable[[], datetime]

    def register(self, wish: str, model: TrainedModel) -> RegisteredModel:
        """Register a trained model under the name ``wish``, or the first of ``wish-2``, ``wish-3``, ... free.

        The same files in the same place are registered once, and keep the name that they have, also if they
        were removed meanwhile.
        """
        here = sa.and_(models.c.digest == model.digest, models.c.path == model.path)
        with self.database.writing_alone() as connection:
            known = connection.execute(sa.select(models).where(here)).one_or_none()
            if known is None:
                taken = frozenset(connection.scalars(sa.select(models.c.name)))
                name = next(one for one in _names(wish) if one not in taken)
                values = {
                    **asdict(model),
                    "figures": json.dumps(model.figures, ensure_ascii=False),
                    "name": name,
                    "registered_at": self.clock(),
                }
                connection.execute(sa.insert(models), values)
            elif known.removed_at is not None:
                connection.execute(sa.update(models).where(here).values(removed_at=None))
            return _model(connection.execute(sa.select(models).where(here)).one())

    def get(self, name: str) -> RegisteredModel | None:
        """The model of that name, also a removed one."""
        return self._find(models.c.name == name)

    def at(self, path: str, digest: str) -> RegisteredModel | None:
        """The model that was registered with that content in that place, also a removed one."""
        return self._find(models.c.path == path, models.c.digest == digest)

    def _find(self, *where: sa.ColumnElement[bool]) -> RegisteredModel | None:
        rows = self.database.read(sa.select(models).where(*where))
        return _model(rows[0]) if rows else None

    def all(self, *, removed: bool = False) -> tuple[RegisteredModel, ...]:
        """Every model, the oldest first; with those that were removed where that is asked."""
        query = sa.select(models).order_by(models.c.registered_at, models.c.name)
        if not removed:
            query = query.where(models.c.removed_at.is_(None))
        return tuple(map(_model, self.database.read(query)))

    def remove(self, name: str) -> bool:
        """Take a model out of the list; False for the one that is promoted, which stays.

        Its entry is kept, for those that descend from it and for the log of promotions.
        """
        last = sa.select(promotions.c.model).order_by(promotions.c.number.desc()).limit(1)
        gone = sa.update(models).where(models.c.name == name, models.c.removed_at.is_(None))
        with self.database.writing_alone() as connection:
            if connection.scalar(last) == name:
                return False
            connection.execute(gone.values(removed_at=self.clock()))
            return True


def _names(wish: str) -> Iterator[str]:
    stem = wish[:LONGEST_NAME] or "model"
    yield stem
    yield from (f"{stem}-{n}" for n in count(2))


def _model(row: Row) -> RegisteredModel:
    values = row._asdict()
    return RegisteredModel(**{**values, "figures": parse_json(row.figures, f"the figures of {row.name}")})
