"""Reading what people made of tasks: which changed, which there are, and how many in a range of ids.

    reader = TaskReader(client.session, project)
    for page in reader.changed(since): ...          # by the time of their change
    for page in reader.by_id(after, last): ...      # by id
    for page in reader.of_ids(ids): ...
    reader.counts(after, last)                      # two requests, whatever the number of tasks

Asks only for the fields that a review is made of: ``include`` reaches into the annotations, too. That is
twice as fast as all fields and as fast as the server's export, which leaves a file there each time. The
server's copy of predictions is not asked for. A task that the server cannot show ends nothing: it comes with
the annotations of it that the server can show. Every page is asked from the last task seen, never by its
number, so that nothing shifts between pages; pages shrink where tasks are large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from detseg.errors import BrokenAnswer, LabelStudioError
from detseg.labelstudio.client import KEY
from detseg.labelstudio.filters import build_query, by_change, by_count, by_data, by_id
from detseg.labelstudio.listing import MOST_IN_HALVES, UNSHOWN, in_halves
from detseg.labelstudio.responses import date_of, expecting, one_line, read_moment, read_number, read_object
from detseg.labelstudio.session import Json, Session
from detseg.paging import pages

_FIELDS = (
    "id,data,created_at,updated_at,annotations,"  # of the task (the moments and ids of annotations, too)
    "result,was_cancelled,lead_time,completed_by,created_username"  # of the annotations
)
_WITHOUT_RESULTS = _FIELDS.replace("result,", "").replace("lead_time,", "")
_WITHOUT_DATA = _WITHOUT_RESULTS.replace("data,", "")
_BYTES_PER_PAGE = 4_000_000
_TASKS_PER_PAGE = 500
_FIRST_TASKS = 100
_IDS_PER_REQUEST = 200
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)

Page = tuple[Json, ...]
"""Tasks with ``id``, ``data``, ``annotations`` (skipped ones too), ``created_at`` and ``updated_at``, checked
to be there."""


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

    def shrink(self, n_tasks: int) -> int:
        """How many to ask for where that many broke the answer, this time and the next."""
        self.tasks = min(max(1, n_tasks // 2), MOST_IN_HALVES)
        return self.tasks


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
        """A moment that has passed by the server's clock: the earlier of its answer's date and of ours.

        The date may be a proxy's. Too early costs reading again what was read, too late would hide changes.
        """
        dated, now = date_of(self.session.send("GET", "/api/version")), datetime.now(UTC)
        return now if dated is None else min(dated, now)

    def counts(self, after: int, last: int) -> TaskCounts:
        """Counts of the tasks that have our key and ids from ``after`` (not it) to ``last``.

        With other people's tasks counted too, one more of theirs would hide one less of ours.
        """
        keyed = [by_id("greater", after), by_id("less_or_equal", last), by_data(KEY, "empty", False)]
        skipped = by_count("cancelled_annotations", "greater", 0)
        n_tasks, n_annotations, _ = self._count(keyed)
        n_skipped, _, _ = self._count([skipped, *keyed])  # looks into the data of those alone
        return TaskCounts(n_tasks, n_annotations, n_skipped)

    def totals(self) -> tuple[int, int]:
        """How many tasks have our key, and how many predictions they have."""
        n_tasks, _, n_predictions = self._count([by_data(KEY, "empty", False)])
        return n_tasks, n_predictions

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

    def _count(self, filters: list[Json]) -> tuple[int, int, int]:
        """How many tasks match, and how many annotations (not skipped) and predictions they have."""
        answer, _ = self._ask(filters, {"include": "id", "page_size": 1})
        try:
            n_annotations, n_predictions = answer["total_annotations"], answer["total_predictions"]
            return read_number(answer["total"]), read_number(n_annotations), read_number(n_predictions)
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
        n_most = min(self._size.tasks, self.most)
        try:
            answer, n_bytes = self._ask(filters, _all_fields(_FIELDS, n_most), order=order, selected=selected)
            tasks = self._checked(answer)
            self._size.learn(len(tasks), n_bytes)
        except BrokenAnswer:
            n_most = self._size.shrink(n_most)
            params = {"include": "id", "page_size": n_most}
            answer, _ = self._ask(filters, params, order=order, selected=selected)
            with expecting("tasks", self.session.url):
                ids = [read_number(task["id"]) for task in answer["tasks"]]
            found = {int(task["id"]): task for task in in_halves(ids, self._show, self._piecewise)}
            tasks = tuple(found[id_] for id_ in ids if id_ in found)
        total = answer.get("total")
        if not isinstance(total, int) or (total > 0 and not tasks):
            raise LabelStudioError(
                f"{self.session.url} lists none of {total} tasks of project {self.project}"
            )
        return tasks, len(tasks) >= total

    def _show(self, ids: Sequence[int]) -> Page:
        answer, _ = self._ask([by_id("in_list", ids)], _all_fields(_FIELDS, len(ids)), patient=False)
        return self._checked(answer)

    def _piecewise(self, task_id: int) -> Iterator[Json]:
        """A task with those of its annotations that the server can show; the others say that they are not."""
        only = [by_id("equal", task_id)]
        try:
            answer, _ = self._ask(only, _all_fields(_WITHOUT_RESULTS, 1), patient=False)
        except BrokenAnswer:
            answer, _ = self._ask(only, _all_fields(_WITHOUT_DATA, 1))
            with expecting("tasks", self.session.url):
                answer = {**answer, "tasks": [{**task, "data": {}} for task in answer["tasks"]]}
        for task in self._checked(answer):
            yield {**task, "annotations": [*map(self._annotation, task["annotations"])]}

    def _annotation(self, entry: Json) -> Json:
        try:
            shown = self.session.json("GET", f"/api/annotations/{entry['id']}/")
        except BrokenAnswer:
            return {**entry, UNSHOWN: True}
        return {**entry, "result": shown.get("result"), "lead_time": shown.get("lead_time")}

    def _checked(self, answer: Json) -> Page:
        tasks = answer.get("tasks")
        if not isinstance(tasks, list) or not all(map(_is_task, tasks)):
            raise LabelStudioError(self._no_tasks(answer))
        return tuple(tasks)

    def _ask(
        self,
        filters: list[Json],
        params: Json,
        *,
        order: str = "tasks:id",
        selected: Sequence[int] = (),
        patient: bool = True,
    ) -> tuple[Json, int]:
        """The server's answer, and its length in bytes."""
        query = build_query(filters, order=order, selected=selected)
        params = {"project": self.project, "query": query, **params}
        response = self.session.send("GET", "/api/tasks/", params=params, patient=patient)
        return read_object(response, f"{self.session.url}/api/tasks/"), len(response.content)

    def _no_tasks(self, answer: Json) -> str:
        return (
            f"{self.session.url}/api/tasks/ answered something else than tasks "
            f"({one_line(', '.join(answer))[:120]}): is a proxy in between, or is it another version?"
        )


def _all_fields(include: str, n_most: int) -> Json:
    return {"fields": "all", "include": include, "resolve_uri": "false", "page_size": n_most}


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
    """Whether that is the server's record of an annotation, whatever people wrote into it."""
    return isinstance(entry, dict) and _is_dated(entry) and {"was_cancelled", "completed_by"} <= entry.keys()


def _is_dated(entry: Json) -> bool:
    """Whether it has a number, and says when it was made and changed, and in which time zone."""
    try:
        read_moment(entry["created_at"])
        read_moment(entry["updated_at"])
        read_number(entry["id"])
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _moment(task: Json) -> datetime:
    return datetime.fromisoformat(task["updated_at"])
