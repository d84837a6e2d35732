"""Lists of a project's tasks, whatever is in them: one task that the server cannot show ends none.

    for task in list_tasks(session, project, filters, {"include": "id,data", "page_size": 100}): ...

    lister = TaskLister(session, project, {"include": "id,data"}, n_next=100, n_most=500)
    lister.ask(filters, order="tasks:updated_at")       # the first page
    for tasks in lister.by_ids(filters): ...            # all of them

Label Studio keeps text that is no Unicode and times that are no numbers, and fails (HTTP 500) whenever it is
to show them; other tasks are larger than an answer may be. A page with one of them is asked for again in
halves, down to the task alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from detseg.errors import BrokenAnswer, LabelStudioError
from detseg.labelstudio.filters import build_query, by_id
from detseg.labelstudio.responses import expecting, read_moment, read_number, read_object
from detseg.labelstudio.session import Json, Session

UNSHOWN = "detseg: unshown"
"""The field of a task or an annotation of which the server itself cannot show all."""

_PATH = "/api/tasks/"
_BYTES_PER_PAGE = 4_000_000
_MOST_IN_HALVES = 200
"""Tasks that are asked for at once where some of them break the answer."""

Page = tuple[Json, ...]
"""Tasks with the fields that were asked for, checked to be there."""


@dataclass(frozen=True, slots=True)
class TaskPage:
    """The first tasks that match, of ``n_total`` in all, and the bytes of the answer.

    A page that was asked for in halves may have ``ids`` whose tasks are gone by then.
    """

    tasks: Page
    ids: tuple[int, ...]
    n_total: int
    n_bytes: int

    @property
    def is_last(self) -> bool:
        return len(self.ids) >= self.n_total


@dataclass(slots=True)
class TaskLister:
    """The tasks of a project with the fields that ``params`` say, at most ``n_most`` of them in a page.

    Pages learn from each other how many tasks to ask for (``n_next``), so a lister is for one thread.
    ``show_alone`` has what the server can show of a task that breaks each of its pages: by default all but
    its data, with ``UNSHOWN``. Without an ``include`` in ``params``, such a task is an error.
    """

    session: Session
    project: int
    params: Json
    n_next: int
    n_most: int
    show_alone: Callable[[int], Iterable[Json]] | None = None

    def ask(
        self, filters: Sequence[Json], *, order: str = "tasks:id", selected: Sequence[int] = ()
    ) -> TaskPage:
        """The first page of the tasks that match, of the ``selected`` ones if there are any."""
        query = build_query(filters, order=order, selected=selected)
        n_tasks = min(self.n_next, self.n_most)
        try:
            page = self._ask(query, n_tasks)
        except BrokenAnswer:
            if "include" not in self.params:
                raise
            self.n_next = min(max(1, n_tasks // 2), _MOST_IN_HALVES)
            return self._in_order(self._ask(query, self.n_next, include="id"))
        if page.tasks:
            self.n_next = max(1, _BYTES_PER_PAGE * len(page.tasks) // max(page.n_bytes, 1))
        return page

    def by_ids(
        self, filters: Sequence[Json], after: int = 0, *, selected: Sequence[int] = ()
    ) -> Iterator[Page]:
        """All tasks that match, by their ids from ``after`` (not it) on.

        Every page is asked from the last id seen, so that nothing shifts between pages.
        """
        last = after
        while True:
            page = self.ask([*filters, by_id("greater", last)], selected=selected)
            ids = list(page.ids)
            if ids != sorted(set(ids)) or (ids and ids[0] <= last):
                raise self._disorder(ids)
            if page.tasks:
                yield page.tasks
            if page.is_last:
                return
            last = ids[-1]

    def alone(self, task: int, include: str, *, patient: bool = True) -> Page:
        """The task of that id with other fields; empty where it is gone."""
        return self._ask(build_query([by_id("equal", task)]), 1, include=include, patient=patient).tasks

    def _in_order(self, listed: TaskPage) -> TaskPage:
        """The page with the tasks of its ids, as far as the server can show them."""
        found = {int(task["id"]): task for task in self._in_halves(listed.ids)}
        if not found.keys() <= set(listed.ids):
            raise self._disorder(list(found))
        tasks = tuple(found[id_] for id_ in listed.ids if id_ in found)
        return TaskPage(tasks, listed.ids, listed.n_total, listed.n_bytes)

    def _in_halves(self, ids: Sequence[int]) -> Iterator[Json]:
        try:
            shown = self._ask(build_query([by_id("in_list", ids)]), len(ids), patient=False).tasks
        except BrokenAnswer:
            if len(ids) > 1:
                middle = len(ids) // 2
                yield from self._in_halves(ids[:middle])
                yield from self._in_halves(ids[middle:])
            else:
                yield from (self.show_alone or self._without_data)(ids[0])
        else:
            yield from shown

    def _without_data(self, task: int) -> Iterator[Json]:
        include = ",".join(name for name in self.params["include"].split(",") if name != "data")
        for shown in self.alone(task, include):
            yield {**shown, "data": {}, UNSHOWN: True}

    def _ask(self, query: str, n_tasks: int, *, patient: bool = True, **other: str) -> TaskPage:
        params = {"project": self.project, "query": query, **self.params, **other, "page_size": n_tasks}
        response = self.session.send("GET", _PATH, params=params, patient=patient)
        place = f"{self.session.url}{_PATH}"
        answer = read_object(response, place)
        with expecting("tasks", place):
            tasks = _checked(answer["tasks"], str(params.get("include", "data")).split(","))
            n_total = read_number(answer["total"])
        if n_total > 0 and not tasks:
            raise LabelStudioError(
                f"{self.session.url} lists none of {n_total} tasks of project {self.project}"
            )
        return TaskPage(tasks, tuple(task["id"] for task in tasks), n_total, len(response.content))

    def _disorder(self, ids: Sequence[int]) -> LabelStudioError:
        return LabelStudioError(
            f"{self.session.url} lists tasks of project {self.project} out of order: {ids[:5]}"
        )


def list_tasks(session: Session, project: int, filters: Sequence[Json], params: Json) -> Iterator[Json]:
    """Tasks that match by ascending id, at most ``page_size`` of ``params`` in an answer."""
    n_most = int(params["page_size"])
    for page in TaskLister(session, project, params, n_next=n_most, n_most=n_most).by_ids(filters):
        yield from page


def _checked(tasks: Any, fields: Collection[str]) -> Page:
    """The tasks of an answer. Raise KeyError, TypeError or ValueError where one lacks any of these fields."""
    moments = [name for name in ("created_at", "updated_at") if name in fields]
    of_annotations = {name for name in ("was_cancelled", "completed_by") if name in fields}

    def check_row(row: Any) -> None:
        read_number(row["id"])
        for name in moments:
            read_moment(row[name])

    for task in tasks:
        check_row(task)
        for name, kind in (("data", dict), ("annotations", list)):
            if name in fields and type(task[name]) is not kind:
                raise TypeError(f"{name}: {type(task[name]).__name__}")
        for annotation in task["annotations"] if "annotations" in fields else ():
            check_row(annotation)
            if not of_annotations <= annotation.keys():
                raise KeyError(min(of_annotations - annotation.keys()))
    return tuple(tasks)
