"""Reconciles the catalog with the server: both are counted each time, and what differs is read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

from detseg.labelstudio.changes import TaskReader
from detseg.paging import ahead
from detseg.pipeline import progress
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.recording import Recorder

if TYPE_CHECKING:
    from detseg.pipeline.workspace import Sides

Counts: TypeAlias = tuple[int, ...]
"""The number of tasks; where reviews are compared, also of their annotations and of the tasks that were
skipped."""

Count: TypeAlias = Callable[[int, int], Counts]
"""The counts among the ids from ``after`` (not it) to ``last``."""

_TASKS_PER_RANGE = 500


def compare_counts(reader: TaskReader, recorder: Recorder) -> None:
    """Read the ranges of ids again in which the server has more or less than the catalog.

    What stays different after that is not ours (copies of our tasks, say); it is remembered, and
    looked at again when it changes. Of skipped annotations, the server counts the tasks that have any: where
    two people skipped a task, that one of them was deleted is seen by the change of the task alone.
    """
    catalog, key = recorder.catalog, recorder.project.key
    last, name = catalog.tasks.last_id(key), f"collect-difference:{key}"

    def theirs(after: int, until: int) -> Counts:
        counts = reader.counts(after, until)
        return counts.n_tasks, counts.n_annotations, counts.n_skipped

    def ours(after: int, until: int) -> Counts:
        return catalog.reviews.counts(key, after=after, last=until)

    def difference() -> str:
        with ThreadPoolExecutor(max_workers=1) as thread:  # each counts in the time of the other
            there = thread.submit(theirs, 0, last)
            here = ours(0, last)
            return ",".join(str(n - m) for n, m in zip(there.result(), here, strict=True))

    if not last or difference() == (catalog.cursors.get(name) or "0,0,0"):
        return
    for after, until in differing_ranges(theirs, ours, after=0, last=last, most=_TASKS_PER_RANGE):
        read_range(reader, recorder, after=after, last=until)
    catalog.cursors.set(name, difference())


def read_range(
    reader: TaskReader, recorder: Recorder, *, after: int, last: int | None, count_others: bool = False
) -> None:
    """Make the catalog hold what the server has of the tasks from ``after`` (not it) to ``last``."""
    tasks, key = recorder.catalog.tasks, recorder.project.key
    for page in ahead(reader.by_id(after, last)):
        ids = [int(task["id"]) for task in page]
        others = recorder.record(page, replace=True)
        if count_others:
            recorder.count_others(others)
        failpoint("collect.after_range_page")
        here = {*ids, *reader.unshown}
        recorder.record_gone(set(tasks.ids(key, after=after, last=ids[-1])) - here)
        after = ids[-1]
        progress.report("collect", advance=len(page))
    recorder.record_gone(set(tasks.ids(key, after=after, last=last)) - reader.unshown)


def mark_deleted_tasks(sides: Sides) -> int:
    """Mark the tasks of the catalog that the server has no more; the number of their reviews.

    Looks into the ranges of ids in which the server has another number of tasks.
    """
    client, catalog, project = sides.client, sides.catalog, sides.project
    reader, key, n_reviews = TaskReader(client.session, project.server_id), project.key, 0

    def theirs(after: int, until: int) -> Counts:
        return (reader.n_tasks(after, until),)

    def ours(after: int, until: int) -> Counts:
        return (len(catalog.tasks.ids(key, after=after, last=until)),)

    last = catalog.tasks.last_id(key)
    for after, until in differing_ranges(theirs, ours, after=0, last=last, most=_TASKS_PER_RANGE):
        known = catalog.tasks.ids(key, after=after, last=until)
        seen = tuple(client.seen_tasks(project.server_id, known))
        gone = set(known).difference(one.id for one in seen)
        n_reviews += catalog.server_tasks.recognise(key, seen).n_reviews_gone
        n_reviews += len(catalog.reviews.ids_of_tasks(key, gone))
        catalog.server_tasks.mark_deleted(key, gone)
    return n_reviews


def differing_ranges(
    theirs: Count, ours: Count, *, after: int, last: int, most: int
) -> Iterator[tuple[int, int]]:
    """Ranges ``(after, last]`` of ids in which the two sides count differently, ascending.

    On neither side a range has more than ``most`` tasks. Ranges are halved as long as their counts disagree:
    what is equal costs one question, whatever its size, and each difference as many as halvings lead to it.
    One more in one place and one less in another, within one range, is not seen.
    """
    if last <= after:
        return
    there, here = theirs(after, last), ours(after, last)
    if there == here:
        return
    if max(there[0], here[0]) <= most or last - after == 1:
        yield after, last
        return
    middle = (after + last) // 2
    yield from differing_ranges(theirs, ours, after=after, last=middle, most=most)
    yield from differing_ranges(theirs, ours, after=middle, last=last, most=most)
