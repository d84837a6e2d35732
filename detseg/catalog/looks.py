"""The judgements that used a split of a dataset version: after many looks it judges nobody any more."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from detseg.catalog.database import Database, Row
from detseg.catalog.records import Look
from detseg.catalog.tables import looks
from detseg.files import parse_json
from detseg.types import ImageId

_TICK = timedelta(microseconds=1)
_START = 8


@dataclass(frozen=True, slots=True)
class Looks:
    """``catalog.looks``"""

    database: Database
    clock: Callable[[], datetime]

    def record(
        self,
        dataset_id: str,
        split: str,
        *,
        candidate: str,
        present: str,
        result: Mapping[str, Any],
        images: Collection[ImageId] = (),
    ) -> None:
        """Record a look at those images. The same two models in the same split are one, with its first date.

        No look is older than those before it, also where the clock was set back: their order counts.
        ``candidate`` and ``present`` are texts of at most 200 letters that are equal only for equal models.
        """
        row: dict[str, Any] = {
            "dataset_id": dataset_id,
            "split": split,
            "candidate": candidate,
            "present": present,
            "result": json.dumps(result, ensure_ascii=False),
            "images": b"".join(sorted(map(hash_start, images))),
        }
        statement = self.database.insert(looks)
        key = [column.name for column in looks.primary_key]
        with self.database.writing_alone() as connection:
            last = connection.scalar(sa.select(sa.func.max(looks.c.at)))
            now = self.clock()
            row["at"] = now if last is None else max(now, last + _TICK)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=key, set_={name: statement.excluded[name] for name in ("result", "images")}
                ),
                row,
            )

    def all(self) -> tuple[Look, ...]:
        """Every look, the oldest first."""
        query = sa.select(looks).order_by(looks.c.at, looks.c.candidate, looks.c.present)
        return tuple(map(_look, self.database.read(query)))


def hash_start(image: ImageId) -> bytes:
    """The first eight bytes of an image's hash: two of a billion images share them once in 40 times."""
    return bytes.fromhex(image.removeprefix("sha256:")[: 2 * _START])


def _look(row: Row) -> Look:
    result = parse_json(row.result, f"a look at {row.split}")
    images = None
    if row.images is not None:
        images = frozenset(row.images[at : at + _START] for at in range(0, len(row.images), _START))
    return Look(**{**row._asdict(), "result": result, "images": images})
