"""The catalog as one object, with a part per noun. Every call is one or more short transactions of its own.

It may be used from several threads, and several processes may open the same database. Every recording
call is idempotent: doing it again changes nothing. Failures of the database are CatalogErrors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from detseg.catalog.arms import Arms
from detseg.catalog.database import BUSY_S, Database, utc_now
from detseg.catalog.doubts import Doubts
from detseg.catalog.gold import Gold
from detseg.catalog.images import Images
from detseg.catalog.journal import Cursors, Runs
from detseg.catalog.locks import Locks
from detseg.catalog.migrate import migrate
from detseg.catalog.predictions import Predictions
from detseg.catalog.quarantine import Quarantine
from detseg.catalog.reviews import Reviews
from detseg.catalog.shown import ShownPredictions
from detseg.catalog.task_predictions import TaskPredictions
from detseg.catalog.tasks import Projects, Tasks
from detseg.catalog.waiting import Waiting


@dataclass(frozen=True, slots=True)
class Catalog:
    """What was done. ``url`` has its password hidden."""

    url: str
    images: Images
    predictions: Predictions
    projects: Projects
    tasks: Tasks
    task_predictions: TaskPredictions
    shown: ShownPredictions
    arms: Arms
    gold: Gold
    doubts: Doubts
    reviews: Reviews
    waiting: Waiting
    quarantine: Quarantine
    runs: Runs
    cursors: Cursors
    locks: Locks


@contextmanager
def open_catalog(
    url: str, *, clock: Callable[[], datetime] = utc_now, busy_s: float = BUSY_S
) -> Iterator[Catalog]:
    """The catalog behind a SQLAlchemy URL, made or migrated if need be, closed at the end of the block.

    ``busy_s`` is how long a writer waits for another one. Raises CatalogError for a database that
    cannot be opened, is something else, or is newer than this code.
    """
    database = Database(url, busy_s=busy_s)
    try:
        migrate(database)
        yield Catalog(
            url=database.name,
            images=Images(database, clock),
            predictions=Predictions(database, clock),
            projects=Projects(database),
            tasks=Tasks(database, clock),
            task_predictions=TaskPredictions(database, clock),
            shown=ShownPredictions(database),
            arms=Arms(database),
            gold=Gold(database),
            doubts=Doubts(database, clock),
            reviews=Reviews(database),
            waiting=Waiting(database),
            quarantine=Quarantine(database, clock),
            runs=Runs(database, clock),
            cursors=Cursors(database),
            locks=Locks(database),
        )
    finally:
        database.close()
