"""The use case of ``detseg collect``: what people did in Label Studio since the last time.

Asks for the tasks that changed since a watermark, with an overlap, and compares ids to see what was deleted
there. Doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from detseg.catalog import Catalog, ReviewRecord
from detseg.errors import FormatError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import SIMULATED_AUTHOR, decode_task, is_ours
from detseg.labelstudio.label_config import config_to_taxonomy
from detseg.labelstudio.session import Json
from detseg.paging import pages
from detseg.pipeline import progress
from detseg.pipeline.push import settle_intents
from detseg.pipeline.workspace import find_connection, find_project, record_project
from detseg.taxonomy import Taxonomy
from detseg.types import Failure, State

if TYPE_CHECKING:
    from detseg.catalog import Project
    from detseg.config import Settings

_TASKS_PER_TRANSACTION = 100
_OVERLAP = timedelta(minutes=2)  # the server's clock may step back, and its transactions end out of order


@dataclass(frozen=True, slots=True)
class CollectReport:
    """``new``, ``updated`` and ``deleted`` count reviews; ``states`` counts the tasks in each state.

    ``failures`` are tasks whose reviews cannot be read, by URL; they are tried again the next time.
    """

    project_id: int
    url: str
    new: int = 0
    updated: int = 0
    deleted: int = 0
    states: dict[State, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "reviews": {"new": self.new, "updated": self.updated, "deleted": self.deleted},
            "states": self.states,
            "project_id": self.project_id,
            "failed": [{"uri": one.uri, "reason": one.reason} for one in self.failures],
        }


def collect(settings: Settings, catalog: Catalog) -> CollectReport:
    """Brings the catalog's reviews up to the server's. Raises LabelStudioError if there is no project yet."""
    connection = find_connection(settings)
    with (
        LabelStudioClient(connection.url, connection.token) as client,
        catalog.locks.hold(f"queue {settings.project}"),
    ):
        on_server = find_project(client, settings.project)
        project = record_project(catalog, client.url, on_server)
        settle_intents(client, catalog, project)
        taxonomy = settings.taxonomy or config_to_taxonomy(on_server.label_config)
        changes = _collect_changes(client, catalog, project, taxonomy)
        changes.deleted += _collect_deletions(client, catalog, project)
    return CollectReport(
        project_id=project.server_id,
        url=f"{client.url}/projects/{project.server_id}/data",
        new=changes.new,
        updated=changes.updated,
        deleted=changes.deleted,
        states=catalog.reviews.states(project.key),
        failures=tuple(changes.failures),
    )


@dataclass(slots=True)
class _Changes:
    new: int = 0
    updated: int = 0
    deleted: int = 0
    failures: list[Failure] = field(default_factory=list)


def _collect_changes(
    client: LabelStudioClient, catalog: Catalog, project: Project, taxonomy: Taxonomy
) -> _Changes:
    """Records the reviews of tasks that changed, a page a transaction, and moves the watermark on.

    The watermark stays before the first task that cannot be read, so that it is asked for again.
    """
    cursor = f"collect:{project.key}"
    stored = catalog.cursors.get(cursor)
    since = datetime.fromisoformat(stored) - _OVERLAP if stored else None
    changes = _Changes()
    for page in pages(client.changed_tasks(project.server_id, since), _TASKS_PER_TRANSACTION):
        _record(catalog, project, page, taxonomy, changes=changes)
        if not changes.failures:
            catalog.cursors.set(cursor, max(str(task["updated_at"]) for task in page))
        progress.report("collect", advance=len(page))
    return changes


def _record(
    catalog: Catalog, project: Project, tasks: Sequence[Json], taxonomy: Taxonomy, *, changes: _Changes
) -> None:
    """Records what is on these tasks, and marks what is no longer there as deleted."""
    ours = catalog.tasks.images(project.key, [int(task["id"]) for task in tasks if is_ours(task)])
    records: list[ReviewRecord] = []
    read: list[int] = []
    for task in tasks:
        if int(task["id"]) not in ours:
            continue
        try:
            decoded = decode_task(task, taxonomy)
        except FormatError as error:
            url = f"{project.url}/projects/{project.server_id}/data?task={task['id']}"
            changes.failures.append(Failure(url, str(error)))
            continue
        read.append(decoded.task_id)
        records += [
            ReviewRecord(
                review.annotation_id,
                decoded.task_id,
                review.annotation,
                simulated=review.annotation.author == SIMULATED_AUTHOR,
            )
            for review in decoded.reviews
        ]
    counts = catalog.reviews.record(project.key, records)
    gone = catalog.reviews.ids_of_tasks(project.key, read) - {record.annotation_id for record in records}
    changes.new += counts.new
    changes.updated += counts.updated
    changes.deleted += catalog.reviews.mark_deleted(project.key, gone)


def _collect_deletions(client: LabelStudioClient, catalog: Catalog, project: Project) -> int:
    """Marks tasks that are gone on the server, and their reviews; answers how many reviews that were."""
    on_server = frozenset(client.task_ids(project.server_id))
    gone = [
        task.task_id
        for task in catalog.tasks.of_project(project.key)
        if task.state == "pushed" and task.task_id is not None and task.task_id not in on_server
    ]
    catalog.tasks.mark_deleted(project.key, gone)
    return catalog.reviews.mark_deleted(project.key, catalog.reviews.ids_of_tasks(project.key, gone))
