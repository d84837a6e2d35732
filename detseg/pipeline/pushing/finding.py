"""What a project has and lacks of some images: by the catalog, and by the server where it knows more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.predictions import TaskOnServer, look_up
from detseg.labelstudio.session import Json
from detseg.pipeline.pushing.origin import has_origin
from detseg.types import ImageId, ImageRef, ModelVersion, Size

if TYPE_CHECKING:
    from detseg.catalog import Assignment, Catalog, Project, ProjectKey


@dataclass(frozen=True, slots=True)
class Missing:
    """Images of a page by what they need; each is in one of them, in order.

    ``tasks`` need a task, ``predictions`` have one (its id) without this version's prediction, ``present``
    need nothing (blind ones never do), ``deleted`` had a task that was deleted on the server.
    """

    tasks: tuple[ImageRef, ...] = ()
    predictions: tuple[tuple[ImageRef, int], ...] = ()
    present: tuple[ImageRef, ...] = ()
    deleted: tuple[ImageRef, ...] = ()


def find_missing(
    catalog: Catalog,
    project: ProjectKey,
    refs: Sequence[ImageRef],
    version: ModelVersion,
    *,
    restore: bool,
) -> Missing:
    """What the project lacks of these images, by the catalog. ``restore``: also what was deleted."""
    done = catalog.task_predictions.present(project, [ref.id for ref in refs], version)
    tasks = catalog.tasks.of_images(project, [ref.id for ref in refs if ref.id not in done])
    arms = catalog.arms.of_images(project, tasks)
    new: list[ImageRef] = []
    more: list[tuple[ImageRef, int]] = []
    present: list[ImageRef] = []
    deleted: list[ImageRef] = []
    for ref in refs:
        task = tasks.get(ref.id)
        if ref.id in done:
            present.append(ref)
        elif task is None or task.task_id is None or (task.state == "deleted" and restore):
            new.append(ref)
        elif task.state == "deleted":
            deleted.append(ref)
        elif _is_blind(arms.get(ref.id)):
            present.append(ref)
        else:
            more.append((ref, task.task_id))
    return Missing(tuple(new), tuple(more), tuple(present), tuple(deleted))


def _is_blind(assignment: Assignment | None) -> bool:
    return assignment is not None and assignment.arm == "blind"


def find_gone(client: LabelStudioClient, catalog: Catalog, project: Project) -> dict[int, ImageId]:
    """Tasks that the catalog takes to be on the server, which are not, and their images. Lists all ids."""
    on_server = frozenset(client.task_ids(project.server_id))
    return {
        task.task_id: task.image
        for task in catalog.tasks.of_project(project.key)
        if task.state == "pushed" and task.task_id is not None and task.task_id not in on_server
    }


@dataclass(frozen=True, slots=True)
class Found:
    """Tasks of the server by image. ``foreign`` use our key, but are not as we make them."""

    own: Mapping[ImageId, tuple[int, ...]]
    foreign: Mapping[ImageId, int]


def find_tasks(
    client: LabelStudioClient, catalog: Catalog, project: Project, ids: Sequence[ImageId]
) -> Found:
    """The server's tasks of those images, whichever catalog or person made them; ids ascending."""
    own: dict[ImageId, tuple[int, ...]] = {}
    foreign: dict[ImageId, int] = {}
    tasks_of = client.find_tasks(project.server_id, ids)
    sizes = catalog.images.sizes(map(ImageId, tasks_of))
    for image, tasks in ((ImageId(key), tasks) for key, tasks in tasks_of.items()):
        ours = tuple(int(task["id"]) for task in tasks if _is_own(task["data"], sizes.get(image)))
        if ours:
            own[image] = ours
        else:
            foreign[image] = int(tasks[0]["id"])
    return Found(own, foreign)


def find_known(
    client: LabelStudioClient, catalog: Catalog, project: Project, ids: Sequence[ImageId]
) -> dict[ImageId, TaskOnServer]:
    """The tasks that the catalog knows of those images, those of them that the server has."""
    tasks = catalog.tasks.of_images(project.key, ids)
    known = {image: task.task_id for image, task in tasks.items() if task.task_id is not None}
    on_server = look_up(client.session, project.server_id, tuple(known.values()))
    return {image: on_server[task] for image, task in known.items() if task in on_server}


def find_added(
    client: LabelStudioClient,
    catalog: Catalog,
    project: Project,
    ids: Sequence[ImageId],
    *,
    version: ModelVersion,
) -> dict[ImageId, TaskOnServer]:
    """Those of ``find_known`` that have this version's prediction."""
    known = find_known(client, catalog, project, ids)
    return {image: task for image, task in known.items() if version in task.versions}


def find_sent(
    client: LabelStudioClient, catalog: Catalog, project: Project, ids: Sequence[ImageId]
) -> dict[ImageId, int]:
    """The tasks of images whose push is open, as far as they are there.

    Label Studio on SQLite makes tasks without their predictions when somebody else writes at that moment: it
    tries again with what its first try left over. Such a task is confirmed here as bare, and the prediction
    is sent after it, unless the task is blind.
    """
    own = find_tasks(client, catalog, project, ids).own
    found = {image: tasks[0] for image, tasks in own.items()}
    on_server = look_up(client.session, project.server_id, tuple(found.values()))
    bare = {
        image: task for image, task in found.items() if task in on_server and not on_server[task].versions
    }
    catalog.tasks.confirm_push(project.key, bare, bare=True)
    return found


def adopt(
    client: LabelStudioClient,
    catalog: Catalog,
    project: Project,
    own: Mapping[ImageId, Sequence[int]],
    *,
    version: ModelVersion | None = None,
) -> dict[ImageId, frozenset[str]]:
    """Records tasks of our making that the catalog does not know, the first of each image.

    Answers the model versions on those that we made, and did not only mark; ``version`` is recorded for tasks
    without any.
    """
    first = {image: tasks[0] for image, tasks in own.items()}
    on_server = look_up(client.session, project.server_id, tuple(first.values()))
    versions = {
        image: tuple(ModelVersion(version) for version in sorted(on_server[task].versions))
        for image, task in first.items()
        if task in on_server
    }
    shown = {
        image: (first[image], of[-1] if of else version or ModelVersion("")) for image, of in versions.items()
    }
    catalog.tasks.adopt(project.key, shown)
    catalog.task_predictions.record(project.key, versions)
    return {
        image: frozenset(of) for image, of in versions.items() if has_origin(on_server[first[image]].data)
    }


def _is_own(data: Json, size: Size | None) -> bool:
    """Whether a task's data is as we make it for an image of that size."""
    return size is not None and (data.get("width"), data.get("height")) == (size.width, size.height)
