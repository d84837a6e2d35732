"""Predictions of tasks that are there already: added, put in another's place, looked up.

    add_predictions(session, project, body, n)          # like an import of tasks: never repeated
    put_prediction(session, project, id, prediction)    # in place: may be repeated
    delete_prediction(session, id)
    look_up(session, project, task_ids)                 # {task id: TaskOnServer}
    look_for_reviews(session, project, task_ids)        # each SeenTask, and whether it is reviewed
    find_parents(session, project, task_ids)            # {task id: model version that people began with}

A prediction is replaced in its place and not deleted: a page that shows it could no longer be submitted, and
annotations that came of it would forget where they came from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from detseg.errors import BrokenAnswer, LabelStudioError, Refused
from detseg.labelstudio.client import IMPORT_TIMEOUT, seen_task
from detseg.labelstudio.filters import by_id
from detseg.labelstudio.listing import UNSHOWN, TaskLister, list_tasks
from detseg.labelstudio.responses import expecting
from detseg.labelstudio.session import Json, Session
from detseg.paging import pages
from detseg.plurals import format_count
from detseg.types import SeenTask

_LOOKED_AT = "id,created_at,data,predictions,annotations,drafts,parent_prediction,is_labeled,file_upload"
_IN_FIGURES = (
    "id,created_at,data,predictions_model_versions,total_annotations,cancelled_annotations,draft_exists,"
    "is_labeled,file_upload"
)
_LABELED = "id,created_at,data,is_labeled"
_TASKS_PER_REQUEST = 50  # the server answers with all regions of their predictions


@dataclass(frozen=True, slots=True)
class PredictionOnServer:
    """``is_parent``: whether an annotation came of it."""

    id: int
    model_version: str
    is_parent: bool


@dataclass(frozen=True, slots=True)
class TaskOnServer:
    """``touched``: whether people have begun to work on it (an annotation, a skip, a draft).

    ``reviewed``: as many people have labeled it as are asked, so that nobody else gets it. ``from_file``:
    somebody put it there with the page, out of a file. ``unshown`` are the model versions of predictions that
    the server has and fails to show.
    """

    seen: SeenTask
    data: Json
    predictions: tuple[PredictionOnServer, ...]
    touched: bool
    reviewed: bool
    from_file: bool
    unshown: frozenset[str] = frozenset()

    @property
    def id(self) -> int:
        return self.seen.id

    @property
    def versions(self) -> frozenset[str]:
        return self.unshown.union(prediction.model_version for prediction in self.predictions)

    def gives_way(self, ours: Collection[str]) -> bool:
        """Tell whether a prediction of ours may be replaced: it is shown, and nobody has begun the task."""
        return not self.touched and any(one.model_version in ours for one in self.predictions)


def add_predictions(session: Session, project: int, body: bytes, n_predictions: int) -> None:
    """Adds a JSON list of predictions, each with its ``task``. At most 500, which the server adds at once.

    On Unreachable nobody knows whether they were added. Raises Refused, with nothing added, where one of the
    tasks is gone.
    """
    path = f"/api/projects/{project}/import/predictions"
    answer = session.json("POST", path, body=body, timeout=IMPORT_TIMEOUT)
    if answer.get("created") != n_predictions:
        raise LabelStudioError(
            f"project {project} on {session.url}: sent {format_count(n_predictions, 'prediction')}, "
            f"the server says {answer.get('created')}: look there before sending again"
        )


def put_prediction(session: Session, project: int, prediction: int, values: Json) -> None:
    """Gives a prediction another ``model_version``, ``score`` and ``result``; ``values`` names its task.

    Raises LabelStudioError where the server says that it is another model's all the same.
    """
    answer = session.json("PATCH", f"/api/predictions/{prediction}/", body={"project": project, **values})
    if answer.get("model_version") != values["model_version"]:
        raise LabelStudioError(
            f"prediction {prediction} on {session.url}: sent as that of {values['model_version']}, the "
            f"server says {answer.get('model_version')}: look there, then run again"
        )


def delete_prediction(session: Session, prediction: int) -> None:
    """Deletes a prediction; one that is gone already is no error."""
    try:
        session.send("DELETE", f"/api/predictions/{prediction}/")
    except Refused as error:
        if error.status != 404:
            raise


def find_parents(session: Session, project: int, task_ids: Sequence[int]) -> dict[int, str]:
    """The model version of the first prediction that an annotation came of, by task."""
    return {
        task.id: prediction.model_version
        for task in look_up(session, project, task_ids).values()
        for prediction in reversed(task.predictions)
        if prediction.is_parent
    }


def look_up(session: Session, project: int, task_ids: Sequence[int]) -> dict[int, TaskOnServer]:
    """Those of the tasks that are in the project."""
    found: dict[int, TaskOnServer] = {}
    for page in pages(task_ids, _TASKS_PER_REQUEST):
        params = {"fields": "all", "include": _LOOKED_AT}
        lister = TaskLister(session, project, params, n_next=len(page), n_most=len(page))
        lister.show_alone = partial(_show_alone, lister)
        for tasks in lister.by_ids([by_id("in_list", page)]):
            with expecting("tasks", session.url):
                found |= {int(task["id"]): _task(task) for task in tasks}
    return found


def _show_alone(lister: TaskLister, task: int) -> Iterator[Json]:
    """Yield a task that breaks each of its pages as far as the server shows it: without data, or in figures.

    Predictions and drafts hold whatever anybody has written; the figures are counted in the database.
    """
    for include in (_without_data(_LOOKED_AT), _IN_FIGURES):
        try:
            found = lister.alone(task, include, patient=False)
            break
        except BrokenAnswer:
            pass
    else:
        found = lister.alone(task, _without_data(_IN_FIGURES))
    yield from ({"data": {}, **shown, UNSHOWN: True} for shown in found)


def _without_data(include: str) -> str:
    return include.replace("data,", "", 1)


def look_for_reviews(
    session: Session, project: int, task_ids: Sequence[int]
) -> Iterator[tuple[SeenTask, bool]]:
    """Those of the tasks that are in the project, and whether as many people have labeled each as are asked.

    Cheaper than what is on them.
    """
    for page in pages(task_ids):
        params = {"include": _LABELED, "page_size": len(page)}
        for task in list_tasks(session, project, [by_id("in_list", page)], params):
            with expecting("tasks", session.url):
                yield seen_task(task), bool(task["is_labeled"])


def _task(task: Json) -> TaskOnServer:
    if "predictions" not in task:
        return _task_in_figures(task)
    parents = {annotation.get("parent_prediction") for annotation in task["annotations"]}
    predictions = (
        PredictionOnServer(int(entry["id"]), str(entry["model_version"]), entry["id"] in parents)
        for entry in task["predictions"]
    )
    return TaskOnServer(
        seen=seen_task(task),
        data=task["data"],
        predictions=tuple(sorted(predictions, key=lambda prediction: prediction.id)),
        touched=bool(task["annotations"] or task["drafts"]),
        reviewed=bool(task["is_labeled"]),
        from_file=bool(task.get("file_upload")),
    )


def _task_in_figures(task: Json) -> TaskOnServer:
    versions = str(task["predictions_model_versions"] or "")
    return TaskOnServer(
        seen=seen_task(task),
        data=task["data"],
        predictions=(),
        touched=bool(task["total_annotations"] or task["cancelled_annotations"] or task["draft_exists"]),
        reviewed=bool(task["is_labeled"]),
        from_file=bool(task.get("file_upload")),
        unshown=frozenset({versions, *versions.split(",")} - {""}),  # a version may have a comma
    )
