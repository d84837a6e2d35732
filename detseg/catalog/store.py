"""The catalog as one object, with a part per noun. Every call is one or more short transactions of its own.

It may be used from several threads, and several processes may open the same database. Every recording
call is idempotent: doing it again changes nothing. Failures of the database are CatalogErrors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from detseg.catalog.arms import Arms
from detseg.catalog.database import BUSY_S, SILENT_S, Database, utc_now
from detseg.catalog.features import Features
from detseg.catalog.gold import Gold
from detseg.catalog.images import Images
from detseg.catalog.imports import Imports
from detseg.catalog.locks import Locks
from detseg.catalog.looks import Looks
from detseg.catalog.migrate import migrate
from detseg.catalog.models import Models
from detseg.catalog.possible_duplicates import PossibleDuplicates
from detseg.catalog.predictions import Predictions
from detseg.catalog.projects import Projects
from detseg.catalog.promotions import Promotions
from detseg.catalog.quarantine import Quarantine
from detseg.catalog.reviews import Reviews
from detseg.catalog.server_tasks import ServerTasks
from detseg.catalog.shown import ShownPredictions
from detseg.catalog.tables import cursors
from detseg.catalog.task_predictions import TaskPredictions
from detseg.catalog.tasks import Tasks
from detseg.catalog.waiting import Waiting
from detseg.taxonomy import NO_CHANGES, Relabeling


@dataclass(frozen=True, slots=True)
class Cursors:
    """``catalog.cursors``: marks of how far the runs came, as texts by name."""

    database: Database

    def get(self, name: str) -> str | None:
        """The value under that name; None if it was never set."""
        with self.database.reading() as connection:
            return connection.scalar(sa.select(cursors.c.value).where(cursors.c.name == name))

    def set(self, name: str, value: str) -> None:
        """Sets the value under that name."""
        with self.database.writing() as connection:
            self.database.upsert(connection, cursors, [{"name": name, "value": value}])


@dataclass(frozen=True, slots=True)
class Catalog:
    """The record of what was done. ``url`` has its password hidden.

    Labels are read by ``relabeling``: those of reviews, predictions, gold, decoys and waiting tasks alike.
    """

    url: str
    images: Images
    features: Features
    predictions: Predictions
    projects: Projects
    tasks: Tasks
    server_tasks: ServerTasks
    task_predictions: TaskPredictions
    shown: ShownPredictions
    arms: Arms
    gold: Gold
    imports: Imports
    possible_duplicates: PossibleDuplicates
    reviews: Reviews
    waiting: Waiting
    quarantine: Quarantine
    models: Models
    promotions: Promotions
    looks: Looks
    cursors: Cursors
    locks: Locks
    relabeling: Relabeling = NO_CHANGES

    def verbatim(self) -> Catalog:
        """Return the same catalog with its labels as they were written, for what compares them with the
        server's."""
        return replace(
            self,
            relabeling=NO_CHANGES,
            predictions=replace(self.predictions, relabeling=NO_CHANGES),
            arms=replace(self.arms, relabeling=NO_CHANGES),
            gold=replace(self.gold, relabeling=NO_CHANGES),
            reviews=replace(self.reviews, relabeling=NO_CHANGES),
            waiting=replace(self.waiting, relabeling=NO_CHANGES),
        )


@contextmanager
def open_catalog(
    url: str,
    *,
    clock: Callable[[], datetime] = utc_now,
    busy_s: float = BUSY_S,
    silent_s: float = SILENT_S,
    relabeling: Relabeling = NO_CHANGES,
) -> Iterator[Catalog]:
    """The catalog behind a SQLAlchemy URL, made or migrated if need be, closed at the end of the block.

    ``busy_s`` is how long a writer waits for another one, ``silent_s`` how long a database server may be
    silent before it is asked whether it is still there. Labels are read by ``relabeling``. Raises
    CatalogError for a database that cannot be opened, is something else, or is newer than this code.
    """
    database = Database(url, busy_s=busy_s, silent_s=silent_s)
    try:
        migrate(database)
        yield Catalog(
            url=database.name,
            images=Images(database, clock),
            features=Features(database, clock),
            predictions=Predictions(database, clock, relabeling),
            projects=Projects(database, clock),
            tasks=Tasks(database, clock),
            server_tasks=ServerTasks(database),
            task_predictions=TaskPredictions(database, clock),
            shown=ShownPredictions(database),
            arms=Arms(database, relabeling),
            gold=Gold(database, relabeling),
            imports=Imports(database, clock),
            possible_duplicates=PossibleDuplicates(database, clock),
            reviews=Reviews(database, relabeling),
            waiting=Waiting(database, relabeling),
            quarantine=Quarantine(database, clock),
            models=Models(database, clock),
            promotions=Promotions(database, clock),
            looks=Looks(database, clock),
            cursors=Cursors(database),
            locks=Locks(database),
            relabeling=relabeling,
        )
    finally:
        database.close()
