"""Images of tasks that are in Label Studio already and that nobody has annotated: a source of its own.

    labelstudio://<title or number of a project>      lists them, as labelstudio://<number>/<task>

A prediction for such an image goes to its own task. The task's data gets what every task of ours says (the
image's id and size), by which it is found again; nothing that somebody wrote there is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock
from urllib.parse import unquote

from detseg.errors import FormatError, ImageError, LabelStudioError, Refused, SourceError, Unreachable
from detseg.labelstudio.client import LabelStudioClient, Project
from detseg.labelstudio.interface import read_interface
from detseg.labelstudio.listing import UNSHOWN
from detseg.labelstudio.session import Json
from detseg.sources.manifest import is_remote
from detseg.sources.protocol import Listed
from detseg.sources.registry import Sources
from detseg.types import Entry, Failure, ImageRef, Size

SCHEME = "labelstudio"


class QueuedImages:
    """``others`` read what is not on the server itself: web servers and object stores, and nothing else.

    Whoever may write into the project chooses what its tasks name: it is read as a stranger's manifest is.
    """

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
            if is_remote(value) and not value.startswith(f"{self._client.url}/"):
                return self._others.read(value)
            path = self._client.own_path(value)
            signed = self._client.redirect(path)
            if signed is None or not is_remote(signed):
                return self._client.fetch(signed or path)
            return self._others.read(signed)
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
            if UNSHOWN in task:
                why = "text that is no Unicode, or more than can be read"
                yield Failure(uri, f"Label Studio fails to show its data ({why}): delete the task there")
            elif isinstance(value, str) and value:
                yield Entry(uri, stamp=_stamp(self._client, value))
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


def _stamp(client: LabelStudioClient, value: str) -> str:
    """Changes with a task's image. The server is part of it: others count their tasks from 1 again."""
    return blake2b(f"{client.url} {value}".encode(), digest_size=16).hexdigest()


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
    field = read_interface(label_config).image_field
    if not field:
        raise SourceError(
            "the project's labeling interface shows no image of a task that its data names, expected one "
            '(<Image value="$image"/>)'
        )
    return field


@dataclass(frozen=True, slots=True)
class TaskMark:
    """The image's id and size in the data of a task that was listed: by these, the task is found as ours.

    ``field`` is that of the task's data that holds its image.
    """

    entry: Entry
    ref: ImageRef
    size: Size
    field: str


def check_mark(client: LabelStudioClient, mark: TaskMark) -> Json:
    """The whole data of the task with the mark; nothing where it is there already.

    Raises FormatError where the data says something else under these names, and where the task is gone, or
    its number another one's.
    """
    ours: Json = {"image_id": mark.ref.id, "width": mark.size.width, "height": mark.size.height}
    project, task = parse_queued(mark.entry.uri)
    try:
        data = client.task_data(task, project=project)
    except Refused as error:
        if error.status != 404:
            raise
        data = {}
    if _stamp(client, str(data.get(mark.field))) != mark.entry.stamp:
        raise FormatError(f"task {task} is gone, or shows another image than when it was listed: run again")
    other = {name: data[name] for name in ours if name in data and data[name] != ours[name]}
    if other:
        raise FormatError(
            f"task {task} says {other} of its image, which is {ours}: rename these fields, then "
            "it gets its prediction"
        )
    return {} if ours.items() <= data.items() else data | ours


def mark_task(client: LabelStudioClient, mark: TaskMark) -> None:
    """Marks the task as it is now. Doing it again changes nothing. Raises as ``check_mark`` does."""
    data = check_mark(client, mark)
    if data:
        client.update_task(parse_queued(mark.entry.uri)[1], data=data)
