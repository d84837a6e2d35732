"""Sends predictions to Label Studio, each image once, and each model version's prediction once to its task.

The intent is in the catalog before a request leaves, the server's ids after its answer. What was left open
(a timeout, a cut connection, a kill) is settled by asking the server for the images' keys before anything
is sent again. One writer at a time per catalog and project, on whichever machine.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence, Sized
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from detseg.catalog import Catalog, Quarantined
from detseg.errors import Refused
from detseg.paging import pages
from detseg.pipeline import progress
from detseg.pipeline.experiments.gold import record_truth
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.pushing.assigning import recognise
from detseg.pipeline.pushing.batches import Packer, Send
from detseg.pipeline.pushing.checking import checked
from detseg.pipeline.pushing.delivery import Work, deliver, deliver_all
from detseg.pipeline.pushing.encoding import encode
from detseg.pipeline.pushing.finding import Missing, adopt, find_gone, find_missing, find_tasks
from detseg.pipeline.pushing.freight import MOST_PREDICTIONS, MorePredictions, NewTasks
from detseg.pipeline.pushing.marking import mark_queued
from detseg.pipeline.pushing.queue import UNLIMITED, Limit, Queue, foreign_seen, opened_queue
from detseg.pipeline.pushing.replacing import replace_predictions
from detseg.pipeline.pushing.report import ImageOutcome, PushReport, report_of
from detseg.pipeline.pushing.settling import settle_intents
from detseg.taxonomy import Taxonomy
from detseg.types import ImageRef, ModelVersion

if TYPE_CHECKING:
    from detseg.config import Settings

__all__ = ["PushReport", "push", "settle_intents"]


def push(
    settings: Settings,
    catalog: Catalog,
    *,
    refs: Iterable[ImageRef],
    version: ModelVersion,
    taxonomy: Taxonomy,
    limit: Limit = UNLIMITED,
) -> PushReport:
    """Makes tasks of the images that this model version answered and the project does not hold, and gives
    the version's prediction to the tasks that have only those of others.

    ``limit`` is entered around every request that adds something. Raises Unreachable when the server does not
    answer: then calling again goes on where it stopped.
    """
    if isinstance(refs, Sized):
        progress.report("push", total=len(refs))
    with opened_queue(settings, catalog, version=version, taxonomy=taxonomy, limit=limit) as queue:
        if settings.restore:
            _mark_deleted(queue)
        if queue.gold:
            record_truth(catalog, queue.gold, queue.gold.found.keys(), taxonomy)
        warnings = [*queue.warnings()]
        with closing(_delivered(queue, refs)) as delivered:  # whatever fails, nothing is sent after it
            outcomes = _recorded(queue, checked(delivered, partial(_check, queue)))
            report = report_of(outcomes, queue.project.server_id, queue.url, warnings)
        _show_version(queue)
        return replace(report, arms=catalog.arms.counts(queue.project.key))


def _delivered(queue: Queue, refs: Iterable[ImageRef]) -> Generator[ImageOutcome]:
    """What became of the images; afterwards, of those whose tasks came to be without a prediction."""
    writers = queue.settings.label_studio_writers
    yield from deliver_all(_steps(queue, refs), writers=writers)
    bare = queue.catalog.images.refs(queue.catalog.tasks.bare(queue.project.key))
    yield from deliver_all(_steps(queue, bare.values()), writers=writers)


def _steps(queue: Queue, refs: Iterable[ImageRef]) -> Iterator[Work | ImageOutcome]:
    """What is to be sent, in batches, and what became of the images that are not sent."""
    tasks, predictions = _packers(queue)
    for page in pages(refs):
        missing, aside = _compare(queue, page)
        yield from aside
        if missing.tasks:
            queue.serving.prepare(missing.tasks)
        for one in encode(queue, missing.tasks, {}):
            yield from [one] if isinstance(one, ImageOutcome) else tasks.add(one)
        task_ids = {ref.id: task for ref, task in missing.predictions}
        for one in encode(queue, [ref for ref, _ in missing.predictions], task_ids):
            yield from [one] if isinstance(one, ImageOutcome) else predictions.add(one)
        progress.report("push", advance=len(page))
    yield from tasks.flush()
    yield from predictions.flush()


def _packers(queue: Queue) -> tuple[Packer, Packer]:
    """For new tasks, and for predictions of tasks that are there."""
    n_most, n_bytes_most = queue.settings.label_studio_batch_tasks, queue.settings.label_studio_batch_bytes
    tasks = Packer(partial(deliver, NewTasks(queue)), n_most=n_most, n_bytes_most=n_bytes_most)
    if queue.settings.predictions == "replace":
        send: Send = partial(replace_predictions, queue)
    else:
        send = partial(deliver, MorePredictions(queue))
    return tasks, Packer(send, n_most=min(n_most, MOST_PREDICTIONS), n_bytes_most=n_bytes_most)


def _compare(queue: Queue, page: Sequence[ImageRef]) -> tuple[Missing, list[ImageOutcome]]:
    """What the project lacks of a page, and the outcomes of the images that it does not lack."""
    catalog, key = queue.catalog, queue.project.key
    missing = find_missing(catalog, key, page, queue.version, restore=queue.settings.restore)
    aside = [*mark_queued(queue, missing.tasks)]
    if aside:
        refused = {one.ref for one in aside}
        page = [ref for ref in page if ref not in refused]
        missing = find_missing(catalog, key, page, queue.version, restore=queue.settings.restore)
    if missing.tasks and (queue.n_foreign or foreign_seen(catalog, queue.project)):  # of the same images?
        found = find_tasks(queue.client, catalog, queue.project, [ref.id for ref in missing.tasks])
        adopted = adopt(queue.client, catalog, queue.project, found.own, version=queue.version)
        recognise(queue, adopted)
        aside += [ImageOutcome(ref, "held", found.foreign[ref.id]) for ref in page if ref.id in found.foreign]
        free = [ref for ref in page if ref.id not in found.foreign]
        missing = find_missing(catalog, key, free, queue.version, restore=queue.settings.restore)
    aside += [ImageOutcome(ref, "present") for ref in missing.present]
    aside += [ImageOutcome(ref, "deleted") for ref in missing.deleted]
    return missing, aside


def _recorded(queue: Queue, outcomes: Iterable[ImageOutcome]) -> Iterator[ImageOutcome]:
    """The outcomes as they come; what was refused or left out goes into quarantine."""
    for outcome in outcomes:
        if outcome.reason:
            failure = Quarantined(outcome.ref.uri, outcome.reason, "push", image=outcome.ref.id)
            queue.catalog.quarantine.record([failure])
        yield outcome


def _check(queue: Queue, task: int) -> None:
    """Looks at a task as its page would. Raises LabelStudioError if its image does not load."""
    queue.serving.check(queue.client.task(task))


def _mark_deleted(queue: Queue) -> None:
    """Finds the tasks that were deleted on the server, so that they are made again."""
    gone = find_gone(queue.client, queue.catalog, queue.project)
    queue.catalog.tasks.mark_deleted(queue.project.key, tuple(gone))


def _show_version(queue: Queue) -> None:
    """Has the project show this version's predictions, if it has any."""
    project, version = queue.project.server_id, queue.version
    known = queue.catalog.task_predictions.versions(queue.project.key)
    if version not in known or queue.client.project(project).model_version == version:
        return
    try:
        queue.client.update_project(project, model_version=version)
    except Refused as error:
        if error.status != 400:  # all tasks that had the version were deleted on the server
            raise
    failpoint("push.after_version")
