"""People's reviews of the tasks. Deleted reviews are marked, not forgotten."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from detseg.catalog.database import Database, Row
from detseg.catalog.records import Incomplete, ProjectKey, ReviewCounts, ReviewRecord
from detseg.catalog.region_json import decode_regions, encode_regions, label_text, relabel_review
from detseg.catalog.server_tasks import there
from detseg.catalog.tables import images, reviews, tasks
from detseg.paging import pages
from detseg.taxonomy import NO_CHANGES, Relabeling
from detseg.types import Annotation, ImageId, Size, State

_AT_ONCE = 2_000
"""Reviews that are read by one query: some megabytes."""
STATES: tuple[State, ...] = ("unlabeled", "labeled", "empty", "skipped")


@dataclass(frozen=True, slots=True)
class StoredReview:
    """A review as the catalog holds it, with its regions encoded and what could not be read in lines."""

    annotation_id: int
    created_at: datetime
    task_id: int
    image: ImageId
    size: Size
    author: str
    state: State
    regions: str
    lead_time_s: float | None
    updated_at: datetime
    simulated: bool
    unread: str

    def record(self) -> ReviewRecord:
        """The review, decoded."""
        return ReviewRecord(
            annotation_id=self.annotation_id,
            created_at=self.created_at,
            task_id=self.task_id,
            annotation=Annotation(
                image=self.image,
                size=self.size,
                author=self.author,
                state=self.state,
                regions=decode_regions(self.regions),
                lead_time_s=self.lead_time_s,
                updated_at=self.updated_at,
            ),
            simulated=self.simulated,
            unread=tuple(self.unread.splitlines()),
        )


@dataclass(frozen=True, slots=True)
class Reviews:
    """``catalog.reviews``"""

    database: Database
    relabeling: Relabeling = NO_CHANGES

    def record(
        self, project: ProjectKey, records: Iterable[ReviewRecord], *, replace: bool = False
    ) -> ReviewCounts:
        """Records reviews in one transaction and answers what was new, changed or as it was.

        The images have to be tasks of the project. Where the catalog holds a later state of a review than
        the one given, it stays, unless it is to be replaced whatever it is. A review that was marked as
        deleted and is here again is back. One whose number is another's now is deleted.
        """
        rows = {record.annotation_id: _values(project, record) for record in records}
        changed: list[dict[str, Any]] = []
        known = replaced = 0
        with self.database.writing() as connection:
            for page in pages(rows):
                stored = _stored(connection, project, page)
                same = {i: row for i in page if (row := _find_same(stored[i], rows[i])) is not None}
                known += len(same)
                replaced += _mark_replaced(connection, stored, same)
                _date(connection, same, rows)
                changed += [rows[i] for i in page if _is_news(same.get(i), rows[i], replace=replace)]
            self.database.upsert(connection, reviews, changed)
        new = len(rows) - known
        return ReviewCounts(new, len(changed) - new, len(rows) - len(changed), replaced)

    def mark_deleted(self, project: ProjectKey, annotation_ids: Iterable[int]) -> int:
        """Marks reviews that are gone on the server; answers how many were not marked before."""
        marked = 0
        with self.database.writing() as connection:
            for page in pages(annotation_ids):
                marked += connection.execute(
                    sa.update(reviews)
                    .where(
                        reviews.c.project == project,
                        reviews.c.annotation_id.in_(page),
                        reviews.c.deleted.is_(False),
                    )
                    .values(deleted=True)
                ).rowcount
        return marked

    def counts(self, project: ProjectKey, *, after: int, last: int) -> tuple[int, int, int]:
        """Count the tasks that are there, their reviews that were not skipped, and the tasks that have one
        that was; nothing deleted.

        Of the tasks with ids from ``after`` (not it) to ``last``.
        """
        live = there(project)
        in_range = sa.and_(live.c.task_id > after, live.c.task_id <= last)
        reviewed = sa.and_(
            reviews.c.project == project,
            reviews.c.task_id == live.c.task_id,
            reviews.c.image_id == live.c.image_id,
            reviews.c.deleted.is_(False),
        )
        skipped = reviews.c.state == "skipped"
        of_reviews = sa.select(
            sa.func.count().filter(~skipped).label("n_reviews"),
            sa.func.count(sa.distinct(reviews.c.task_id)).filter(skipped).label("n_skipped"),
        )
        with self.database.reading() as connection:
            n_tasks = connection.scalar(sa.select(sa.func.count()).select_from(live).where(in_range))
            joined = of_reviews.select_from(live.join(reviews, reviewed)).where(in_range)
            row = connection.execute(joined).one()
        return n_tasks or 0, row.n_reviews, row.n_skipped

    def incomplete(self, project: ProjectKey) -> tuple[Incomplete, ...]:
        """The reviews in which something could not be read, by task and annotation."""
        query = (
            sa.select(reviews.c.task_id, reviews.c.annotation_id, reviews.c.unread)
            .where(reviews.c.project == project, reviews.c.deleted.is_(False), reviews.c.unread != "")
            .order_by(reviews.c.task_id, reviews.c.annotation_id)
        )
        return tuple(
            Incomplete(row.task_id, row.annotation_id, tuple(row.unread.splitlines()))
            for row in self.database.read(query)
        )

    def ids_of_tasks(self, project: ProjectKey, task_ids: Iterable[int]) -> frozenset[int]:
        """The annotation ids of those tasks' reviews that are not marked as deleted."""
        query = sa.select(reviews.c.annotation_id).where(
            reviews.c.project == project, reviews.c.deleted.is_(False)
        )
        rows = self.database.read_pages(query, reviews.c.task_id, task_ids)
        return frozenset(row.annotation_id for row in rows)

    def latest(self, project: ProjectKey) -> Iterator[ReviewRecord]:
        """The latest review of each image and author that is not deleted, sorted by image and author.

        Holds one page in memory.
        """
        return (stored.record() for stored in self.latest_stored(project))

    def latest_stored(self, project: ProjectKey) -> Iterator[StoredReview]:
        """As ``latest``, with the regions still encoded."""
        key = (reviews.c.image_id, reviews.c.author)
        rows = self.database.read_along(_latest(project), *key, size=_AT_ONCE)
        return (_read_stored(row, self.relabeling) for row in rows)

    def of_images(self, project: ProjectKey, ids: Iterable[ImageId]) -> Iterator[ReviewRecord]:
        """As ``latest``, of those images alone: sorted by image and author within each page of ids."""
        query = _latest(project).order_by(reviews.c.image_id, reviews.c.author)
        rows = self.database.read_pages(query, reviews.c.image_id, ids)
        return (_read_stored(row, self.relabeling).record() for row in rows)

    def labeled(
        self, project: ProjectKey, ids: Iterable[ImageId], *, n_people: int = 1
    ) -> frozenset[ImageId]:
        """Those of the images that so many people have labeled, or found empty."""
        query = (
            sa.select(reviews.c.image_id)
            .where(
                reviews.c.project == project,
                reviews.c.deleted.is_(False),
                reviews.c.state.in_(("labeled", "empty")),
            )
            .group_by(reviews.c.image_id)
            .having(sa.func.count(reviews.c.author.distinct()) >= n_people)
        )
        rows = self.database.read_pages(query, reviews.c.image_id, ids)
        return frozenset(ImageId(row.image_id) for row in rows)

    def states(self, project: ProjectKey) -> dict[State, int]:
        """Count the project's tasks in each of the four states, by the review of the image that counts.

        That is the latest one that judged it, if any did. Images that an import labeled count, with or
        without a task. Tasks that were deleted on the server are left out; every state is a key.
        """
        latest = sa.and_(
            reviews.c.project == project,
            reviews.c.deleted.is_(False),
            tasks.c.state.in_(("pushed", "imported")),
            ~_is_superseded(reviews),
            ~_is_outranked(),
        )
        columns = (reviews.c.state, tasks.c.state.label("task"), sa.func.count().label("n"))
        reviewed = sa.select(*columns).join(tasks).where(latest).group_by(reviews.c.state, tasks.c.state)
        pushed = (
            sa.select(sa.func.count())
            .select_from(tasks)
            .where(tasks.c.project == project, tasks.c.state == "pushed")
        )
        with self.database.reading() as connection:
            rows = connection.execute(reviewed).all()
            n_tasks = connection.scalar(pushed) or 0
            emptied = self._count_emptied(connection, latest)
        counts = Counter[State]()
        for row in rows:
            counts[row.state] += row.n
        counts["labeled"] -= emptied
        counts["empty"] += emptied
        counts["unlabeled"] += n_tasks - sum(row.n for row in rows if row.task == "pushed")
        return {state: counts[state] for state in STATES}

    def count_with(self, project: ProjectKey, names: Collection[str]) -> int:
        """Count the images of which a latest review has one of these names, as it was written."""
        holding = sa.or_(*(reviews.c.regions.contains(label_text(name), autoescape=True) for name in names))
        latest = _latest(project).where(holding).subquery()
        with self.database.reading() as connection:
            return connection.scalar(sa.select(sa.func.count(sa.distinct(latest.c.image_id)))) or 0

    def _count_emptied(self, connection: sa.Connection, latest: sa.ColumnElement[bool]) -> int:
        """Count the labeled ones among the latest reviews that have regions of dropped classes alone."""
        dropped = [name for name, now in self.relabeling.names.items() if now is None]
        if not dropped:
            return 0
        with_dropped = sa.or_(
            *(reviews.c.regions.contains(label_text(name), autoescape=True) for name in dropped)
        )
        query = sa.select(reviews.c.regions).join(tasks).where(latest, with_dropped)
        states = (
            relabel_review(text, "labeled", self.relabeling)[1]
            for text in connection.scalars(query.where(reviews.c.state == "labeled"))
        )
        return sum(state == "empty" for state in states)


def _latest(project: ProjectKey) -> sa.Select[Any]:
    return (
        sa.select(reviews, images.c.width, images.c.height)
        .join(images, images.c.id == reviews.c.image_id)
        .where(reviews.c.project == project, reviews.c.deleted.is_(False), ~_is_superseded(reviews))
    )


def _is_superseded(table: sa.FromClause) -> sa.Exists:
    """Select a later review of the same image by the same author."""
    later, moment = reviews.alias("later"), table.c.updated_at
    is_later = sa.and_(  # not an "or" of two: SQLite would walk through an index for each
        later.c.updated_at >= moment,
        sa.or_(later.c.updated_at > moment, later.c.annotation_id > table.c.annotation_id),
    )
    return _another(later, table, later.c.author == table.c.author, is_later)


def _is_outranked() -> sa.Exists:
    """Select another author's latest review of the image that counts before this one."""
    other = reviews.alias("other")
    outranks = sa.tuple_(*_rank(other)) > sa.tuple_(*_rank(reviews))
    return _another(other, reviews, outranks, ~_is_superseded(other))


def _another(other: sa.FromClause, table: sa.FromClause, *conditions: sa.ColumnElement[bool]) -> sa.Exists:
    same_image = (other.c.project == table.c.project, other.c.image_id == table.c.image_id)
    return sa.select(sa.literal(1)).where(*same_image, other.c.deleted.is_(False), *conditions).exists()


def _rank(table: sa.FromClause) -> tuple[sa.ColumnElement[Any], ...]:
    """Rank reviews of an image: those that judged it, people's before what was imported, the latest."""
    number, judged = table.c.annotation_id, table.c.state.in_(("labeled", "empty"))
    return (sa.case((judged, 1), else_=0), sa.case((number < 0, 0), else_=1), table.c.updated_at, number)


def _stored(
    connection: sa.Connection, project: ProjectKey, page: Sequence[int]
) -> defaultdict[int, list[dict[str, Any]]]:
    """Everything that ever had one of these numbers."""
    query = sa.select(reviews).where(reviews.c.project == project, reviews.c.annotation_id.in_(page))
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.annotation_id].append(row._asdict())
    return found


def _find_same(stored: Sequence[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any] | None:
    """Find this review among those stored: it was created at that moment, or, where nobody said when, not
    later."""
    exact = [row for row in stored if row["created_at"] == given["created_at"]]
    undated = [
        row
        for row in stored
        if row["created_at"] > given["created_at"]
        and (row["author"], row["image_id"]) == (given["author"], given["image_id"])
    ]
    return next(iter(exact or undated), None)


def _mark_replaced(
    connection: sa.Connection,
    stored: Mapping[int, Sequence[dict[str, Any]]],
    same: Mapping[int, dict[str, Any]],
) -> int:
    """Marks reviews as deleted that have their numbers no more; how many."""
    gone = [
        row for i, rows in stored.items() for row in rows if row is not same.get(i) and not row["deleted"]
    ]
    for row in gone:
        connection.execute(sa.update(reviews).where(_is(row)).values(deleted=True))
    return len(gone)


def _date(
    connection: sa.Connection, same: Mapping[int, dict[str, Any]], rows: Mapping[int, dict[str, Any]]
) -> None:
    """Gives reviews the moments of their creation where these were not known."""
    for i, row in same.items():
        created_at = rows[i]["created_at"]
        if row["created_at"] != created_at:
            connection.execute(sa.update(reviews).where(_is(row)).values(created_at=created_at))
            row["created_at"] = created_at


def _is(row: Mapping[str, Any]) -> sa.ColumnElement[bool]:
    return sa.and_(*(reviews.c[name] == row[name] for name in ("project", "annotation_id", "created_at")))


def _is_news(stored: dict[str, Any] | None, given: dict[str, Any], *, replace: bool) -> bool:
    if stored is None:
        return True
    return stored != given and (replace or stored["updated_at"] <= given["updated_at"])


def _values(project: ProjectKey, record: ReviewRecord) -> dict[str, Any]:
    annotation = record.annotation
    if annotation.updated_at is None or annotation.updated_at.tzinfo is None:
        raise ValueError(f"review {record.annotation_id} has no updated_at with a timezone")
    return {
        "project": project,
        "annotation_id": record.annotation_id,
        "created_at": record.created_at,
        "task_id": record.task_id,
        "image_id": annotation.image,
        "author": annotation.author,
        "state": annotation.state,
        "regions": encode_regions(annotation.regions),
        "lead_time_s": annotation.lead_time_s,
        "updated_at": annotation.updated_at,
        "deleted": False,
        "simulated": record.simulated,
        "unread": "\n".join(record.unread),
    }


def _read_stored(row: Row, relabeling: Relabeling) -> StoredReview:
    regions, state = relabel_review(row.regions, row.state, relabeling)
    return StoredReview(
        annotation_id=row.annotation_id,
        created_at=row.created_at,
        task_id=row.task_id,
        image=ImageId(row.image_id),
        size=Size(row.width, row.height),
        author=row.author,
        state=state,
        regions=regions,
        lead_time_s=row.lead_time_s,
        updated_at=row.updated_at,
        simulated=row.simulated,
        unread=row.unread,
    )
