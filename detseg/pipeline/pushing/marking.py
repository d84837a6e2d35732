"""Images that come from tasks of the very project: the tasks are marked, so that they are found as ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detseg.errors import FormatError
from detseg.labelstudio.queued import mark_task, parse_queued
from detseg.pipeline.pushing.queue import Queue
from detseg.pipeline.pushing.report import ImageOutcome
from detseg.types import ImageRef


def mark_queued(queue: Queue, refs: Sequence[ImageRef]) -> Iterator[ImageOutcome]:
    """Marks the tasks that these images were found in, and answers those that cannot be.

    A killed run leaves marks without predictions, which the next one finds.
    """
    tasks = {ref: parse_queued(ref.uri) for ref in refs}
    here = {ref: task for ref, (project, task) in tasks.items() if project == queue.project.server_id}
    sizes = queue.catalog.images.sizes(ref.id for ref in here)
    for ref, task in here.items():
        try:
            mark_task(queue.client, task, ref, sizes[ref.id])
        except FormatError as error:
            yield ImageOutcome(ref, "refused", task, str(error))
