"""Images that failed, why and where; they leave when the stage that failed works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.catalog.records import Quarantined, Stage
from detseg.catalog.tables import quarantine
from detseg.paging import pages
from detseg.types import ImageId


@dataclass(frozen=True, slots=True)
class Quarantine:
    """``catalog.quarantine``"""

    database: Database
    clock: Callable[[], datetime]

    def record(self, failures: Iterable[Quarantined]) -> None:
        """Records images that failed. One entry per uri, the latest reason; ``at`` is now unless given."""
        now = self.clock()
        rows = [
            {
                "uri": failure.uri,
                "image_id": failure.image,
                "reason": failure.reason,
                "stage": failure.stage,
                "at": failure.at or now,
            }
            for failure in {failure.uri: failure for failure in failures}.values()
        ]
        with self.database.writing() as connection:
            self.database.upsert(connection, quarantine, rows)

    def entries(self) -> tuple[Quarantined, ...]:
        """Return what is in quarantine, sorted by uri."""
        return tuple(
            Quarantined(row.uri, row.reason, row.stage, image=row.image_id, at=row.at)
            for row in self.database.read(sa.select(quarantine).order_by(quarantine.c.uri))
        )

    def clear(self, uris: Iterable[str]) -> None:
        """Takes those places out of quarantine, whatever failed there."""
        with self.database.writing() as connection:
            for page in pages(uris):
                connection.execute(sa.delete(quarantine).where(quarantine.c.uri.in_(page)))


def clear_quarantine(
    connection: sa.Connection, stage: Stage, *, uris: Sequence[str] = (), ids: Sequence[ImageId] = ()
) -> None:
    """Takes out what failed at that stage and now worked, inside the transaction that records the success."""
    for column, values in ((quarantine.c.uri, uris), (quarantine.c.image_id, ids)):
        for page in pages(values):
            connection.execute(sa.delete(quarantine).where(quarantine.c.stage == stage, column.in_(page)))
