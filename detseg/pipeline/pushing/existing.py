"""The tasks that a project has and lacks of some images: by the catalog, and by the server where it knows
more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from detseg.catalog import Task, is_same_task
from detseg.labelstudio.client import seen_task
from detseg.labelstudio.predictions import TaskOnServer, look_for_reviews, look_up
from detseg.labelstudio.session import Json
from detseg.pipeline.pushing.origin import has_origin
from detseg.types import ImageId, ImageRef, ModelVersion, SeenTask, Size

if TYPE_CHECKING:
    from detseg.catalog import Assignment, Catalog, Project, ProjectKey
    from detseg.config.sections import QueueSettings
    from detseg.pipeline.workspace import Sides


@dataclass(frozen=True, slots=True)
class Missing:
    """Images of a page by what they need; each is in one of them, in order.

    ``tasks`` need a task, ``predictions`` have one (its id) without this version's prediction, ``present``
    need nothing (control images never do, nor those that an import labeled), ``deleted`` had a task that was
    deleted on the server, ``reviewed`` have a task that as many people labeled as are asked.
    """

    tasks: tuple[ImageRef, ...] = ()
    predictions: tuple[tuple[ImageRef, int], ...] = ()
    present: tuple[ImageRef, ...] = ()
    deleted: tuple[ImageRef, ...] = ()
    reviewed: tuple[ImageRef, ...] = ()


def find_missing(
    catalog: Catalog,
    project: ProjectKey,
    refs: Sequence[ImageRef],
    version: ModelVersion,
    *,
    queue: QueueSettings,
) -> Missing:
    """Find what the project lacks of these images, by the catalog.

    ``queue`` says whether also tasks that were deleted, and predictions of those that people reviewed.
    """
    done = catalog.task_predictions.present(project, [ref.id for ref in refs], version)
    tasks = catalog.tasks.of_images(project, [ref.id for ref in refs if ref.id not in done])
    arms = catalog.arms.of_images(project, tasks)
    labeled = frozenset[ImageId]()
    if not queue.predict_reviewed:
        labeled = catalog.reviews.labeled(project, tasks, n_people=queue.overlap)
    new: list[ImageRef] = []
    more: list[tuple[ImageRef, int]] = []
    present: list[ImageRef] = []
    deleted: list[ImageRef] = []
    reviewed: list[ImageRef] = []
    for ref in refs:
        task = tasks.get(ref.id)
        if ref.id in done:
            present.append(ref)
        elif task is not None and task.state == "deleted" and not queue.restore:
            deleted.append(ref)
        elif task is not None and task.state == "imported":
            present.append(ref)
        elif task is None or task.task_id is None:
            new.append(ref)
        elif is_control(arms.get(ref.id)):
            present.append(ref)
        elif ref.id in labeled:
            reviewed.append(ref)
        else:
            more.append((ref, task.task_id))
    return Missing(tuple(new), tuple(more), tuple(present), tuple(deleted), tuple(reviewed))


def is_control(assignment: Assignment | None) -> bool:
    """Tell whether an image's task comes without its prediction; an image without an arm is assisted."""
    return assignment is not None and assignment.arm == "control"


def find_gone(sides: Sides) -> dict[int, ImageId]:
    """Tasks that the catalog takes to be on the server, which are not, and their images. Lists all tasks."""
    known = {
        task.task_id: task
        for task in sides.catalog.tasks.of_project(sides.project.key)
        if task.state == "pushed" and task.task_id is not None
    }
    for seen in sides.client.seen_tasks(sides.project.server_id):
        task = known.get(seen.id)
        if task is not None and is_same_task(task.image, task.created_at, seen):
            del known[seen.id]
    return {number: task.image for number, task in known.items()}


@dataclass(frozen=True, slots=True)
class Found:
    """Tasks of the server by image. ``external`` use our key, but are not as we make them."""

    own: Mapping[ImageId, tuple[SeenTask, ...]]
    external: Mapping[ImageId, int]


def find_tasks(sides: Sides, ids: Sequence[ImageId]) -> Found:
    """The server's tasks of those images, whichever catalog or person made them; ids ascending."""
    own: dict[ImageId, tuple[SeenTask, ...]] = {}
    external: dict[ImageId, int] = {}
    tasks_of = sides.client.find_tasks(sides.project.server_id, ids)
    sizes = sides.catalog.images.sizes(map(ImageId, tasks_of))
    for image, tasks in ((ImageId(key), tasks) for key, tasks in tasks_of.items()):
        ours = tuple(seen_task(task) for task in tasks if _is_own(task["data"], sizes.get(image)))
        if ours:
            own[image] = ours
        else:
            external[image] = int(tasks[0]["id"])
    return Found(own, external)


def find_known(sides: Sides, ids: Sequence[ImageId]) -> dict[ImageId, TaskOnServer]:
    """The tasks that the catalog knows of those images, those of them that the server has."""
    known = _known(sides, ids)
    on_server = look_up(sides.client.session, sides.project.server_id, tuple(known))
    return {
        known[number].image: task
        for number, task in on_server.items()
        if is_same_task(known[number].image, known[number].created_at, task.seen)
    }


def find_there(sides: Sides, ids: Sequence[ImageId]) -> frozenset[ImageId]:
    """Those of the images whose known tasks the server has. Cheaper than what is on them."""
    known = _known(sides, ids)
    return frozenset(
        known[seen.id].image
        for seen in sides.client.seen_tasks(sides.project.server_id, tuple(known))
        if is_same_task(known[seen.id].image, known[seen.id].created_at, seen)
    )


def find_reviewed(sides: Sides, ids: Sequence[ImageId]) -> dict[ImageId, bool]:
    """Tell of those images whose known tasks the server has whether as many people as are asked labeled
    them."""
    known = _known(sides, ids)
    session, project = sides.client.session, sides.project.server_id
    return {
        known[seen.id].image: reviewed
        for seen, reviewed in look_for_reviews(session, project, tuple(known))
        if is_same_task(known[seen.id].image, known[seen.id].created_at, seen)
    }


def _known(sides: Sides, ids: Sequence[ImageId]) -> dict[int, Task]:
    """The tasks of those images by their numbers."""
    tasks = sides.catalog.tasks.of_images(sides.project.key, ids).values()
    return {task.task_id: task for task in tasks if task.task_id is not None}


def find_added(sides: Sides, ids: Sequence[ImageId], version: ModelVersion) -> dict[ImageId, TaskOnServer]:
    """Those of ``find_known`` that have this version's prediction."""
    known = find_known(sides, ids)
    return {image: task for image, task in known.items() if version in task.versions}


def find_sent(sides: Sides, ids: Sequence[ImageId]) -> dict[ImageId, int]:
    """The tasks of images whose push is open, as far as they are there.

    Label Studio on SQLite makes tasks without their predictions when somebody else writes at that moment: it
    tries again with what its first try left over. Such a task is confirmed here as bare, and the prediction
    is sent after it, unless it is a control image.
    """
    project, own = sides.project, find_tasks(sides, ids).own
    found = {image: tasks[0].id for image, tasks in own.items()}
    on_server = look_up(sides.client.session, project.server_id, tuple(found.values()))
    without = {
        image: task for image, task in found.items() if task in on_server and not on_server[task].versions
    }
    created_by = find_last_creation(sides, without)
    sides.catalog.tasks.confirm_push(project.key, without, created_by=created_by, without_prediction=True)
    return found


def find_last_creation(sides: Sides, found: Mapping[ImageId, int]) -> datetime | None:
    """Ask when the newest of these tasks was made, by Label Studio's own clock; None if it is not there.

    The moment is asked for: the date of an answer may be a proxy's.
    """
    image, number = max(found.items(), key=lambda one: one[1], default=(None, 0))
    seen = () if image is None else sides.client.seen_tasks(sides.project.server_id, [number])
    return next((one.created_at for one in seen if one.image == image), None)


@dataclass(frozen=True, slots=True)
class ExistingTask:
    """A task with our key that the catalog does not know: made with another catalog, or marked by us."""

    image: ImageId
    task: TaskOnServer

    @property
    def versions(self) -> tuple[ModelVersion, ...]:
        """The model versions of its predictions, sorted."""
        return tuple(ModelVersion(version) for version in sorted(self.task.versions))

    @property
    def is_made_by_us(self) -> bool:
        """False for a task of somebody else that we only marked."""
        return has_origin(self.task.data)


def find_existing(sides: Sides, own: Mapping[ImageId, Sequence[SeenTask]]) -> tuple[ExistingTask, ...]:
    """The first task of each image, as it is on the server."""
    first = {image: tasks[0] for image, tasks in own.items()}
    ids = [task.id for task in first.values()]
    on_server = look_up(sides.client.session, sides.project.server_id, ids)
    return tuple(
        ExistingTask(image, on_server[task.id])
        for image, task in first.items()
        if task.id in on_server and on_server[task.id].seen == task
    )


def import_existing(
    catalog: Catalog, project: Project, existing: Sequence[ExistingTask], *, version: ModelVersion
) -> None:
    """Record such tasks and their predictions. Those without any are said to show ``version``."""
    shown = {one.image: (one.task.seen, one.versions[-1] if one.versions else version) for one in existing}
    catalog.tasks.import_existing(project.key, shown)
    catalog.task_predictions.record(project.key, {one.image: one.versions for one in existing})


def _is_own(data: Json, size: Size | None) -> bool:
    """Check that a task's data is as we make it for an image of that size; None where the size is not
    known."""
    if size is None:
        return has_origin(data)
    return (data.get("width"), data.get("height")) == (size.width, size.height)
