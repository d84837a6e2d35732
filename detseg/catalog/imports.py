"""Labels that came from a file: reviews by ``import:NAME``, of images that need no task for them.

Their numbers are negative, which no server gives, and follow from the name and the image. An image that had
no task gets the row of one in the state "imported", which keeps it out of the queue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.catalog.records import IMPORTED_BY, NOTHING_SHOWN, ProjectKey, ReviewCounts
from detseg.catalog.region_json import encode_regions
from detseg.catalog.tables import reviews, tasks
from detseg.paging import pages
from detseg.types import Annotation, ImageId

_SAME = ("state", "regions", "deleted")


@dataclass(frozen=True, slots=True)
class Imports:
    """``catalog.imports``"""

    database: Database
    clock: Callable[[], datetime]

    def record(self, project: ProjectKey, name: str, labels: Iterable[Annotation]) -> ReviewCounts:
        """Record labels of that name, each in the place of an earlier one, a page at a time.

        The images have to be recorded first. One that the server lost is labeled all the same. A label that
        is as it was keeps its date.
        """
        new = updated = unchanged = 0
        for page in pages(labels):
            now = self.clock()
            rows = {_number(name, label.image): _values(project, name, label, now) for label in page}
            with self.database.writing() as connection:
                known = _read_known(connection, project, rows)
                changed = []
                for number, row in rows.items():
                    before = known.get(number)
                    if before is None:
                        new += 1
                    elif all(before[key] == row[key] for key in _SAME):
                        unchanged += 1
                        continue
                    else:
                        updated += 1
                        row["created_at"] = before["created_at"]
                    changed.append(row)
                _make_tasks(self.database, connection, project, [row["image_id"] for row in changed], now=now)
                self.database.upsert(connection, reviews, changed)
        return ReviewCounts(new, updated, unchanged)

    def remove(self, project: ProjectKey, name: str) -> int:
        """Take the labels of that name back; how many there were.

        Images without any other may be queued, and tasks that were deleted are so again.
        """
        theirs = sa.and_(
            reviews.c.project == project,
            reviews.c.annotation_id < 0,
            reviews.c.author == IMPORTED_BY + name,
        )
        with self.database.writing() as connection:
            n_removed = connection.execute(sa.delete(reviews).where(theirs)).rowcount
            labeled = sa.select(reviews.c.image_id).where(reviews.c.project == project)
            freed = sa.and_(
                tasks.c.project == project, tasks.c.state == "imported", tasks.c.image_id.not_in(labeled)
            )
            had_tasks = sa.and_(freed, tasks.c.former_id.is_not(None))
            connection.execute(sa.update(tasks).where(had_tasks).values(state="deleted"))
            connection.execute(sa.delete(tasks).where(freed))
        return n_removed

    def among(self, project: ProjectKey, ids: Iterable[ImageId]) -> frozenset[ImageId]:
        """Return those of the images that are labeled by an import and have no task."""
        query = sa.select(tasks.c.image_id).where(tasks.c.project == project, tasks.c.state == "imported")
        rows = self.database.read_pages(query, tasks.c.image_id, ids)
        return frozenset(ImageId(row.image_id) for row in rows)


def move_imports(
    database: Database, connection: sa.Connection, former: Iterable[int], *, to: ProjectKey, now: datetime
) -> None:
    """Give the imported labels of former projects to the one that has their place now."""
    imported = sa.and_(reviews.c.project.in_(tuple(former)), reviews.c.annotation_id < 0)
    images = connection.scalars(sa.select(reviews.c.image_id).where(imported).distinct()).all()
    if not images:
        return
    _make_tasks(database, connection, to, images, now=now)
    here = sa.select(reviews.c.annotation_id).where(reviews.c.project == to, reviews.c.annotation_id < 0)
    connection.execute(sa.delete(reviews).where(imported, reviews.c.annotation_id.in_(here)))
    connection.execute(sa.update(reviews).where(imported).values(project=to))
    connection.execute(
        sa.delete(tasks).where(tasks.c.project.in_(tuple(former)), tasks.c.state == "imported")
    )


def _number(name: str, image: ImageId) -> int:
    """The number of a label, below 0 and within 64 bits."""
    digest = hashlib.sha256(f"{name}\n{image}".encode()).digest()
    return -1 - (int.from_bytes(digest[:8], "big") >> 1)


def _values(project: ProjectKey, name: str, label: Annotation, now: datetime) -> dict[str, Any]:
    return {
        "project": project,
        "annotation_id": _number(name, label.image),
        "created_at": now,
        "task_id": 0,
        "image_id": label.image,
        "author": IMPORTED_BY + name,
        "state": label.state,
        "regions": encode_regions(label.regions),
        "lead_time_s": None,
        "updated_at": now,
        "deleted": False,
        "simulated": False,
        "unread": "",
    }


def _read_known(
    connection: sa.Connection, project: ProjectKey, numbers: Mapping[int, Any]
) -> dict[int, Mapping[str, Any]]:
    query = sa.select(reviews).where(
        reviews.c.project == project, reviews.c.annotation_id.in_(tuple(numbers))
    )
    return {row.annotation_id: row._asdict() for row in connection.execute(query)}


def _make_tasks(
    database: Database,
    connection: sa.Connection,
    project: ProjectKey,
    images: Iterable[str],
    *,
    now: datetime,
) -> None:
    rows = [
        {
            "project": project,
            "image_id": image,
            "state": "imported",
            "model_version": NOTHING_SHOWN,
            "intended_at": now,
        }
        for image in images
    ]
    if not rows:
        return
    statement = database.insert(tasks)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["project", "image_id"],
            set_={"state": "imported"},
            where=tasks.c.state == "deleted",
        ),
        rows,
    )
