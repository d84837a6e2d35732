"""Reading what people made of tasks: which changed, which there are, and how many in a range of ids.

    reader = TaskReader(client.session, project)
    for page in reader.changed(since): ...          # by the time of their change
    for page in reader.by_id(after, last): ...      # by id
    for page in reader.of_ids(ids): ...
    reader.counts(after, last)                      # two requests, whatever the number of tasks

Asks only for the fields that a review is made of: ``include`` reaches into the annotations, too. That is
twice as fast as all fields and as fast as the server's export, which leaves a file there each time. The
server's copy of predictions is not asked for. A task that the server cannot show ends nothing: it comes with
the annotations of it that the server can show, and ``unshown`` has those of which it shows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from detseg.errors import BrokenAnswer, LabelStudioError
from detseg.labelstudio.client import KEY
from detseg.labelstudio.filters import build_query, by_change, by_count, by_data, by_id
from detseg.labelstudio.listing import UNSHOWN, Page, TaskLister
from detseg.labelstudio.responses import date_of, expecting, read_number
from detseg.labelstudio.session import Json, Session
from detseg.paging import pages

_FIELDS = (
    "id,data,created_at,updated_at,annotations,"  # of the task (the moments and ids of annotations, too)
    "result,was_cancelled,lead_time,completed_by,created_username,updated_by,ground_truth"  # of annotations
)
_WITHOUT_RESULTS = _FIELDS.replace("result,", "").replace("lead_time,", "")
_MOMENT = "id,updated_at"
_WITHOUT_DATA = _WITHOUT_RESULTS.replace("data,", "")
_TASKS_PER_PAGE = 500
_FIRST_TASKS = 100
_IDS_PER_REQUEST = 200
_MOST_UNSHOWN = 100
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """The counts of tasks, of their annotations that were not skipped, and of tasks that somebody skipped."""

    n_tasks: int
    n_annotations: int
    n_skipped: int


@dataclass(slots=True)
class TaskReader:
    """The tasks of one project, at most ``most`` in a page: with ``id``, ``data``, ``annotations`` (skipped
    ones too), ``created_at`` and ``updated_at``.

    Pages learn from each other how many tasks to ask for, so a reader is for one thread at a time. Raises
    Unreachable, and LabelStudioError also for what is no list of tasks.
    """

    session: Session
    project: int
    most: int = _TASKS_PER_PAGE
    unshown: set[int] = field(default_factory=set)
    _lister: TaskLister = field(init=False, repr=False)

    def __post_init__(self) -> None:
        params = {"fields": "all", "include": _FIELDS, "resolve_uri": "false"}
        self._lister = TaskLister(
            self.session, self.project, params, _FIRST_TASKS, n_most=self.most, show_alone=self._piecewise
        )

    def server_time(self) -> datetime:
        """A moment that has passed by the server's clock: the earlier of its answer's date and of ours.

        The date may be a proxy's. Too early costs reading again what was read, too late would hide changes.
        """
        dated, now = date_of(self.session.send("GET", "/api/version/")), datetime.now(UTC)
        return now if dated is None else min(dated, now)

    def counts(self, after: int, last: int) -> TaskCounts:
        """Counts of the tasks that have our key and ids from ``after`` (not it) to ``last``.

        With other people's tasks counted too, one more of theirs would hide one less of ours.
        """
        keyed = _keyed(after, last)
        skipped = by_count("cancelled_annotations", "greater", 0)
        n_tasks, n_annotations, _ = self._count(keyed)
        n_skipped, _, _ = self._count([skipped, *keyed])  # looks into the data of those alone
        return TaskCounts(n_tasks, n_annotations, n_skipped)

    def n_tasks(self, after: int, last: int) -> int:
        """The number of tasks that ``counts`` counts. One request."""
        return self._count(_keyed(after, last))[0]

    def totals(self) -> tuple[int, int]:
        """Count the tasks that have our key, and their predictions."""
        n_tasks, _, n_predictions = self._count([by_data(KEY, "empty", False)])
        return n_tasks, n_predictions

    def changed(self, since: datetime | None = None) -> Iterator[Page]:
        """Tasks that changed at or after that moment (all for None), by the time of their change.

        Each comes once, unless it changes while we read. New predictions count as a change.
        """
        operator, mark = "greater_or_equal", since or _BEGINNING
        while True:
            page = self._lister.ask([by_change(operator, mark)], order="tasks:updated_at")
            tasks = page.tasks
            if page.is_last:
                yield from self._shown([tasks])
                return
            if not tasks:
                raise LabelStudioError(
                    f"{self.session.url} lists tasks of project {self.project} that are gone: run again"
                )
            end = _moment(tasks[-1])
            whole = tuple(task for task in tasks if _moment(task) < end)
            if whole:  # the last instant may go on behind this page: it is asked for again
                yield from self._shown([whole])
                operator, mark = "greater_or_equal", end
            else:  # a bulk action: more tasks changed in one instant than a page holds
                yield from self._shown(self._lister.by_ids([by_change("equal", end)]))
                operator, mark = "greater", end

    def by_id(self, after: int = 0, last: int | None = None) -> Iterator[Page]:
        """The tasks with ids from ``after`` (not it) to ``last`` (all for None), by their ids."""
        until = [] if last is None else [by_id("less_or_equal", last)]
        yield from self._shown(self._lister.by_ids(until, after))

    def of_ids(self, ids: Sequence[int]) -> Iterator[Page]:
        """Those of these tasks that are there, by their ids."""
        for wanted in pages(sorted(ids), _IDS_PER_REQUEST):
            yield from self._shown(self._lister.by_ids([], selected=wanted))

    def _shown(self, listed: Iterable[Page]) -> Iterator[Page]:
        """The pages without the tasks of which nothing is shown, which are remembered."""
        for page in listed:
            self.unshown.update(task["id"] for task in page if UNSHOWN in task)
            if len(self.unshown) > _MOST_UNSHOWN:
                raise BrokenAnswer(
                    f"Label Studio at {self.session.url} fails to show more than {_MOST_UNSHOWN} tasks of "
                    f"project {self.project} (HTTP 500): look into its log"
                )
            shown = tuple(task for task in page if UNSHOWN not in task)
            if shown:
                yield shown

    def _count(self, filters: list[Json]) -> tuple[int, int, int]:
        """Count the tasks that match, their annotations (not skipped) and their predictions."""
        params = {"project": self.project, "query": build_query(filters), "include": "id", "page_size": 1}
        answer = self.session.json("GET", "/api/tasks/", params=params)
        with expecting("tasks", self.session.url):
            n_tasks, n_annotations = read_number(answer["total"]), read_number(answer["total_annotations"])
            return n_tasks, n_annotations, read_number(answer["total_predictions"])

    def _piecewise(self, task_id: int) -> Iterator[Json]:
        """A task with those of its annotations that the server can show; the others say that they are not.

        Of a task that it cannot show at all, its number and moment.
        """
        try:
            found = self._lister.alone(task_id, _WITHOUT_RESULTS, patient=False)
        except BrokenAnswer:
            try:
                shown = self._lister.alone(task_id, _WITHOUT_DATA, patient=False)
                found = tuple({**task, "data": {}} for task in shown)
            except BrokenAnswer:
                yield from ({**task, UNSHOWN: True} for task in self._lister.alone(task_id, _MOMENT))
                return
        for task in found:
            yield {**task, "annotations": [*map(self._annotation, task["annotations"])]}

    def _annotation(self, entry: Json) -> Json:
        try:
            shown = self.session.json("GET", f"/api/annotations/{entry['id']}/")
        except BrokenAnswer:
            return {**entry, UNSHOWN: True}
        return {**entry, "result": shown.get("result"), "lead_time": shown.get("lead_time")}


def _keyed(after: int, last: int) -> list[Json]:
    return [by_id("greater", after), by_id("less_or_equal", last), by_data(KEY, "empty", False)]


def _moment(task: Json) -> datetime:
    return datetime.fromisoformat(task["updated_at"])
