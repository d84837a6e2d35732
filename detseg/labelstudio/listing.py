"""Lists of a project's tasks, whatever is in them: one task that the server cannot show ends none.

    for task in list_tasks(session, project, filters, {"include": "id,data", "page_size": 100}): ...
    for task in in_halves(ids, show, show_alone): ...

Label Studio keeps text that is no Unicode and times that are no numbers, and fails (HTTP 500) whenever it is
to show them; other tasks are larger than an answer may be. A page with one of them is asked for again in
halves, down to the task alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from detseg.errors import BrokenAnswer, LabelStudioError
from detseg.labelstudio.filters import build_query, by_id
from detseg.labelstudio.responses import expecting, one_line, read_number, read_object
from detseg.labelstudio.session import Json, Session

UNSHOWN = "detseg: unshown"
"""The field of a task or an annotation of which the server itself cannot show all."""

MOST_IN_HALVES = 200
"""Tasks that are asked for at once where some of them break the answer."""


def list_tasks(session: Session, project: int, filters: Sequence[Json], params: Json) -> Iterator[Json]:
    """Tasks by ascending id, asked from the last id seen, so that nothing shifts between pages.

    A task whose data the server cannot show comes without it, and with ``UNSHOWN``, where ``params`` say what
    to ``include``.
    """
    last = 0
    while True:
        tasks, ids, n_total = _page(session, project, [*filters, by_id("greater", last)], params)
        shown = [task["id"] for task in tasks]
        if ids != sorted(set(ids)) or (ids and ids[0] <= last) or shown != sorted({*shown}.intersection(ids)):
            raise LabelStudioError(f"{session.url} lists tasks of project {project} out of order: {ids[:5]}")
        yield from tasks
        if len(ids) >= n_total:
            return
        last = ids[-1]


def in_halves(
    ids: Sequence[int],
    show: Callable[[Sequence[int]], Iterable[Json]],
    show_alone: Callable[[int], Iterable[Json]],
) -> Iterator[Json]:
    """What ``show`` has of the ids, or of each half of them where that is a BrokenAnswer.

    ``show_alone`` is asked for what breaks it alone.
    """
    try:
        yield from show(ids)
    except BrokenAnswer:
        if len(ids) > 1:
            middle = len(ids) // 2
            yield from in_halves(ids[:middle], show, show_alone)
            yield from in_halves(ids[middle:], show, show_alone)
        else:
            yield from show_alone(ids[0])


def _page(
    session: Session, project: int, filters: Sequence[Json], params: Json
) -> tuple[list[Json], list[int], int]:
    """The tasks of the first page, its ids, and how many match in all (not only on this page).

    A page that is asked for in halves may have ids whose tasks are gone by then: the list goes on after them.
    """

    def ask(filters: Sequence[Json], params: Json, *, patient: bool = True) -> tuple[list[Json], int]:
        return _ask(session, filters, {"project": project, **params}, patient=patient)

    def show(ids: Sequence[int]) -> list[Json]:
        return ask([by_id("in_list", ids)], {**params, "page_size": len(ids)}, patient=False)[0]

    def show_alone(id_: int) -> list[Json]:
        include = ",".join(name for name in params["include"].split(",") if name != "data")
        found, _ = ask([by_id("equal", id_)], {**params, "include": include, "page_size": 1})
        return [{**task, "data": {}, UNSHOWN: True} for task in found]

    try:
        found, n_total = ask(filters, params)
        return found, [task["id"] for task in found], n_total
    except BrokenAnswer:
        if "include" not in params:
            raise
        n_most = min(params["page_size"], MOST_IN_HALVES)
        found, n_total = ask(filters, {"include": "id", "page_size": n_most})
        ids = [task["id"] for task in found]
        shown = sorted(in_halves(ids, show, show_alone), key=lambda task: int(task["id"]))
        return shown, ids, n_total


def _ask(session: Session, filters: Sequence[Json], params: Json, *, patient: bool) -> tuple[list[Json], int]:
    params = {"query": build_query(filters), **params}
    response = session.send("GET", "/api/tasks/", params=params, patient=patient)
    answer = read_object(response, f"{session.url}/api/tasks/")
    tasks, n_total = answer.get("tasks"), answer.get("total")
    if not isinstance(tasks, list):
        words = one_line(str(answer))[:120]
        raise LabelStudioError(f"{session.url} answered without the list 'tasks': {words}")
    if not isinstance(n_total, int) or (n_total > 0 and not tasks):
        raise LabelStudioError(
            f"{session.url} lists {len(tasks)} of {n_total} tasks of project {params['project']}"
        )
    with expecting("tasks", session.url):
        for task in tasks:
            read_number(task["id"])
            if "data" in params.get("include", "data").split(",") and not isinstance(task["data"], dict):
                raise TypeError(f"data: {type(task['data']).__name__}")
    return tasks, n_total
