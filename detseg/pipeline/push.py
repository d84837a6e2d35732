"""Sends predictions to Label Studio, each image once, and each model version's prediction once to its task.

    push(settings, catalog, refs=..., version=..., taxonomy=...)          # does it
    plan_push(settings, catalog, refs=..., version=..., taxonomy=...)     # says what it would do

Both follow the same plans (``pushing.plan``). The intent is in the catalog before a request leaves, the
server's ids after its answer. What was left open (a timeout, a cut connection, a kill) is settled by asking
the server for the images' keys before anything is sent again. One writer at a time per catalog and project,
on whichever machine.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sized
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from detseg.catalog import Catalog, Quarantined
from detseg.errors import BrokenAnswer, FormatError, LabelStudioError, Refused, Superseded
from detseg.labelstudio.queued import mark_task, parse_queued
from detseg.paging import pages
from detseg.pipeline import progress
from detseg.pipeline.experiments.gold import record_truth
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.pushing.delivery import Batcher, Send, Work, checked, deliver, deliver_all
from detseg.pipeline.pushing.duplicates import describe_duplicates, resolve_duplicates
from detseg.pipeline.pushing.existing import find_existing, find_known, find_tasks, import_existing
from detseg.pipeline.pushing.near_duplicates import hold_duplicates
from detseg.pipeline.pushing.payload import encode_planned
from detseg.pipeline.pushing.plan import PagePlan, foresee, plan_page, plan_tasks
from detseg.pipeline.pushing.queue import UNLIMITED, Limit, Queue, opened_queue, viewed_queue
from detseg.pipeline.pushing.report import SETTLED, ImageOutcome, PushReport, report_of
from detseg.pipeline.pushing.targets import MOST_PREDICTIONS, MorePredictions, NewTasks, replace_predictions
from detseg.taxonomy import Taxonomy
from detseg.types import ImageId, ImageRef, ModelVersion

if TYPE_CHECKING:
    from detseg.config import Settings

__all__ = ["PushReport", "plan_push", "push"]


def push(
    settings: Settings,
    catalog: Catalog,
    *,
    refs: Iterable[ImageRef],
    version: ModelVersion,
    taxonomy: Taxonomy,
    limit: Limit = UNLIMITED,
    as_of: int | None = None,
) -> PushReport:
    """Make tasks of the images that this model version answered and the project does not hold, and give the
    version's prediction to the tasks that have only those of others.

    ``limit`` is entered around every request that adds something. ``as_of`` is the number of the last entry
    in the log of promotions when the version was chosen by it. Raises Unreachable when the server does not
    answer: then calling again goes on where it stopped. Raises Superseded, with nothing sent, where another
    entry came since: the tasks may have the newer model's predictions already.
    """
    if isinstance(refs, Sized):
        progress.report("push", total=len(refs))
    with opened_queue(settings, catalog, version=version, taxonomy=taxonomy, limit=limit) as queue:
        if as_of not in (None, catalog.promotions.last_number()):
            raise Superseded(f"another model was chosen while {version} predicted: run it again")
        if queue.gold:
            record_truth(catalog, queue.gold, queue.gold.found.keys(), taxonomy)
        warnings = [*queue.warnings()]
        sent, waiting = hold_duplicates(queue, refs, record=True)
        progress.report("push", advance=len(waiting))
        with closing(_delivered(queue, sent)) as delivered:  # whatever fails, nothing is sent after it
            outcomes = chain(waiting, _recorded(queue, checked(delivered, partial(_check, queue))))
            report = report_of(outcomes, queue.project.server_id, queue.url, warnings)
        _show_version(queue)
        removed = queue.removed + resolve_duplicates(queue.sides, remove=settings.queue.remove_duplicates)
        duplicates = describe_duplicates(catalog, queue.project, removed)
        arms = catalog.arms.counts(queue.project.key)
        return replace(
            report, warnings=(*duplicates, *report.warnings, *queue.describe_external()), arms=arms
        )


def plan_push(
    settings: Settings,
    catalog: Catalog,
    *,
    refs: Iterable[ImageRef],
    version: ModelVersion,
    taxonomy: Taxonomy,
) -> PushReport:
    """The report that a push of these images would give; those without a prediction would be predicted first.

    Reads the catalog and the server, and changes neither. Where no server answers, the catalog alone is
    asked, and a warning says so.
    """
    if isinstance(refs, Sized):
        progress.report("plan", total=len(refs))
    with viewed_queue(settings, catalog, version=version, taxonomy=taxonomy) as view:
        sent, waiting = hold_duplicates(view, refs)
        progress.report("plan", advance=len(waiting))
        return report_of(chain(waiting, foresee(view, sent)), view.server_id, view.url, view.warnings)


def _delivered(queue: Queue, refs: Iterable[ImageRef]) -> Generator[ImageOutcome]:
    """Deliver the images; afterwards, those whose tasks came to be without a prediction. Yields their
    outcomes."""
    writers = queue.settings.label_studio.writers
    _without_prediction(queue)  # what somebody began so was not assisted, whatever it gets now
    yield from deliver_all(_steps(queue, refs), writers=writers)
    left = queue.catalog.images.refs(_without_prediction(queue))
    yield from deliver_all(_steps(queue, left.values()), writers=writers)


def _without_prediction(queue: Queue) -> tuple[ImageId, ...]:
    """The images whose tasks came to be without a prediction, and that nobody has begun to work on since."""
    catalog, key = queue.catalog, queue.project.key
    images = catalog.tasks.without_prediction(key)
    on_server = find_known(queue.sides, images)
    catalog.server_tasks.mark_unseen(key, [image for image, task in on_server.items() if task.touched])
    return catalog.tasks.without_prediction(key) if images else ()


def _steps(queue: Queue, refs: Iterable[ImageRef]) -> Iterator[Work | ImageOutcome]:
    """Yield what is to be sent, in batches, and the outcomes of the images that are not sent."""
    tasks, predictions = _batchers(queue)
    for page in pages(refs):
        plan = _record(queue, plan_page(queue, page))
        yield from plan.outcomes
        if plan.new:
            queue.serving.prepare(plan.new)
        there = [one.ref for one in plan.outcomes if one.status in SETTLED]
        queue.serving.renew([*there, *(one.ref for one in plan.predictions)])
        for one in encode_planned(queue, plan_tasks(queue, plan), plan.new):
            if isinstance(one, ImageOutcome):
                yield one
            else:
                yield from (tasks if one.task_id is None else predictions).add(one)
        progress.report("push", advance=len(page))
    yield from tasks.flush()
    yield from predictions.flush()


def _batchers(queue: Queue) -> tuple[Batcher, Batcher]:
    """For new tasks, and for predictions of tasks that are there."""
    n_most, n_bytes_most = queue.settings.label_studio.batch_tasks, queue.settings.label_studio.batch_bytes
    tasks = Batcher(partial(deliver, NewTasks(queue)), n_most=n_most, n_bytes_most=n_bytes_most)
    if queue.settings.queue.predictions == "replace":
        send: Send = partial(replace_predictions, queue)
    else:
        send = partial(deliver, MorePredictions(queue))
    return tasks, Batcher(send, n_most=min(n_most, MOST_PREDICTIONS), n_bytes_most=n_bytes_most)


def _record(queue: Queue, plan: PagePlan) -> PagePlan:
    """Record what the plan found: tasks that the catalog did not know, and those that are gone.

    The plan that is left of it, without the tasks that people changed meanwhile so that they cannot be
    marked. A killed run leaves marks without predictions, which the next one finds.
    """
    client, catalog, project = queue.client, queue.catalog, queue.project
    marked, refused = list[ImageId](), list[ImageOutcome]()
    for mark in plan.marks:
        try:
            mark_task(client, mark)
            queue.broken.worked()
            marked.append(mark.ref.id)
        except BrokenAnswer as error:
            task = parse_queued(mark.entry.uri)[1]
            reason = queue.broken.failed(error, queue.url, task)
            refused.append(ImageOutcome(mark.ref, "refused", task, reason))
        except FormatError as error:
            refused.append(ImageOutcome(mark.ref, "refused", reason=str(error)))
    existing = plan.existing
    if marked:
        existing += find_existing(queue.sides, find_tasks(queue.sides, marked).own)
    import_existing(catalog, project, existing, version=queue.version)
    catalog.arms.record(project.key, plan.assignments)
    catalog.server_tasks.mark_deleted(project.key, plan.gone)
    left_out = {one.ref for one in refused}
    predictions = tuple(one for one in plan.predictions if one.ref not in left_out)
    return replace(plan, predictions=predictions, outcomes=(*plan.outcomes, *refused))


def _recorded(queue: Queue, outcomes: Iterable[ImageOutcome]) -> Iterator[ImageOutcome]:
    """The outcomes as they come; what was refused or left out goes into quarantine."""
    for outcome in outcomes:
        if outcome.reason:
            failure = Quarantined(outcome.ref.uri, outcome.reason, "push", image=outcome.ref.id)
            queue.catalog.quarantine.record([failure])
        yield outcome


def _check(queue: Queue, task: int) -> None:
    """Looks at a task as its page would. Raises LabelStudioError if its image does not load."""
    on_server = queue.client.task(task)
    if not {"image", "image_id"} <= on_server["data"].keys():
        raise LabelStudioError(f"task {task} on {queue.client.url} has lost its image: run again")
    queue.serving.check(on_server)


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
