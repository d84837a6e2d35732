"""The use case of ``detseg collect``: what people did in Label Studio since the last time.

Asks for the tasks that changed since a watermark, with an overlap. The server does not list what was deleted,
and some of its bulk actions date their changes wrongly; so tasks and annotations are counted on both sides
every time (one request), and the ranges of ids in which the counts differ are read again. Doing it again
changes nothing; ``full`` reads everything again and ends with the same catalog.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import detseg
from detseg.catalog import Catalog
from detseg.errors import LabelStudioError
from detseg.files import parse_json
from detseg.labelstudio.changes import TaskReader
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.client import Project as QueueProject
from detseg.labelstudio.interface import read_interface
from detseg.labelstudio.label_config import config_to_taxonomy, fit_policy, missing_labels
from detseg.paging import ahead
from detseg.pipeline import progress
from detseg.pipeline.changed_sources import overwritten_warnings, withdraw_overwritten
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.policies import shape_policy
from detseg.pipeline.pushing.duplicates import (
    describe_duplicates,
    resolve_duplicates,
    resolve_tasks,
)
from detseg.pipeline.pushing.settling import settle_intents
from detseg.pipeline.reconciling import compare_counts, read_range
from detseg.pipeline.recording import Recorder
from detseg.pipeline.workspace import (
    Sides,
    check_label_studio,
    check_not_renamed,
    describe_namesakes,
    find_project,
    notice_changes,
    open_client,
    opened_catalog,
    own_projects,
    record_project,
)
from detseg.plurals import format_count
from detseg.taxonomy import Taxonomy, taxonomy_of_all_times
from detseg.types import Failure, State

if TYPE_CHECKING:
    from detseg.catalog import Project
    from detseg.config import Settings

_OVERLAP = timedelta(minutes=2)  # the server's clock may step back, and its transactions end out of order


@dataclass(frozen=True, slots=True)
class CollectReport:
    """``new``, ``updated`` and ``deleted`` count reviews; ``states`` counts the tasks in each state.

    ``n_tasks`` were read, ``n_external`` of somebody else left alone, and so were ``n_answers`` that are no
    boxes or masks of our image (choices, texts, key points, other images). ``failures`` are what in the
    project's reviews cannot be read, by the task's URL: said every time until it is mended.
    ``missing_labels`` are what the labeling interface lacks of the taxonomy. ``warnings`` are lines about the
    project as a whole.
    """

    project_id: int
    url: str
    new: int = 0
    updated: int = 0
    deleted: int = 0
    n_tasks: int = 0
    n_external: int = 0
    n_answers: int = 0
    states: dict[State, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    missing_labels: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "reviews": {"new": self.new, "updated": self.updated, "deleted": self.deleted},
            "states": self.states,
            "tasks": {"read": self.n_tasks, "foreign": self.n_external},
            "answers_left": self.n_answers,
            "project_id": self.project_id,
            "failed": [{"uri": one.uri, "reason": one.reason} for one in self.failures],
            "missing_labels": list(self.missing_labels),
            "warnings": list(self.warnings),
        }


def collect(settings: Settings, *, full: bool = False) -> CollectReport:
    """Bring what people did in Label Studio since the last time into the catalog.

    Calling it again changes nothing. ``full`` reads every task again. What cannot be read of a review is in
    the report's ``failures``. Raises DetsegError, Unreachable where Label Studio does not answer.
    """
    check_label_studio(settings.server)
    with opened_catalog(settings) as catalog:
        return collect_reviews(settings, catalog, full=full)


def collect_reviews(settings: Settings, catalog: Catalog, *, full: bool = False) -> CollectReport:
    """Brings the catalog's reviews up to the server's. Raises LabelStudioError if there is no project."""
    client = open_client(settings.server)
    withdraw_overwritten(settings, catalog)
    with (
        client,
        catalog.locks.hold(f"queue {settings.queue.project}"),
    ):
        namesakes = client.find_projects(settings.queue.project)
        on_server = _own_project(client, catalog, settings.queue.project, namesakes)
        project = record_project(catalog, client.url, on_server)
        sides = Sides(client, catalog, project)
        settle_intents(sides, patience_s=settings.label_studio.patience_s)
        remove = settings.queue.remove_duplicates
        removed = resolve_duplicates(sides, remove=remove, mark_deleted=True)
        drawn = config_to_taxonomy(on_server.label_config)
        taxonomy = settings.declared_taxonomy or drawn
        reader = TaskReader(client.session, project.server_id)
        image_name = read_interface(on_server.label_config).image_name
        readable = taxonomy_of_all_times(taxonomy, settings.relabeling, drawn)
        recorder = Recorder(catalog, project, readable, reader, image_name)
        unshown = _unshown_before(recorder)
        if full:
            _collect_all(reader, recorder)
        else:
            _collect_changes(reader, recorder, unshown)
            _read_incomplete_again(reader, recorder)
            _read_again(reader, recorder, unshown)
        removed += resolve_tasks(sides, recorder.duplicates, remove=remove)
        _read_again(reader, recorder, removed.to_read)
        compare_counts(reader, recorder)
        _remember_unshown(recorder, reader.unshown)
    url = f"{client.url}/projects/{project.server_id}/data"
    return CollectReport(
        project_id=project.server_id,
        url=url,
        new=recorder.new,
        updated=recorder.updated,
        deleted=recorder.deleted + removed.n_reviews,
        n_tasks=recorder.n_tasks,
        n_external=recorder.n_external,
        n_answers=recorder.n_answers,
        states=catalog.reviews.states(project.key),
        failures=(
            *_describe_unshown(reader.unshown, url),
            *_failures(catalog, project, recorder.n_unknown, url=url),
        ),
        missing_labels=missing_labels(
            on_server.label_config,
            taxonomy,
            fit_policy(shape_policy(settings.labels), on_server.label_config, taxonomy),
        ),
        warnings=(
            *describe_namesakes(client.url, namesakes, on_server),
            *describe_duplicates(catalog, project, removed),
            *overwritten_warnings(settings, catalog, project),
            *notice_changes(settings.changes, catalog, project),
            *_describe_splits(catalog, project),
        ),
    )


def _describe_splits(catalog: Catalog, project: Project) -> Iterator[str]:
    for name in catalog.relabeling.split:
        n_images = catalog.reviews.count_with(project.key, catalog.relabeling.means(name))
        if n_images:
            images = format_count(n_images, "image waits", "images wait")
            yield f"{images} for the split of {name!r}: `detseg taxonomy apply` sends them back"


def _collect_changes(reader: TaskReader, recorder: Recorder, unshown: frozenset[int]) -> None:
    """Records the tasks that changed since the watermark, and moves it on with every page, at the end to now.

    It never passes the server's clock: a change that is dated into the future must not hide later ones. What
    it passes of tasks that are not shown is remembered, beside the ``unshown`` ones of earlier runs.
    """
    cursors, name = recorder.catalog.cursors, f"collect:{recorder.project.key}"
    stored = cursors.get(name)
    now = reader.server_time()
    since = min(datetime.fromisoformat(stored), now) - _OVERLAP if stored else None
    for page in ahead(reader.changed(since)):
        failpoint("collect.before_record")
        recorder.count_others(recorder.record(page))
        failpoint("collect.after_record")
        reached = max(datetime.fromisoformat(task["updated_at"]) for task in page)
        _remember_unshown(recorder, unshown | reader.unshown)
        cursors.set(name, min(reached, now).isoformat())
        failpoint("collect.after_watermark")
        progress.report("collect", advance=len(page))
    _remember_unshown(recorder, unshown | reader.unshown)
    cursors.set(name, now.isoformat())


def _collect_all(reader: TaskReader, recorder: Recorder) -> None:
    """Records every task as it is on the server, and what is there no more."""
    now = reader.server_time()
    read_range(reader, recorder, after=0, last=None, count_others=True)
    _remember_rules(recorder)
    _remember_unshown(recorder, reader.unshown)
    recorder.catalog.cursors.set(f"collect:{recorder.project.key}", now.isoformat())


def _read_incomplete_again(reader: TaskReader, recorder: Recorder) -> None:
    """Reads the tasks again whose reviews are incomplete, if the classes or this program are others now."""
    if recorder.catalog.cursors.get(_rules_cursor(recorder)) == _rules(recorder.taxonomy):
        return
    incomplete = recorder.catalog.reviews.incomplete(recorder.project.key)
    _read_again(reader, recorder, {one.task_id for one in incomplete})
    _remember_rules(recorder)


def _read_again(reader: TaskReader, recorder: Recorder, task_ids: Collection[int]) -> None:
    for page in reader.of_ids(sorted(task_ids)):
        recorder.record(page)


def _unshown_before(recorder: Recorder) -> frozenset[int]:
    """The tasks that the server did not show in the last run."""
    stored = recorder.catalog.cursors.get(f"collect-unshown:{recorder.project.key}")
    return frozenset(parse_json(stored or "[]", "the tasks that were not shown"))


def _remember_unshown(recorder: Recorder, task_ids: Collection[int]) -> None:
    if task_ids != _unshown_before(recorder):
        text = json.dumps(sorted(task_ids))
        recorder.catalog.cursors.set(f"collect-unshown:{recorder.project.key}", text)


def _remember_rules(recorder: Recorder) -> None:
    recorder.catalog.cursors.set(_rules_cursor(recorder), _rules(recorder.taxonomy))


def _rules_cursor(recorder: Recorder) -> str:
    return f"collect-rules:{recorder.project.key}"


def _rules(taxonomy: Taxonomy) -> str:
    """Hash what decides whether a result can be read."""
    return hashlib.sha256(f"{detseg.__version__}\n{taxonomy}".encode()).hexdigest()[:16]


def _describe_unshown(task_ids: Collection[int], url: str) -> Iterator[Failure]:
    for task in sorted(task_ids):
        yield Failure(
            f"{url}?task={task}",
            "Label Studio fails to show this task (HTTP 500): nothing of it was collected, and what was "
            "collected before stays; the other tasks were read. The next run asks for it again; if it stays "
            f"so, look into the server's log, or delete the task (DELETE /api/tasks/{task}/)",
        )


def _failures(catalog: Catalog, project: Project, n_unknown: int, *, url: str) -> Iterator[Failure]:
    for review in catalog.reviews.incomplete(project.key):
        yield from (Failure(f"{url}?task={review.task_id}", reason) for reason in review.unread)
    if n_unknown:
        yield Failure(
            url,
            f"{format_count(n_unknown, 'task', 'carries an image id', 'carry image ids')} but did not come "
            "from this catalog: copies of tasks, or pushed with another catalog. Nothing on them was "
            "collected: delete the copies, or set `catalog` to the other one",
        )


def _own_project(
    client: LabelStudioClient, catalog: Catalog, title: str, found: Sequence[QueueProject]
) -> QueueProject:
    """Ours of those that were found under that title. Raises LabelStudioError that says what became of it."""
    known = catalog.projects.titled(title)
    own = own_projects(catalog, found)
    if len(own) == 1:
        return own[0]
    if found or not known:
        return find_project(client, title)  # which says what is wrong
    check_not_renamed(client, catalog, title)
    raise LabelStudioError(
        f"project {title!r} (id {known[-1].server_id}) is gone from {client.url}: somebody deleted it, or "
        "the token's user may not see it. Its reviews stay in the catalog; `detseg preannotate` makes it anew"
    )
