"""The judgements that used a split of a dataset version: after many looks it judges nobody any more."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.catalog.records import Look
from detseg.catalog.tables import looks
from detseg.files import parse_json

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Looks:
    """``catalog.looks``"""

    database: Database
    clock: Callable[[], datetime]

    def record(
        self, dataset_id: str, split: str, *, candidate: str, present: str, result: Mapping[str, Any]
    ) -> None:
        """Record a look. The same two models in the same split are one look, with its first date.

        No look is older than those before it, also where the clock was set back: their order counts.
        ``candidate`` and ``present`` are texts of at most 200 letters that are equal only for equal models.
        """
        row: dict[str, Any] = {
            "dataset_id": dataset_id,
            "split": split,
            "candidate": candidate,
            "present": present,
            "result": json.dumps(result, ensure_ascii=False),
        }
        statement = self.database.insert(looks)
        key = [column.name for column in looks.primary_key]
        with self.database.writing_alone() as connection:
            last = connection.scalar(sa.select(sa.func.max(looks.c.at)))
            now = self.clock()
            row["at"] = now if last is None else max(now, last + _TICK)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=key, set_={"result": statement.excluded["result"]}
                ),
                row,
            )

    def of_split(self, dataset_id: str, split: str) -> tuple[Look, ...]:
        """Every look at that split, the oldest first."""
        query = (
            sa.select(looks)
            .where(looks.c.dataset_id == dataset_id, looks.c.split == split)
            .order_by(looks.c.at, looks.c.candidate, looks.c.present)
        )
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(
            Look(**{**row._asdict(), "result": parse_json(row.result, f"a look at {split}")}) for row in rows
        )
