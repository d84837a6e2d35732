"""The scripted annotator: works through the server's API as the page does, and keeps a ledger of it."""

from __future__ import annotations

import copy
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.e2e.faults.world import SIZE

Json = dict[str, Any]
Identity = tuple[int, str]
_PAGE = 500
_PATIENCE_S = 600.0


def identity(one: Json) -> Identity:
    """Number and creation of a task or an annotation: the server gives the numbers of deleted ones again."""
    return int(one["id"]), str(one["created_at"])


def owner(annotation: Json) -> int:
    """The number of who made it: some answers have the person, others the number alone."""
    person = annotation["completed_by"]
    return int(person["id"] if isinstance(person, dict) else person)


@dataclass
class Ledger:
    """What the server said after each deed.

    ``annotations`` and ``drafts`` are there, with their tasks, and so are the ``foreign_tasks``, with their
    data; ``deleted_images`` are those whose only tasks were deleted, ``uncertain_images`` had several then.
    ``touched`` are all tasks that were ever worked on, ``deeds`` what was done, in order.
    """

    annotations: dict[Identity, Json] = field(default_factory=dict)
    drafts: dict[int, Identity] = field(default_factory=dict)
    deleted_images: set[str] = field(default_factory=set)
    uncertain_images: set[str] = field(default_factory=set)
    foreign_tasks: dict[Identity, Json] = field(default_factory=dict)
    touched: set[Identity] = field(default_factory=set)
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

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self._http.request(method, path, json=body, **options)

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

    def wait(self) -> None:
        """Waits until a server that went away is back."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if self.send("GET", "/health").is_success:
                    return
            time.sleep(0.05)
        raise AssertionError("Label Studio does not come back")

    def second_user(self) -> int:
        """The id of a colleague, made if need be."""
        email = "colleague@detseg.invalid"
        for user in self.get("/api/users/"):
            if user["email"] == email:
                return int(user["id"])
        return int(self.send("POST", "/api/users/", {"email": email, "username": "colleague"}).json()["id"])


class Person:
    """Does seeded deeds in one project, also while its server dies and comes back.

    Everything is done at the server itself, not through the proxy.
    """

    def __init__(self, server: Server, title: str, rng: Random, *, colleague: int) -> None:
        self.ledger = Ledger()
        self._server, self._title, self._rng, self._colleague = server, title, rng, colleague
        self._project, self._settled, self._left = 0, set[Identity](), False
        self._listed: list[Json] | None = None
        self._deeds: dict[Callable[[], None], float] = {
            self._submit: 6,
            self._skip: 1,
            self._update: 2,
            self._disagree: 1,
            self._delete_annotation: 0.5,
            self._delete_task: 0.4,
            self.import_own_task: 0.2,
            self._leave_draft: 0.5,
        }

    def work(self, n_deeds: int, *, settled: bool = True, stop: threading.Event | None = None) -> None:
        """Some deeds, one after another; none while the project is not there yet.

        ``settled``: the catalog knows every task that is there now. Others are not deleted: nobody could know
        that they were ever there.
        """
        if not self._find_project():
            return
        there = self._tasks()
        self._listed = there if stop is None else None  # or it changes meanwhile
        if settled:
            self._settled = set(map(identity, there))
        for _ in range(n_deeds):
            if (stop is not None and stop.is_set()) or self._left:
                return
            (deed,) = self._rng.choices(list(self._deeds), weights=list(self._deeds.values()))
            self.ledger.deeds.append(deed.__name__.strip("_"))
            deed()

    def leave(self) -> None:
        """No deed from now on."""
        self._left = True

    def delete_newest(self) -> None:
        """Deletes the task with the highest number, which the server gives again."""
        self._find_project()
        settled = [task for task in self._tasks() if identity(task) in self._settled]
        self.ledger.deeds.append(f"delete_newest {settled[-1]['id']}")
        self._delete(settled[-1])

    def _find_project(self) -> bool:
        """The first one that was made, where a request made two: the other one goes."""
        answer = self._sure("/api/projects/", title=self._title, page_size=100).json()
        found = [int(project["id"]) for project in answer["results"] if project["title"] == self._title]
        self._project = min(found, default=0)
        return bool(found)

    def _tasks(self) -> list[Json]:
        """The tasks that have our key."""
        params = {"project": self._project, "include": "id,created_at,data", "page_size": _PAGE}
        tasks = self._sure("/api/tasks/", **params).json()["tasks"]
        return sorted((task for task in tasks if "image_id" in task["data"]), key=identity)

    def _sure(self, path: str, **params: Any) -> httpx.Response:
        """What the server answers, as soon as it is there."""
        while True:
            try:
                return self._server.send("GET", path, params=params)
            except httpx.TransportError:
                self._server.wait()

    def _do(self, method: str, path: str, body: Any = None) -> Json | None:
        """What the server answers; None where it refused, or died over it and is back now."""
        try:
            answer = self._server.send(method, path, body)
        except httpx.TransportError:
            self._server.wait()
            return None
        if not answer.is_success:
            return None
        return dict(answer.json()) if answer.content else {}

    def _open_task(self, *, reviewed: bool, settled: bool = False) -> Json | None:
        """One of the tasks as its page has it; of those that are there twice rather than others."""
        known = {entry["task"] for entry in self.ledger.annotations.values()}
        there = self._tasks() if self._listed is None else self._listed
        images = Counter(task["data"]["image_id"] for task in there)
        tasks = [task for task in there if (identity(task) in known) == reviewed]
        tasks = [task for task in tasks if not settled or identity(task) in self._settled]
        doubles = [task for task in tasks if images[task["data"]["image_id"]] > 1]
        if not tasks:
            return None
        number = int(self._rng.choice(doubles or tasks)["id"])
        self.ledger.deeds[-1] += f" {number}"
        opened = self._sure(f"/api/tasks/{number}/")
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
        task = self._open_task(reviewed=True)
        annotations = task["annotations"] if task else ()
        if task and (mine := [one for one in annotations if owner(one) != self._colleague]):
            entry = self._rng.choice(mine)  # another person's would be ours from then on
            body = {"result": self._edited(task), "was_cancelled": False, "lead_time": 9.5}
            self._note(task, self._do("PATCH", f"/api/annotations/{entry['id']}/", body), identity(entry))

    def _delete_annotation(self) -> None:
        task = self._open_task(reviewed=True)
        if task and task["annotations"]:
            entry = self._rng.choice(task["annotations"])
            self._do("DELETE", f"/api/annotations/{entry['id']}/")
            self._look(task, identity(entry))

    def _delete_task(self) -> None:
        if task := self._open_task(reviewed=self._rng.random() < 0.5, settled=True):
            self._delete(task)

    def _delete(self, task: Json) -> None:
        self._do("DELETE", f"/api/tasks/{task['id']}/")
        there = self._tasks()
        if self._listed is not None:
            self._listed = there
        if identity(task) in map(identity, there):
            return
        image = task["data"]["image_id"]
        others = any(one["data"]["image_id"] == image for one in there)
        (self.ledger.uncertain_images if others else self.ledger.deleted_images).add(image)
        annotations, drafts = self.ledger.annotations, self.ledger.drafts
        self.ledger.annotations = {k: one for k, one in annotations.items() if one["task"] != identity(task)}
        self.ledger.drafts = {number: one for number, one in drafts.items() if one != identity(task)}

    def import_own_task(self) -> None:
        data = {"image": "/static/images/logo.png", "note": "mine"}
        self._do("POST", "/api/tasks/", {"data": data, "project": self._project})
        params = {"project": self._project, "include": "id,created_at,data", "page_size": _PAGE}
        for task in self._sure("/api/tasks/", **params).json()["tasks"]:
            if task["data"] == data:
                self.ledger.foreign_tasks[identity(task)] = data

    def _leave_draft(self) -> None:
        if task := self._open_task(reviewed=False):
            self.ledger.touched.add(identity(task))
            path = f"/api/tasks/{task['id']}/drafts"
            if draft := self._do("POST", path, {"result": self._shown(task)}):
                self._begun(task)
                self.ledger.drafts[int(draft["id"])] = identity(task)

    def _post(self, task: Json, result: list[Json], *, cancelled: bool, by: int | None = None) -> None:
        self.ledger.touched.add(identity(task))
        body: Json = {"result": result, "was_cancelled": cancelled, "lead_time": self._rng.randint(1, 90) / 4}
        if by is not None:
            body["completed_by"] = by
        self._note(task, self._do("POST", f"/api/tasks/{task['id']}/annotations/", body))

    def _note(self, task: Json, answer: Json | None, changed: Identity | None = None) -> None:
        """The annotation as the server says it is now; if it says nothing, what it has."""
        if answer is None:
            self._look(task, changed)
        else:
            self._begun(task)
            self.ledger.annotations[identity(answer)] = {**answer, "task": identity(task)}

    def _look(self, task: Json, changed: Identity | None = None) -> None:
        """Learns what the server has of a task: what is new there, and the annotation that was changed."""
        seen = self._sure(f"/api/tasks/{task['id']}/")
        if not seen.is_success or identity(seen.json()) != identity(task):
            return  # what the ledger has of it was not taken back by anybody
        there = {identity(entry): entry for entry in seen.json()["annotations"]}
        if changed is not None and changed not in there:
            self.ledger.annotations.pop(changed, None)
        for key, entry in there.items():
            if key == changed or key not in self.ledger.annotations:
                self._begun(task)
                self.ledger.annotations[key] = {**entry, "task": identity(task)}

    def _begun(self, task: Json) -> None:
        """A task that somebody works on is wanted, also if an earlier one of its image was deleted."""
        self.ledger.deleted_images.discard(task["data"]["image_id"])

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
            x = value["x"] + self._rng.uniform(-2, 2)
            value["x"] = round(min(max(x, 0.0), 100.0 - value["width"]), 4)  # the page keeps boxes inside
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
