"""Sends predictions to Label Studio, each image once.

The intent is in the catalog before a request leaves, the server's ids after its answer. What was left open
(a timeout, a cut connection, a kill) is settled by asking the server for the images' keys before anything
is sent again. One writer at a time per catalog and project, on whichever machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detseg.catalog import Catalog, Quarantined
from detseg.errors import FormatError, ImageError, LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import encode_task
from detseg.labelstudio.project import ensure_project
from detseg.labelstudio.serving import ImageServing
from detseg.labelstudio.session import Json
from detseg.paging import pages
from detseg.pipeline import progress
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.serving import image_serving
from detseg.pipeline.workspace import find_connection, record_project
from detseg.taxonomy import Taxonomy
from detseg.types import Failure, ImageId, ImageRef, ModelVersion

if TYPE_CHECKING:
    from detseg.catalog import Project
    from detseg.config import Settings

_TASKS_PER_REQUEST = 250
_BYTES_PER_REQUEST = 8_000_000


@dataclass(frozen=True, slots=True)
class PushReport:
    """``project_id`` and ``url`` are Label Studio's. ``pushed`` are the images that became tasks now."""

    project_id: int
    url: str
    pushed: tuple[ImageId, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class _Queue:
    """Where the tasks go."""

    client: LabelStudioClient
    project: Project
    serving: ImageServing
    taxonomy: Taxonomy


def push(
    settings: Settings,
    catalog: Catalog,
    *,
    refs: Sequence[ImageRef],
    version: ModelVersion,
    taxonomy: Taxonomy,
) -> PushReport:
    """Makes a task for each of the images that this model version answered and the project does not hold.

    Raises Unreachable when the server does not answer: then calling again goes on where it stopped.
    """
    connection = find_connection(settings)
    with (
        LabelStudioClient(connection.url, connection.token) as client,
        catalog.locks.hold(f"queue {settings.project}"),
    ):
        server_id = ensure_project(client, settings.project, taxonomy)
        project = record_project(catalog, client.url, client.project(server_id))
        queue = _Queue(client, project, image_serving(settings, client, server_id), taxonomy)
        settle_intents(queue.client, catalog, project)
        pushed, failures = _push_missing(queue, catalog, refs, version)
        if pushed:
            client.update_project(server_id, model_version=version)
            failpoint("push.after_version")
            _check_one(queue, catalog, pushed[0])
    return PushReport(server_id, f"{connection.url}/projects/{server_id}/data", pushed, failures)


def settle_intents(client: LabelStudioClient, catalog: Catalog, project: Project) -> None:
    """Asks the server about every push that was begun and not confirmed, and records what it says.

    Raises LabelStudioError if the server holds an image twice.
    """
    for page in pages(catalog.tasks.open_intents(project.key)):
        found = client.tasks_by_keys(project.server_id, page)
        doubled = {image: ids for image, ids in found.items() if len(ids) > 1}
        if doubled:
            image, ids = next(iter(doubled.items()))
            raise LabelStudioError(
                f"project {project.title!r} holds image {image} as tasks {', '.join(map(str, ids))}: delete "
                "all but one of them in Label Studio, then run again"
            )
        catalog.tasks.confirm_push(project.key, {ImageId(image): ids[0] for image, ids in found.items()})
        catalog.tasks.drop_intents(project.key, [image for image in page if image not in found])


def _check_one(queue: _Queue, catalog: Catalog, image: ImageId) -> None:
    """Looks at one of the new tasks as its page would. Raises LabelStudioError if its image does not load."""
    task = catalog.tasks.find(queue.project.key, image)
    if task is not None and task.task_id is not None:
        queue.serving.check(queue.client.task(task.task_id))


def _push_missing(
    queue: _Queue, catalog: Catalog, refs: Sequence[ImageRef], version: ModelVersion
) -> tuple[tuple[ImageId, ...], tuple[Failure, ...]]:
    pushed: list[ImageId] = []
    failures: list[Failure] = []
    progress.report("push", total=len(refs))
    for page in pages(refs, _TASKS_PER_REQUEST):
        failpoint("push.before_intent")
        claimed = frozenset(catalog.tasks.open_push(queue.project.key, (ref.id for ref in page), version))
        failpoint("push.after_intent")
        tasks, failed = _encode(queue, catalog, [ref for ref in page if ref.id in claimed], version)
        for batch in _bounded(tasks):
            failpoint("push.before_request")
            ids = queue.client.import_tasks(queue.project.server_id, [task for _, task in batch])
            failpoint("push.after_request")
            confirmed = dict(zip((image for image, _ in batch), ids, strict=True))
            catalog.tasks.confirm_push(queue.project.key, confirmed)
            failpoint("push.after_confirm")
            pushed += confirmed
        failures += failed
        progress.report("push", advance=len(page))
    return tuple(pushed), tuple(failures)


def _encode(
    queue: _Queue, catalog: Catalog, refs: Sequence[ImageRef], version: ModelVersion
) -> tuple[list[tuple[ImageId, Json]], list[Failure]]:
    """The tasks of claimed images. What has no prediction, or cannot be encoded, is given free again."""
    queue.serving.prepare(refs)
    by_id = {ref.id: ref for ref in refs}
    tasks: list[tuple[ImageId, Json]] = []
    failed: list[Quarantined] = []
    for prediction in catalog.predictions.read(by_id, version):
        ref = by_id[prediction.image]
        try:
            task = encode_task(
                ref,
                prediction.size,
                prediction.regions,
                version=version,
                taxonomy=queue.taxonomy,
                image_url=queue.serving.url(ref),
            )
            tasks.append((prediction.image, task))
        except (FormatError, ImageError) as error:
            failed.append(Quarantined(ref.uri, str(error), "push", image=ref.id))
    encoded = {image for image, _ in tasks}
    catalog.tasks.drop_intents(queue.project.key, [image for image in by_id if image not in encoded])
    catalog.quarantine.record(failed)
    return tasks, [Failure(one.uri, one.reason) for one in failed]


def _bounded(tasks: Sequence[tuple[ImageId, Json]]) -> Iterator[list[tuple[ImageId, Json]]]:
    """The tasks in batches of at most the bytes of a request; one that is larger travels alone."""
    batch: list[tuple[ImageId, Json]] = []
    n_bytes = 0
    for image, task in tasks:
        task_bytes = len(json.dumps(task))
        if batch and n_bytes + task_bytes > _BYTES_PER_REQUEST:
            yield batch
            batch, n_bytes = [], 0
        batch.append((image, task))
        n_bytes += task_bytes
    if batch:
        yield batch
