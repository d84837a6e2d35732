"""The judgements that used a split of a dataset version: after many looks it judges nobody any more."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.catalog.records import Look
from detseg.catalog.tables import looks
from detseg.files import parse_json


@dataclass(frozen=True, slots=True)
class Looks:
    """``catalog.looks``"""

    database: Database
    clock: Callable[[], datetime]

    def record(
        self, dataset_id: str, split: str, *, candidate: str, present: str, result: Mapping[str, Any]
    ) -> None:
        """Record a look. The same two models in the same split are one look, with its first date.

        ``candidate`` and ``present`` are texts of at most 200 letters that are equal only for equal models.
        """
        row = {
            "dataset_id": dataset_id,
            "split": split,
            "candidate": candidate,
            "present": present,
            "at": self.clock(),
            "result": json.dumps(result, ensure_ascii=False),
        }
        statement = self.database.insert(looks)
        key = [column.name for column in looks.primary_key]
        with self.database.writing() as connection:
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
