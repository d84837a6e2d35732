"""Reading what people made of tasks: which changed, which there are, and how many in a range of ids.

    reader = TaskReader(client.session, project)
    for page in reader.changed(since): ...          # by the time of their change
    for page in reader.by_id(after, last): ...      # by id
    for page in reader.of_ids(ids): ...
    reader.counts(after, last)                      # two requests, whatever the number of tasks

Asks only for the fields that a review is made of: ``include`` reaches into the annotations, too. That is
twice as fast as all fields and as fast as the server's export, which leaves a file there each time. The
server's copy of predictions is not asked for. Every page is asked from the last task seen, never by its
number, so that nothing shifts between pages; pages shrink where tasks are large.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from detseg.errors import LabelStudioError
from detseg.labelstudio.client import KEY
from detseg.labelstudio.filters import build_query, by_change, by_count, by_data, by_id
from detseg.labelstudio.session import Json, Session
from detseg.labelstudio.wire import one_line, read_object
from detseg.paging import pages

_FIELDS = (
    "id,data,updated_at,annotations,"  # of the task (id and updated_at of the annotations, too)
    "result,was_cancelled,lead_time,completed_by,created_username"  # of the annotations
)
_BYTES_PER_PAGE = 4_000_000
_TASKS_PER_PAGE = 500
_FIRST_TASKS = 100
_IDS_PER_REQUEST = 200
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)

Page = tuple[Json, ...]
"""Tasks with ``id``, ``updated_at``, ``data`` and ``annotations`` (skipped ones too), checked to be there."""


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """How many tasks there are, how many annotations of them that were not skipped, and how many of the tasks
    somebody has skipped."""

    n_tasks: int
    n_annotations: int
    n_skipped: int


@dataclass(slots=True)
class _PageSize:
    """Tasks to ask for at once: as many as fill a page's bytes, by the tasks of the page before."""

    tasks: int = _FIRST_TASKS

    def learn(self, n_tasks: int, n_bytes: int) -> None:
        if n_tasks:
            self.tasks = max(1, _BYTES_PER_PAGE * n_tasks // max(n_bytes, 1))


@dataclass(frozen=True, slots=True)
class TaskReader:
    """The tasks of one project, at most ``most`` in a page.

    Pages learn from each other how many tasks to ask for, so a reader is for one thread at a time. Raises
    Unreachable, and LabelStudioError also for what is no list of tasks.
    """

    session: Session
    project: int
    most: int = _TASKS_PER_PAGE
    _size: _PageSize = field(default_factory=_PageSize)

    def server_time(self) -> datetime:
        """The server's clock, to the second; ours if it does not say."""
        date = self.session.send("GET", "/api/version").headers.get("Date")
        return parsedate_to_datetime(date) if date else datetime.now(UTC)

    def counts(self, after: int, last: int) -> TaskCounts:
        """Counts of the tasks that have our key and ids from ``after`` (not it) to ``last``.

        With other people's tasks counted too, one more of theirs would hide one less of ours.
        """
        keyed = [by_id("greater", after), by_id("less_or_equal", last), by_data(KEY, "empty", False)]
        skipped = by_count("cancelled_annotations", "greater", 0)
        n_tasks, n_annotations = self._count(keyed)
        n_skipped, _ = self._count([skipped, *keyed])  # looks into the data of those that are skipped alone
        return TaskCounts(n_tasks, n_annotations, n_skipped)

    def changed(self, since: datetime | None = None) -> Iterator[Page]:
        """Tasks that changed at or after that moment (all for None), by the time of their change.

        Each comes once, unless it changes while we read. New predictions count as a change.
        """
        operator, mark = "greater_or_equal", since or _BEGINNING
        while True:
            tasks, is_last = self._page([by_change(operator, mark)], "tasks:updated_at")
            if is_last:
                if tasks:
                    yield tasks
                return
            end = _moment(tasks[-1])
            whole = tuple(task for task in tasks if _moment(task) < end)
            if whole:  # the last instant may go on behind this page: it is asked for again
                yield whole
                operator, mark = "greater_or_equal", end
            else:  # a bulk action: more tasks changed in one instant than a page holds
                yield from self._keyset([by_change("equal", end)])
                operator, mark = "greater", end

    def by_id(self, after: int = 0, last: int | None = None) -> Iterator[Page]:
        """The tasks with ids from ``after`` (not it) to ``last`` (all for None), by their ids."""
        yield from self._keyset([] if last is None else [by_id("less_or_equal", last)], after)

    def of_ids(self, ids: Sequence[int]) -> Iterator[Page]:
        """Those of these tasks that are there, by their ids."""
        for wanted in pages(sorted(ids), _IDS_PER_REQUEST):
            yield from self._keyset([], selected=wanted)

    def _count(self, filters: list[Json]) -> tuple[int, int]:
        """How many tasks match, and how many annotations they have that were not skipped."""
        answer, _ = self._ask(filters, {"include": "id", "page_size": 1})
        try:
            return int(answer["total"]), int(answer["total_annotations"])
        except (KeyError, TypeError, ValueError) as error:
            raise LabelStudioError(self._no_tasks(answer)) from error

    def _keyset(self, filters: list[Json], after: int = 0, *, selected: Sequence[int] = ()) -> Iterator[Page]:
        last = after
        while True:
            tasks, is_last = self._page([*filters, by_id("greater", last)], "tasks:id", selected=selected)
            ids = [int(task["id"]) for task in tasks]
            if ids != sorted(set(ids)) or (ids and ids[0] <= last):
                raise LabelStudioError(
                    f"{self.session.url} lists tasks of project {self.project} out of order: {ids[:5]}"
                )
            if tasks:
                yield tasks
            if is_last:
                return
            last = ids[-1]

    def _page(self, filters: list[Json], order: str, *, selected: Sequence[int] = ()) -> tuple[Page, bool]:
        """The first tasks that match, and whether there are no more."""
        answer, n_bytes = self._ask(
            filters,
            {
                "fields": "all",
                "include": _FIELDS,
                "resolve_uri": "false",
                "page_size": min(self._size.tasks, self.most),
            },
            order=order,
            selected=selected,
        )
        tasks, total = answer.get("tasks"), answer.get("total")
        if not isinstance(tasks, list) or not isinstance(total, int) or not all(map(_is_task, tasks)):
            raise LabelStudioError(self._no_tasks(answer))
        if total > 0 and not tasks:
            raise LabelStudioError(
                f"{self.session.url} lists none of {total} tasks of project {self.project}"
            )
        self._size.learn(len(tasks), n_bytes)
        return tuple(tasks), len(tasks) >= total

    def _ask(
        self, filters: list[Json], params: Json, *, order: str = "tasks:id", selected: Sequence[int] = ()
    ) -> tuple[Json, int]:
        """The server's answer, and its length in bytes."""
        query = build_query(filters, order=order, selected=selected)
        params = {"project": self.project, "query": query, **params}
        response = self.session.send("GET", "/api/tasks/", params=params)
        return read_object(response, f"{self.session.url}/api/tasks/"), len(response.content)

    def _no_tasks(self, answer: Json) -> str:
        return (
            f"{self.session.url}/api/tasks/ answered something else than tasks "
            f"({one_line(json.dumps(answer))[:120]}): is a proxy in between, or is it another version?"
        )


def _is_task(entry: Any) -> bool:
    """Whether that has the fields that are asked for, of their types."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("data"), dict)
        and _is_dated(entry)
        and isinstance(entry.get("annotations"), list)
        and all(_is_annotation(annotation) for annotation in entry["annotations"])
    )


def _is_annotation(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and _is_dated(entry)
        and {"was_cancelled", "completed_by"} <= entry.keys()
        and isinstance(entry.get("lead_time"), int | float | None)
        and isinstance(entry.get("result"), list | None)
        and all(isinstance(result, dict) for result in entry["result"] or ())
    )


def _is_dated(entry: Json) -> bool:
    """Whether it has a number, and says when it changed and in which time zone."""
    try:
        moment = datetime.fromisoformat(entry["updated_at"])
    except (KeyError, TypeError, ValueError):
        return False
    return isinstance(entry.get("id"), int) and moment.tzinfo is not None


def _moment(task: Json) -> datetime:
    return datetime.fromisoformat(task["updated_at"])
