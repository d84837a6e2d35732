"""The scripted annotator: works through the server's API as the page does, and keeps a ledger of it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.e2e.faults.world import SIZE

Json = dict[str, Any]
_PAGE = 500
_PATIENCE_S = 600.0


@dataclass
class Ledger:
    """What the server said after each deed: annotations by id, tasks that were deleted (by image), foreign
    tasks by id; ``touched`` are all tasks that were ever worked on, ``deeds`` what was done, in order."""

    annotations: dict[int, Json] = field(default_factory=dict)
    deleted_images: set[str] = field(default_factory=set)
    foreign_tasks: dict[int, Json] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    deeds: list[str] = field(default_factory=list)


class Server:
    """Label Studio as people and checks see it; knows nothing of the pipeline's own client."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Token {token}"}, timeout=_PATIENCE_S, trust_env=False
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        response = self._http.get(path, params=params)
        response.raise_for_status()
        return response.json()

    def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self._http.request(method, path, json=body)

    def projects(self, title: str) -> list[Json]:
        answer = self.get("/api/projects/", title=title, page_size=100)
        return [project for project in answer["results"] if project["title"] == title]

    def tasks(self, project: int) -> list[Json]:
        """All tasks, with annotations and predictions."""
        found: list[Json] = []
        while True:
            page = len(found) // _PAGE + 1
            params = {"project": project, "fields": "all", "page": page, "page_size": _PAGE}
            answer = self.get("/api/tasks/", **params)
            found += answer["tasks"]
            if len(found) >= answer["total"]:
                return found

    def task_ids(self, project: int) -> list[int]:
        """The tasks that have our key, ascending."""
        answer = self.get("/api/tasks/", project=project, include="id,data", page_size=_PAGE)
        return sorted(int(task["id"]) for task in answer["tasks"] if "image_id" in task["data"])

    def second_user(self) -> int:
        """The id of a colleague, made if need be."""
        email = "colleague@detseg.invalid"
        for user in self.get("/api/users/"):
            if user["email"] == email:
                return int(user["id"])
        return int(self.send("POST", "/api/users/", {"email": email, "username": "colleague"}).json()["id"])


class Person:
    """Does seeded deeds in one project. Everything is done at the server itself, not through the proxy."""

    def __init__(self, server: Server, title: str, rng: Random, *, colleague: int) -> None:
        self.ledger = Ledger()
        self._server, self._title, self._rng, self._colleague = server, title, rng, colleague
        self._project, self._tasks, self._left = 0, list[int](), False
        self._deeds: dict[Callable[[], None], float] = {
            self._submit: 6,
            self._skip: 1,
            self._update: 2,
            self._disagree: 1,
            self._delete_annotation: 0.5,
            self._delete_task: 0.4,
            self._import_own_task: 0.2,
            self._leave_draft: 0.5,
        }

    def work(self, n_deeds: int, *, stop: threading.Event | None = None) -> None:
        """Some deeds, one after another; none while the project is not there yet."""
        for project in self._server.projects(self._title):
            self._project = int(project["id"])
            self._tasks = self._server.task_ids(self._project)
        for _ in range(n_deeds if self._tasks and not self._left else 0):
            if stop is not None and stop.is_set():
                return
            (deed,) = self._rng.choices(list(self._deeds), weights=list(self._deeds.values()))
            self.ledger.deeds.append(deed.__name__.strip("_"))
            deed()

    def leave(self) -> None:
        """No deed from now on."""
        self._left = True

    def _open_task(self, *, reviewed: bool) -> Json | None:
        known = {entry["task"] for entry in self.ledger.annotations.values()}
        numbers = [number for number in self._tasks if (number in known) == reviewed]
        if not numbers:
            return None
        number = self._rng.choice(numbers)
        self.ledger.deeds[-1] += f" {number}"
        opened = self._server.send("GET", f"/api/tasks/{number}/")
        return dict(opened.json()) if opened.is_success else None

    def _submit(self) -> None:
        if task := self._open_task(reviewed=False):
            self._post(task, self._edited(task), cancelled=False)

    def _skip(self) -> None:
        if task := self._open_task(reviewed=False):
            self._post(task, self._shown(task), cancelled=True)

    def _disagree(self) -> None:
        if task := self._open_task(reviewed=True):
            self._post(task, self._edited(task), cancelled=False, by=self._colleague)

    def _update(self) -> None:
        if task := self._open_task(reviewed=True):
            entry = self._rng.choice(task["annotations"]) if task["annotations"] else None
            if entry is not None:
                body = {"result": self._edited(task), "was_cancelled": False, "lead_time": 9.5}
                self._note(task["id"], self._server.send("PATCH", f"/api/annotations/{entry['id']}/", body))

    def _delete_annotation(self) -> None:
        task = self._open_task(reviewed=True)
        if task and task["annotations"]:
            entry = self._rng.choice(task["annotations"])
            self._server.send("DELETE", f"/api/annotations/{entry['id']}/")
            self._look(task["id"])

    def _delete_task(self) -> None:
        task = self._open_task(reviewed=self._rng.random() < 0.5)
        if task and self._server.send("DELETE", f"/api/tasks/{task['id']}/").is_success:
            self.ledger.deleted_images.add(task["data"]["image_id"])
            self._tasks.remove(int(task["id"]))
            for number, entry in list(self.ledger.annotations.items()):
                if entry["task"] == task["id"]:
                    del self.ledger.annotations[number]

    def _import_own_task(self) -> None:
        data = {"image": "/static/images/logo.png", "note": "mine"}
        answer = self._server.send("POST", "/api/tasks/", {"data": data, "project": self._project})
        if answer.is_success:
            self.ledger.foreign_tasks[int(answer.json()["id"])] = data

    def _leave_draft(self) -> None:
        if task := self._open_task(reviewed=False):
            self.ledger.touched.add(int(task["id"]))
            self._server.send("POST", f"/api/tasks/{task['id']}/drafts", {"result": self._shown(task)})

    def _post(self, task: Json, result: list[Json], *, cancelled: bool, by: int | None = None) -> None:
        self.ledger.touched.add(int(task["id"]))
        body: Json = {"result": result, "was_cancelled": cancelled, "lead_time": self._rng.randint(1, 90) / 4}
        if by is not None:
            body["completed_by"] = by
        self._note(task["id"], self._server.send("POST", f"/api/tasks/{task['id']}/annotations/", body))

    def _note(self, task: int, answer: httpx.Response) -> None:
        """The annotation as the server says it is now; if it says nothing, what it has."""
        if answer.is_success:
            entry = answer.json()
            self.ledger.annotations[int(entry["id"])] = {**entry, "task": task}
        else:
            self._look(task)

    def _look(self, task: int) -> None:
        """The ledger's page of that task is what the server has."""
        for number in [number for number, one in self.ledger.annotations.items() if one["task"] == task]:
            del self.ledger.annotations[number]
        seen = self._server.send("GET", f"/api/tasks/{task}/")
        for entry in seen.json()["annotations"] if seen.is_success else ():
            self.ledger.annotations[int(entry["id"])] = {**entry, "task": task}

    def _shown(self, task: Json) -> list[Json]:
        """What the page shows: the prediction that came last."""
        predictions = sorted(task["predictions"], key=lambda one: one["id"])
        return copy.deepcopy(predictions[-1]["result"]) if predictions else []

    def _edited(self, task: Json) -> list[Json]:
        """As predicted, a box moved, a region dropped, one added, or nothing left."""
        result = self._shown(task)
        way = self._rng.choice(["kept", "moved", "dropped", "added", "emptied"])
        boxes = [one for one in result if one["type"] == "rectanglelabels"]
        if way == "moved" and boxes:
            value = self._rng.choice(boxes)["value"]
            value["x"] = round(value["x"] + self._rng.uniform(-2, 2), 4)
        elif way == "dropped" and boxes:
            result.remove(self._rng.choice(boxes))
        elif way == "added":
            result.append(self._new_box())
        elif way == "emptied":
            return []
        return result

    def _new_box(self) -> Json:
        number = "".join(self._rng.choices("abcdefghijklmnopqrstuvwxyz", k=10))
        value = {"x": 50, "y": 50, "width": 12.5, "height": 25, "rotation": 0, "rectanglelabels": ["bolt"]}
        frame = {"original_width": SIZE.width, "original_height": SIZE.height, "image_rotation": 0}
        names = {"from_name": "box", "to_name": "image", "type": "rectanglelabels", "origin": "manual"}
        return {"id": number, **names, **frame, "value": value}
