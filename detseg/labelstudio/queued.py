"""Images of tasks that are in Label Studio already and that nobody has annotated: a source of its own.

    labelstudio://<title or number of a project>      lists them, as labelstudio://<number>/<task>

A prediction for such an image goes to its own task. The task's data gets what every task of ours says (the
image's id and size), by which it is found again; nothing that somebody wrote there is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from threading import Lock
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from detseg.errors import FormatError, ImageError, LabelStudioError, SourceError, Unreachable
from detseg.labelstudio.client import LabelStudioClient, Project
from detseg.sources.protocol import Listed
from detseg.sources.registry import Sources
from detseg.types import Entry, Failure, ImageRef, Size

SCHEME = "labelstudio"


class QueuedImages:
    """``others`` read what is not on the server itself: web servers and object stores."""

    def __init__(self, client: LabelStudioClient, others: Sources) -> None:
        self._client = client
        self._others = others
        self._fields: dict[int, str] = {}
        self._lock = Lock()

    def entries(self, location: str) -> Iterator[Listed]:
        """The images of a project's tasks without any annotation, by ascending task."""
        project = self._find(unquote(location.partition("://")[2]).strip("/"))
        field = self._field(project.id)
        return self._walk(project.id, field)

    def read(self, uri: str) -> bytes:
        """The bytes of a task's image, as its page would get them."""
        project, task = parse_queued(uri)
        try:
            value = self._client.task(task)["data"].get(self._field(project))
            if not isinstance(value, str):
                raise ImageError("has no image any more")
            path = value.removeprefix(self._client.url)
            if not path.startswith("/"):
                return self._others.read(value)
            signed = self._client.redirect(path)
            return self._client.fetch(path) if signed is None else self._others.read(signed)
        except Unreachable:
            raise
        except LabelStudioError as error:
            raise ImageError(f"cannot be read: {error}") from error

    def close(self) -> None:
        """Ends the connections to the server and to where else its images are."""
        self._client.close()
        self._others.close()

    def _walk(self, project: int, field: str) -> Iterator[Listed]:
        for task in self._client.unannotated_tasks(project):
            uri = f"{SCHEME}://{project}/{task['id']}"
            value = task["data"].get(field)
            if isinstance(value, str) and value:
                # The server is part of it: another one counts its projects and tasks from 1 again.
                stamp = blake2b(f"{self._client.url} {value}".encode(), digest_size=16).hexdigest()
                yield Entry(uri, stamp=stamp)
            else:
                yield Failure(uri, f"has no image in its data's {field!r}")

    def _find(self, named: str) -> Project:
        found = self._client.find_projects(named)
        if not found and named.isdigit():
            return self._client.project(int(named))
        if len(found) != 1:
            raise SourceError(
                f"{SCHEME}://{named}: {len(found)} projects on {self._client.url} have that title: give the "
                "title of one, or its number"
            )
        return found[0]

    def _field(self, project: int) -> str:
        with self._lock:
            if project not in self._fields:
                self._fields[project] = image_field(self._client.project(project).label_config)
            return self._fields[project]


def parse_queued(uri: str) -> tuple[int, int]:
    """Project and task of an address that was listed; (0, 0) for any other.

    >>> parse_queued("labelstudio://3/17"), parse_queued("/photos/a.png")
    ((3, 17), (0, 0))
    """
    scheme, _, rest = uri.partition("://")
    project, _, task = rest.partition("/")
    return (int(project), int(task)) if scheme == SCHEME and project.isdigit() and task.isdigit() else (0, 0)


def image_field(label_config: str) -> str:
    """The field of a task's data that a labeling interface shows as the image. Raises SourceError for none.

    >>> image_field('<View><Image name="i" value="$photo"/></View>')
    'photo'
    """
    values = [element.get("value", "") for element in ElementTree.fromstring(label_config).iter("Image")]
    if len(values) != 1 or not values[0].startswith("$"):
        raise SourceError(
            f"the project's labeling interface shows {len(values)} images of a task, expected one "
            '(<Image value="$image"/>)'
        )
    return values[0].removeprefix("$")


def mark_task(client: LabelStudioClient, task: int, ref: ImageRef, size: Size) -> None:
    """Adds the image's id and size to a task's data. Doing it again changes nothing.

    Raises FormatError where the data says something else under these names.
    """
    ours: dict[str, Any] = {"image_id": ref.id, "width": size.width, "height": size.height}
    data = client.task_data(task)
    other = {name: data[name] for name in ours if name in data and data[name] != ours[name]}
    if other:
        raise FormatError(
            f"task {task} says {other} of its image, which is {ours}: rename these fields, then "
            "it gets its prediction"
        )
    if not ours.items() <= data.items():
        client.update_task(task, data=data | ours)
