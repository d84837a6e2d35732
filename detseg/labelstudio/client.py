"""The few requests that we make to Label Studio, each with a timeout.

    with LabelStudioClient(url, token) as client:
        client.whoami()                                      # the user; wrong URL and token fail here
        client.find_projects(title) / create_project / update_project
        client.local_storages(project) / create_local_storage
        client.import_tasks(project, tasks)                  # -> ids, as many as tasks; never retried
        client.tasks_by_keys(project, keys)                  # -> {key: ids}; what arrived after a failure
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
from typing import Any, Self
from urllib.parse import urljoin

import httpx

from detseg.errors import LabelStudioError
from detseg.labelstudio.filters import by_count, by_data, by_id
from detseg.labelstudio.json_body import encode_json
from detseg.labelstudio.listing import UNSHOWN, list_tasks
from detseg.labelstudio.responses import (
    expecting,
    one_line,
    read_id,
    read_moment,
    read_number,
    read_object,
    read_text,
)
from detseg.labelstudio.session import Json, Session
from detseg.paging import pages
from detseg.plurals import format_count
from detseg.types import SeenTask

KEY = "image_id"
"""The field of a task's data that holds our image id."""

LOCAL_FILES = "/data/local-files/?d="
"""Begins the URL of a file of the server; its path below the document root follows."""

IMPORT_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
_KEYS_PER_REQUEST = 100
_IDS_PER_PAGE = 1000
_TASKS_PER_PAGE = 100
_IDENTITY = "id,created_at,data"
_OF_A_PROJECT = {  # all fields would have the server count more than it lists
    "include": "id,title,label_config,model_version,task_number,created_at,maximum_annotations,"
    "expert_instruction"
}


@dataclass(frozen=True, slots=True)
class Project:
    """The facts about a project that we need. ``model_version`` is the one whose predictions are shown,
    ``overlap`` how many people are asked about each task, ``instruction`` what they read first, as HTML."""

    id: int
    title: str
    label_config: str
    model_version: str
    n_tasks: int
    created_at: datetime
    overlap: int = 1
    instruction: str = ""


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

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def whoami(self) -> Json:
        """The user that the token belongs to: ``id``, ``email``, ..."""
        answer = self._session.json("GET", "/api/current-user/whoami")
        with expecting("a user", self.url):
            return {**answer, "email": read_text(answer["email"])}

    def ensure_user(self, email: str, *, first_name: str, last_name: str) -> int:
        """The id of the user with that e-mail address, added to the organisation if there is none yet."""
        for number, address in self.people().items():
            if address == email:
                return number
        names = {"first_name": first_name, "last_name": last_name}
        body = {"email": email, "username": email.split("@")[0], **names}
        return read_id(self._session.json("POST", "/api/users/", body=body), self.url)

    def people(self) -> dict[int, str]:
        """The e-mail addresses of the organisation's users, by their numbers."""
        with expecting("users", self.url):
            return {read_number(user["id"]): user["email"] for user in self._session.objects("/api/users/")}

    def version(self) -> str:
        """The server's version, for instance ``1.23.2``."""
        return str(self._session.json("GET", "/api/version/").get("release", "unknown"))

    def find_projects(self, title: str) -> tuple[Project, ...]:
        """Projects with exactly that title, oldest first."""
        found: list[Project] = []
        page, n_seen = 1, 0
        while True:
            params = {"title": title, "page": page, **_OF_A_PROJECT}
            answer = self._session.json("GET", "/api/projects/", params=params)
            with expecting("projects", self.url):
                n_in_all = read_number(answer["count"])
                projects = [_project(entry, self.url) for entry in _list_of(answer, "results", self.url)]
            if known := {one.id for one in found}.intersection(one.id for one in projects):
                raise LabelStudioError(f"{self.url} lists project {min(known)} on two pages: run again")
            n_seen += len(projects)
            found += projects
            if not projects or n_seen >= n_in_all:
                alike = (project for project in found if project.title == title)
                return tuple(sorted(alike, key=lambda project: project.id))
            page += 1

    def project(self, project: int) -> Project:
        """One project. Raises LabelStudioError if there is none of that id."""
        return _project(
            self._session.json("GET", f"/api/projects/{project}/", params=_OF_A_PROJECT), self.url
        )

    def create_project(self, title: str, label_config: str, **settings: str | int | bool) -> Project:
        """A new project. Titles are not unique on the server: look first."""
        body = {"title": title, "label_config": label_config, **settings}
        return _project(self._session.json("POST", "/api/projects/", body=body), self.url)

    def update_project(self, project: int, **settings: str | int | bool) -> Project:
        """Set ``label_config``, ``model_version`` (one that has predictions) or other fields."""
        return _project(self._session.json("PATCH", f"/api/projects/{project}/", body=settings), self.url)

    def delete_project(self, project: int) -> None:
        """Delete a project with everything that people did in it."""
        self._session.send("DELETE", f"/api/projects/{project}/")

    def local_storages(self, project: int) -> tuple[str, ...]:
        """The folders that the server serves files of to this project's page, sorted."""
        with expecting("storages", self.url):
            return tuple(sorted(read_text(row["path"]) for row in self.storages(project, "localfiles")))

    def create_local_storage(self, project: int, folder: str) -> None:
        """Let the server serve the files below that folder (absolute, strictly below its document root)."""
        body = {"project": project, "path": folder, "use_blob_urls": True, "title": folder[-256:]}
        self.create_storage("localfiles", body)

    def storages(self, project: int, kind: str) -> tuple[Json, ...]:
        """The project's storage rows of a kind (``localfiles``, ``s3``, ``gcs``, ``azure``)."""
        return tuple(self._session.objects(f"/api/storages/{kind}/", {"project": project}))

    def create_storage(self, kind: str, row: Json) -> None:
        """A storage row, which the server tries before it takes it. Nothing is synchronised."""
        self._session.json("POST", f"/api/storages/{kind}/", body=row)

    def delete_storage(self, kind: str, row: int) -> None:
        """Takes a storage row away; tasks and files stay."""
        self._session.send("DELETE", f"/api/storages/{kind}/{row}")

    def upload(self, project: int, files: Sequence[tuple[str, bytes]]) -> tuple[int, ...]:
        """Copies files (names and contents) to the server without making tasks of them; the uploads' ids."""
        path = f"/api/projects/{project}/import"
        params = {"commit_to_project": "false"}
        response = self._session.send("POST", path, params=params, files=files, timeout=IMPORT_TIMEOUT)
        answer = read_object(response, f"{self.url}{path}")
        with expecting("uploads", self.url):
            return tuple(read_number(upload) for upload in _list_of(answer, "file_upload_ids", self.url))

    def uploads(self, project: int, ids: Sequence[int] | None = None) -> tuple[str, ...]:
        """The paths of our uploads below the server's ``/data/``: of those ids, or of all."""
        params: Json = {"all": "true"} if ids is None else {"ids": json.dumps(list(ids))}
        with expecting("uploads", self.url):
            answer = self._session.objects(f"/api/projects/{project}/file-uploads", params)
            return tuple(read_text(upload["file"]) for upload in answer)

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
        with expecting("tasks", self.url):
            ids = [read_number(task) for task in _list_of(answer, "task_ids", self.url)]
        counted = (answer.get("task_count"), len(set(ids)), answer.get("prediction_count"))
        if counted != (n_tasks, n_tasks, n_predictions) or ids != sorted(ids):
            raise LabelStudioError(
                f"project {project} on {self.url}: sent {format_count(n_tasks, 'task')} and "
                f"{format_count(n_predictions, 'prediction')}, the server counts tasks: {counted[0]}, "
                f"ids: {counted[1]}, predictions: {counted[2]}; look there before sending again"
            )
        return tuple(ids)

    def tasks_by_keys(self, project: int, keys: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Ids of the tasks whose data holds one of the keys; keys without a task are missing."""
        found = self.find_tasks(project, keys)
        return {name: tuple(int(task["id"]) for task in tasks) for name, tasks in found.items()}

    def find_tasks(self, project: int, keys: Sequence[str]) -> dict[str, tuple[Json, ...]]:
        """``id``, ``created_at`` and ``data`` of the tasks whose data holds one of the keys, by key and
        ascending id."""
        found: dict[str, list[Json]] = {}
        for start in range(0, len(keys), _KEYS_PER_REQUEST):
            wanted = list(keys[start : start + _KEYS_PER_REQUEST])
            for task in self._listed(project, [by_data(KEY, "in_list", wanted)], include=_IDENTITY):
                with expecting("tasks", self.url):
                    unshown = UNSHOWN in task
                    name = self._key_of(project, task, wanted) if unshown else str(task["data"][KEY])
                found.setdefault(name, []).append(task)
        return {name: tuple(sorted(tasks, key=lambda task: int(task["id"]))) for name, tasks in found.items()}

    def _key_of(self, project: int, task: Json, keys: Sequence[str]) -> str:
        """Find which of the keys a task has whose data the server cannot show."""
        while len(keys) > 1:
            middle = len(keys) // 2
            asked = [by_id("equal", int(task["id"])), by_data(KEY, "in_list", keys[:middle])]
            keys = keys[:middle] if any(self._listed(project, asked, include="id")) else keys[middle:]
        return keys[0]

    def seen_tasks(self, project: int, ids: Sequence[int] | None = None) -> Iterator[SeenTask]:
        """The project's tasks by ascending id: those of the ids, or all."""
        some = [None] if ids is None else pages(ids)
        for page in some:
            wanted = [] if page is None else [by_id("in_list", page)]
            yield from map(seen_task, self._listed(project, wanted, include=_IDENTITY))

    def task_ids(self, project: int) -> tuple[int, ...]:
        """Ids of all tasks, ascending."""
        return tuple(int(task["id"]) for task in self._listed(project, [], include="id"))

    def unannotated_tasks(self, project: int) -> Iterator[Json]:
        """``id`` and ``data`` of the tasks that nobody annotated or skipped, by ascending id."""
        nobodys = [by_count(name, "equal", 0) for name in ("total_annotations", "cancelled_annotations")]
        return self._listed(project, nobodys, include="id,data")

    def local_file_tasks(self, project: int, *, elsewhere_than: str) -> Iterator[Json]:
        """``id``, ``created_at`` and ``data`` of the tasks whose images are files of the server, but not of
        that folder."""
        elsewhere = [
            by_data("image", "contains", LOCAL_FILES),
            by_data("image", "not_contains", f"{LOCAL_FILES}{elsewhere_than}/"),
        ]
        return self._listed(project, elsewhere, include=_IDENTITY)

    def task_data(self, task: int, *, project: int) -> Json:
        """The data of a project's task as it is kept, with addresses of storages unresolved."""
        params = {"resolve_uri": "false", "project": project}
        answer = self._session.json("GET", f"/api/tasks/{task}/", params=params)
        with expecting("a task", self.url):
            return {**answer["data"]}

    def update_task(self, task: int, **fields: Any) -> None:
        """Set fields of a task, for instance its data as a whole."""
        self._session.json("PATCH", f"/api/tasks/{task}/", body=fields)

    def task(self, task: int) -> Json:
        """One task with its annotations (skipped ones too) and predictions."""
        answer = self._session.json("GET", f"/api/tasks/{task}/")
        with expecting("a task", self.url):
            return {**answer, "id": read_number(answer["id"]), "data": {**answer["data"]}}

    def tasks(self, project: int) -> Iterator[Json]:
        """All tasks with their annotations (skipped ones too) and predictions, by ascending id."""
        return self._listed(project, [], fields="all", page_size=_TASKS_PER_PAGE)

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
        answer = self._session.json("POST", f"/api/tasks/{task}/annotations/", body=body)
        return read_id(answer, self.url)

    def update_annotation(self, annotation: int, **fields: Any) -> None:
        """Set fields of an annotation, as the page's Update does."""
        self._session.json("PATCH", f"/api/annotations/{annotation}/", body=fields)

    def delete_task(self, task: int) -> None:
        """Delete a task with its annotations, as people do in the page."""
        self._session.send("DELETE", f"/api/tasks/{task}/")

    def fetch(self, path: str) -> bytes:
        """The bytes behind a URL of the server, for instance a task's image.

        Raises LabelStudioError for a URL of another server, which gets neither a request nor the token.
        """
        return self._session.send("GET", self.own_path(path)).content

    def own_path(self, url: str) -> str:
        """The path of a URL of the server, which may be relative. Raises LabelStudioError for any other."""
        path = url.removeprefix(self.url)
        if not path.startswith("/") or path.startswith("//"):
            raise LabelStudioError(f"{url} is not on {self.url}, and the token goes nowhere else")
        return path

    def redirect(self, path: str) -> str | None:
        """Ask where the server sends a GET on to, for instance a signed URL; None if it answers itself."""
        location: str | None = self._session.send("GET", path, redirects=True).headers.get("Location")
        try:
            return None if location is None else urljoin(path, location)
        except ValueError as error:
            raise LabelStudioError(f"{self.url}{path} is sent on to {location!r}, which is no URL") from error

    def _listed(
        self, project: int, filters: Sequence[Json], *, page_size: int = _IDS_PER_PAGE, **wanted: str
    ) -> Iterator[Json]:
        return list_tasks(self._session, project, filters, {"page_size": page_size, **wanted})


def seen_task(task: Json) -> SeenTask:
    """Read what tells a task of a list from others. Raises LabelStudioError where it is not there."""
    with expecting("a task", "Label Studio"):
        image = task["data"].get(KEY)
        created_at = read_moment(task["created_at"])
        return SeenTask(read_number(task["id"]), created_at, image if isinstance(image, str) else None)


def _project(entry: Json, url: str) -> Project:
    with expecting("a project", url):
        return Project(
            id=read_number(entry["id"]),
            title=read_text(entry["title"]),
            label_config=str(entry.get("label_config") or ""),
            model_version=str(entry.get("model_version") or ""),
            n_tasks=read_number(entry.get("task_number") or 0),
            created_at=read_moment(entry["created_at"]),
            overlap=read_number(entry.get("maximum_annotations") or 1),
            instruction=str(entry.get("expert_instruction") or ""),
        )


def _list_of(answer: Json, key: str, url: str) -> list[Any]:
    value = answer.get(key)
    if not isinstance(value, list):
        raise LabelStudioError(f"{url} answered without the list {key!r}: {one_line(str(answer))[:120]}")
    return value
