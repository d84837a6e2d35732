"""The log of promotions: which model pre-annotates from when on, and why. Entries are never changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from detseg.catalog.database import Database, Row
from detseg.catalog.records import Promotion, PromotionKind
from detseg.catalog.tables import models, promotions
from detseg.errors import CatalogError
from detseg.files import parse_json


@dataclass(frozen=True, slots=True)
class Promotions:
    """``catalog.promotions``"""

    database: Database
    clock: Callable[[], datetime]

    def promote(
        self,
        model: str,
        kind: PromotionKind = "promoted",
        *,
        after: int | None = None,
        judgement: Mapping[str, Any] | None = None,
        box_thresholds: Mapping[str, float] | None = None,
        mask_thresholds: Mapping[str, float] | None = None,
        score_maps: Mapping[str, Sequence[float]] | None = None,
    ) -> Promotion:
        """Make a registered model the present one, with the lowest scores by class that its answers need, and
        the numbers that its scores are mapped by.

        Nothing is added where it is that already, with these thresholds and maps. ``after`` is the number of
        the last entry as the caller knows it, 0 for none; without it, whatever is the last one. CatalogError
        where another entry came meanwhile, or the model was removed.
        """
        values = {
            "model": model,
            "kind": kind,
            "judgement": None if judgement is None else _encode(judgement),
            "box_thresholds": _encode(box_thresholds or {}),
            "mask_thresholds": _encode(mask_thresholds or {}),
            "score_maps": _encode(score_maps or {}),
        }
        with self.database.writing_alone() as connection:
            present = connection.execute(_LAST).one_or_none()
            if present is not None and all(getattr(present, name) == values[name] for name in _SAME):
                return _promotion(present)
            if _is_behind(after, present):
                raise CatalogError(
                    f"{model} was not promoted: {_named(present)} has become the present model meanwhile, "
                    "and it was judged beside another one; run it again"
                )
            if connection.scalar(sa.select(models.c.removed_at).where(models.c.name == model)) is not None:
                raise CatalogError(f"{model} was not promoted: it has been removed meanwhile")
            return self._add(connection, values)

    def roll_back(self, *, after: int | None = None) -> Promotion | None:
        """Return to the promotion before the present one, or to the models of the settings where none is.

        Those of models that were removed since are passed over. None where no model is promoted. ``after`` is
        as in ``promote``: CatalogError where another entry came meanwhile.
        """
        with self.database.writing_alone() as connection:
            present = connection.execute(_LAST).one_or_none()
            if _is_behind(after, present):
                raise CatalogError(
                    f"nothing was taken back: {_named(present)} has become the present model meanwhile; run "
                    "it again, if that is to be taken back"
                )
            standing = _standing(connection)
            if not standing:
                return None
            before = standing[-2]._asdict() if len(standing) > 1 else _NOTHING
            values = {name: before[name] for name in (*_SAME, "judgement")}
            return self._add(connection, {**values, "kind": "rolled back"})

    def present(self) -> Promotion | None:
        """The last entry; None where nothing was ever promoted. Its model is None after the last rollback."""
        rows = self.database.read(_LAST)
        return _promotion(rows[0]) if rows else None

    def last_number(self) -> int:
        """The number of the last entry; 0 where nothing was ever promoted."""
        with self.database.reading() as connection:
            return connection.scalar(sa.select(sa.func.max(promotions.c.number))) or 0

    def before(self) -> Promotion | None:
        """The promotion that a rollback would return to; None where that is the models of the settings."""
        with self.database.reading() as connection:
            standing = _standing(connection)
        return _promotion(standing[-2]) if len(standing) > 1 else None

    def all(self) -> tuple[Promotion, ...]:
        """The whole log, the oldest entry first."""
        return tuple(map(_promotion, self.database.read(_ALL)))

    def _add(self, connection: sa.Connection, values: Mapping[str, Any]) -> Promotion:
        statement = sa.insert(promotions).returning(*promotions.c)
        return _promotion(connection.execute(statement, {**values, "at": self.clock()}).one())


_ALL = sa.select(promotions).order_by(promotions.c.number)
_LAST = sa.select(promotions).order_by(promotions.c.number.desc()).limit(1)
_SAME = ("model", "box_thresholds", "mask_thresholds", "score_maps")
_NOTHING: dict[str, Any] = {
    "model": None,
    "judgement": None,
    "box_thresholds": "{}",
    "mask_thresholds": "{}",
    "score_maps": "{}",
}


def _standing(connection: sa.Connection) -> list[Row]:
    """The promotions that no rollback took back, the present one last; without removed models before it."""
    standing: list[Row] = []
    for row in connection.execute(_ALL):
        if row.kind != "rolled back":
            standing.append(row)
            continue
        del standing[-1:]
        while standing and standing[-1].model != row.model:
            del standing[-1]
    removed = frozenset(connection.scalars(sa.select(models.c.name).where(models.c.removed_at.is_not(None))))
    return [row for row in standing[:-1] if row.model not in removed] + standing[-1:]


def _is_behind(after: int | None, present: Row | None) -> bool:
    """Tell whether another entry came since the caller looked; not for a caller that does not ask."""
    return after is not None and after != (present.number if present else 0)


def _named(present: Row | None) -> str:
    return (present.model if present else None) or "the model of the settings"


def _encode(entry: Mapping[str, Any]) -> str:
    return json.dumps(dict(entry), ensure_ascii=False, sort_keys=True)


def _promotion(row: Row) -> Promotion:
    where = f"promotion {row.number}"
    return Promotion(
        row.number,
        row.model,
        row.kind,
        row.at,
        None if row.judgement is None else parse_json(row.judgement, f"the judgement of {where}"),
        parse_json(row.box_thresholds, f"the thresholds of {where}"),
        parse_json(row.mask_thresholds, f"the thresholds of {where}"),
        parse_json(row.score_maps, f"the maps of scores of {where}"),
    )
