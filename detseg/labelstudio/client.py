"""The few requests that we make to Label Studio, each with a timeout.

    with LabelStudioClient(url, token) as client:
        client.whoami()                                      # the user; wrong URL and token fail here
        client.find_projects(title) / create_project / update_project
        client.local_storages(project) / create_local_storage
        client.import_tasks(project, tasks)                  # -> ids, as many as tasks; never retried
        client.tasks_by_keys(project, keys)                  # -> {key: ids}; settles doubts after a failure
        client.task(id) / tasks(project) / task_ids(project)
        client.create_annotation(task, ...)                  # what the page's Submit does

Reading and what sets a value (PATCH) is repeated a few times when nobody answers, on 5xx and on 429;
what adds something (POST) never is, because a request whose answer got lost may have been carried out.
Raises Unreachable when nobody answered, LabelStudioError with the server's words when it refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

from detseg.errors import LabelStudioError
from detseg.labelstudio.body import encode_json
from detseg.labelstudio.filters import build_query, by_count, by_data, by_id
from detseg.labelstudio.session import Json, Session
from detseg.labelstudio.wire import expecting, one_line, read_object, read_objects

KEY = "image_id"
"""The field of a task's data that holds our image id."""

IMPORT_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
_KEYS_PER_REQUEST = 100
_IDS_PER_PAGE = 1000
_TASKS_PER_PAGE = 100
_OF_A_PROJECT = {  # all fields would have the server count more than it lists
    "include": "id,title,label_config,model_version,task_number,created_at,maximum_annotations"
}


@dataclass(frozen=True, slots=True)
class Project:
    """What we need to know of a project. ``model_version`` is the one whose predictions are shown,
    ``overlap`` how many people are asked about each task."""

    id: int
    title: str
    label_config: str
    model_version: str
    n_tasks: int
    created_at: datetime
    overlap: int = 1


class LabelStudioClient:
    """One server, one user. ``transport`` and ``sleep`` are for tests."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = Session(url, token, transport=transport, sleep=sleep)
        self.url = self._session.url

    @property
    def session(self) -> Session:
        """The connection, for the modules beside this one that ask for more."""
        return self._session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def whoami(self) -> Json:
        """The user that the token belongs to: ``id``, ``email``, ..."""
        return self._session.json("GET", "/api/current-user/whoami")

    def ensure_user(self, email: str, *, first_name: str, last_name: str) -> int:
        """The id of the user with that e-mail address, added to the organisation if there is none yet."""
        for user in self._objects("/api/users/"):
            if user["email"] == email:
                return int(user["id"])
        names = {"first_name": first_name, "last_name": last_name}
        body = {"email": email, "username": email.split("@")[0], **names}
        return int(self._session.json("POST", "/api/users/", body=body)["id"])

    def version(self) -> str:
        """The server's version, for instance ``1.23.2``."""
        return str(self._session.json("GET", "/api/version").get("release", "unknown"))

    def find_projects(self, title: str) -> tuple[Project, ...]:
        """Projects with exactly that title, oldest first."""
        found: list[Project] = []
        page, n_seen = 1, 0
        while True:
            answer = self._session.json(
                "GET", "/api/projects/", params={"title": title, "page": page, **_OF_A_PROJECT}
            )
            results = _list_of(answer, "results", self.url)
            n_seen += len(results)
            found += [_project(entry, self.url) for entry in results if entry.get("title") == title]
            if not results or n_seen >= answer.get("count", 0):
                return tuple(sorted(found, key=lambda project: project.id))
            page += 1

    def project(self, project: int) -> Project:
        """One project. Raises LabelStudioError if there is none of that id."""
        return _project(self._session.json("GET", f"/api/projects/{project}", params=_OF_A_PROJECT), self.url)

    def create_project(self, title: str, label_config: str, **settings: str | int | bool) -> Project:
        """A new project. Titles are not unique on the server: look first."""
        body = {"title": title, "label_config": label_config, **settings}
        return _project(self._session.json("POST", "/api/projects/", body=body), self.url)

    def update_project(self, project: int, **settings: str | int | bool) -> Project:
        """Set ``label_config``, ``model_version`` (one that has predictions) or other fields."""
        return _project(self._session.json("PATCH", f"/api/projects/{project}", body=settings), self.url)

    def delete_project(self, project: int) -> None:
        """Delete a project with everything that people did in it."""
        self._session.send("DELETE", f"/api/projects/{project}")

    def local_storages(self, project: int) -> tuple[str, ...]:
        """The folders that the server serves files of to this project's page, sorted."""
        with expecting("storages", self.url):
            return tuple(sorted(str(row["path"]) for row in self.storages(project, "localfiles")))

    def create_local_storage(self, project: int, folder: str) -> None:
        """Let the server serve the files below that folder (absolute, strictly below its document root)."""
        body = {"project": project, "path": folder, "use_blob_urls": True, "title": folder[-256:]}
        self.create_storage("localfiles", body)

    def storages(self, project: int, kind: str) -> tuple[Json, ...]:
        """The project's storage rows of a kind (``localfiles``, ``s3``, ``gcs``, ``azure``)."""
        return tuple(self._objects(f"/api/storages/{kind}", {"project": project}))

    def create_storage(self, kind: str, row: Json) -> None:
        """A storage row, which the server tries before it takes it. Nothing is synchronised."""
        self._session.json("POST", f"/api/storages/{kind}", body=row)

    def upload(self, project: int, files: Sequence[tuple[str, bytes]]) -> tuple[int, ...]:
        """Copies files (names and contents) to the server without making tasks of them; the uploads' ids."""
        path = f"/api/projects/{project}/import"
        params = {"commit_to_project": "false"}
        response = self._session.send("POST", path, params=params, files=files, timeout=IMPORT_TIMEOUT)
        answer = read_object(response, f"{self.url}{path}")
        return tuple(int(upload) for upload in _list_of(answer, "file_upload_ids", self.url))

    def uploads(self, project: int, ids: Sequence[int] | None = None) -> tuple[str, ...]:
        """The paths of our uploads below the server's ``/data/``: of those ids, or of all."""
        params: Json = {"all": "true"} if ids is None else {"ids": json.dumps(list(ids))}
        with expecting("uploads", self.url):
            answer = self._objects(f"/api/projects/{project}/file-uploads", params)
            return tuple(str(upload["file"]) for upload in answer)

    def import_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
        """Add tasks (with predictions) in one transaction; their ids, ascending, in the order given.

        All or none is added. On Unreachable nobody knows which: ask ``tasks_by_keys`` before sending again.
        Raises LabelStudioError if the server's counts are not ours.
        """
        if not tasks:
            return ()
        n_predictions = sum(len(task.get("predictions", ())) for task in tasks)
        body = encode_json(list(tasks))
        return self.import_encoded(project, body, n_tasks=len(tasks), n_predictions=n_predictions)

    def import_encoded(
        self, project: int, body: bytes, *, n_tasks: int, n_predictions: int
    ) -> tuple[int, ...]:
        """As ``import_tasks``, of a JSON list that holds that many tasks and predictions."""
        answer = self._session.json(
            "POST",
            f"/api/projects/{project}/import",
            params={"return_task_ids": "true"},
            body=body,
            timeout=IMPORT_TIMEOUT,
        )
        ids = [int(task) for task in _list_of(answer, "task_ids", self.url)]
        counted = (answer.get("task_count"), len(set(ids)), answer.get("prediction_count"))
        if counted != (n_tasks, n_tasks, n_predictions) or ids != sorted(ids):
            raise LabelStudioError(
                f"project {project} on {self.url}: sent {n_tasks} tasks with {n_predictions} predictions, "
                f"the server says {counted[0]} tasks, {counted[1]} ids, {counted[2]} predictions: look there "
                "before sending again"
            )
        return tuple(ids)

    def tasks_by_keys(
        self, project: int, keys: Sequence[str], *, key: str = KEY
    ) -> dict[str, tuple[int, ...]]:
        """Ids of the tasks whose data holds one of the keys; keys without a task are missing."""
        found = self.find_tasks(project, keys, key=key)
        return {name: tuple(int(task["id"]) for task in tasks) for name, tasks in found.items()}

    def find_tasks(self, project: int, keys: Sequence[str], *, key: str = KEY) -> dict[str, tuple[Json, ...]]:
        """``id`` and ``data`` of the tasks whose data holds one of the keys, by key and ascending id."""
        found: dict[str, list[Json]] = {}
        for start in range(0, len(keys), _KEYS_PER_REQUEST):
            wanted = list(keys[start : start + _KEYS_PER_REQUEST])
            for task in self._pages(project, [by_data(key, "in_list", wanted)], include="id,data"):
                with expecting("tasks", self.url):
                    found.setdefault(str(task["data"][key]), []).append(task)
        return {name: tuple(sorted(tasks, key=lambda task: int(task["id"]))) for name, tasks in found.items()}

    def task_ids(self, project: int) -> tuple[int, ...]:
        """Ids of all tasks, ascending."""
        return tuple(int(task["id"]) for task in self._pages(project, [], include="id"))

    def unannotated_tasks(self, project: int) -> Iterator[Json]:
        """``id`` and ``data`` of the tasks that nobody annotated or skipped, by ascending id."""
        nobodys = [by_count(name, "equal", 0) for name in ("total_annotations", "cancelled_annotations")]
        return self._pages(project, nobodys, include="id,data")

    def task_data(self, task: int) -> Json:
        """A task's data as it is kept, with addresses of storages unresolved."""
        answer = self._session.json("GET", f"/api/tasks/{task}/", params={"resolve_uri": "false"})
        with expecting("a task", self.url):
            return dict(answer["data"])

    def update_task(self, task: int, **fields: Any) -> None:
        """Set fields of a task, for instance its data as a whole."""
        self._session.json("PATCH", f"/api/tasks/{task}/", body=fields)

    def task(self, task: int) -> Json:
        """One task with its annotations (skipped ones too) and predictions."""
        answer = self._session.json("GET", f"/api/tasks/{task}/")
        with expecting("a task", self.url):
            return {**answer, "id": int(answer["id"]), "data": dict(answer["data"])}

    def tasks(self, project: int) -> Iterator[Json]:
        """All tasks with their annotations (skipped ones too) and predictions, by ascending id."""
        return self._pages(project, [], fields="all", page_size=_TASKS_PER_PAGE)

    def create_annotation(
        self,
        task: int,
        result: Sequence[Mapping[str, Any]],
        *,
        lead_time_s: float,
        was_cancelled: bool = False,
        parent_prediction: int | None = None,
        completed_by: int | None = None,
    ) -> int:
        """Submit (or skip) a task as the page does; the annotation's id. Its author is the token's user,
        or the user of the id ``completed_by``."""
        body: Json = {"result": list(result), "lead_time": lead_time_s, "was_cancelled": was_cancelled}
        if parent_prediction is not None:
            body["parent_prediction"] = parent_prediction
        if completed_by is not None:
            body["completed_by"] = completed_by
        return int(self._session.json("POST", f"/api/tasks/{task}/annotations/", body=body)["id"])

    def update_annotation(self, annotation: int, **fields: Any) -> None:
        """Set fields of an annotation, as the page's Update does."""
        self._session.json("PATCH", f"/api/annotations/{annotation}/", body=fields)

    def delete_task(self, task: int) -> None:
        """Delete a task with its annotations."""
        self._session.send("DELETE", f"/api/tasks/{task}/")

    def fetch(self, path: str) -> bytes:
        """The bytes behind a URL of the server, for instance a task's image."""
        return self._session.send("GET", path).content

    def redirect(self, path: str) -> str | None:
        """Where the server sends a GET on to, for instance a signed URL; None if it answers itself."""
        location: str | None = self._session.send("GET", path, redirects=True).headers.get("Location")
        return location

    def _objects(self, path: str, params: Json | None = None) -> list[Json]:
        """The list of objects behind a path."""
        return read_objects(self._session.send("GET", path, params=params), f"{self.url}{path}")

    def _pages(
        self, project: int, filters: Sequence[Json], *, page_size: int = _IDS_PER_PAGE, **wanted: str
    ) -> Iterator[Json]:
        """Tasks by ascending id, asked from the last id seen, so that nothing shifts between pages."""
        last = 0
        while True:
            query = build_query([*filters, by_id("greater", last)])
            tasks, n_total = self._page(project, query, {"page_size": page_size, **wanted})
            with expecting("tasks", self.url):
                ids = [int(task["id"]) for task in tasks]
            if ids != sorted(set(ids)) or (ids and ids[0] <= last):
                raise LabelStudioError(f"{self.url} lists tasks of project {project} out of order: {ids[:5]}")
            yield from tasks
            if len(tasks) >= n_total or not tasks:
                return
            last = ids[-1]

    def _page(self, project: int, query: str, params: Json) -> tuple[list[Json], int]:
        """The first page of tasks, and how many match in all (not only on this page)."""
        params = {"project": project, "query": query, **params}
        answer = self._session.json("GET", "/api/tasks/", params=params)
        tasks, n_total = _list_of(answer, "tasks", self.url), answer.get("total")
        if not isinstance(n_total, int) or (n_total > 0 and not tasks):
            raise LabelStudioError(f"{self.url} lists {len(tasks)} of {n_total} tasks of project {project}")
        return tasks, n_total


def _project(entry: Json, url: str) -> Project:
    with expecting("a project", url):
        return Project(
            id=int(entry["id"]),
            title=str(entry["title"]),
            label_config=str(entry.get("label_config") or ""),
            model_version=str(entry.get("model_version") or ""),
            n_tasks=int(entry.get("task_number") or 0),
            created_at=datetime.fromisoformat(entry["created_at"]),
            overlap=int(entry.get("maximum_annotations") or 1),
        )


def _list_of(answer: Json, key: str, url: str) -> list[Any]:
    value = answer.get(key)
    if not isinstance(value, list):
        raise LabelStudioError(f"{url} answered without the list {key!r}: {one_line(str(answer))[:120]}")
    return value
