"""Duplicates on the server, of requests that were carried out more than once: found, and made one.

A server without idempotency keys carries out whatever arrives, also what a proxy held back for minutes or
sent twice, and nobody hears of it. So tasks and predictions are counted on both sides, and where the counts
differ, what was sent since the last look is looked up by image id. What somebody has begun is not deleted.

A server may also say that it stored predictions, and have none of them: where its number of them fell, those
that were sent since the last look are looked up as well, and what is missing is sent again, once.

Deleting is what no later run makes good, and a server that was restored, or a proxy that answers from memory,
may show twice what is not. So it is counted first, and of more than a few nothing is deleted unasked.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeVar

from detseg.catalog import is_same_task
from detseg.labelstudio.changes import TaskReader
from detseg.labelstudio.deletion import delete_untouched
from detseg.labelstudio.predictions import TaskOnServer, delete_prediction, look_up
from detseg.paging import pages
from detseg.pipeline import progress
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.pushing.existing import find_known, find_tasks, find_there
from detseg.pipeline.pushing.settling import GIVEN_UP
from detseg.pipeline.reconciling import mark_deleted_tasks
from detseg.plurals import format_count
from detseg.types import ImageId, ModelVersion, SeenTask

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Project, Task
    from detseg.pipeline.workspace import Sides

Remove = Literal["few", "all", "none"]
"""The share of the duplicates that may be deleted; ``remove_duplicates`` of the settings."""

_FEW, _SHARE = 100, 10  # that many, or one of that many tasks of the project
_N_ROUNDS = 3
_N_NAMED = 5

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Removed:
    """The tasks and predictions that were there twice and are no more, counted.

    ``n_reviews`` turned out to be deleted with their tasks; ``to_read`` are the numbers of tasks that the
    catalog has learnt of; those that are ``left`` are more than may be removed, so that none of them was.
    ``n_lost`` predictions are not there that the server said it had stored.
    """

    n_tasks: int = 0
    n_predictions: int = 0
    n_reviews: int = 0
    to_read: frozenset[int] = frozenset()
    n_tasks_left: int = 0
    n_predictions_left: int = 0
    n_lost: int = 0

    def __add__(self, other: Removed) -> Removed:
        return Removed(
            self.n_tasks + other.n_tasks,
            self.n_predictions + other.n_predictions,
            self.n_reviews + other.n_reviews,
            self.to_read | other.to_read,
            max(self.n_tasks_left, other.n_tasks_left),  # two looks at the same ones
            max(self.n_predictions_left, other.n_predictions_left),
            self.n_lost + other.n_lost,
        )


@dataclass(frozen=True, slots=True)
class Resolution:
    """``kept`` is the image's task from now on, None if it stays deleted. People have begun the ``others``,
    and what they make of them counts as well. Nobody has begun the ``spare`` ones."""

    kept: TaskOnServer | None
    others: tuple[TaskOnServer, ...] = ()
    spare: tuple[TaskOnServer, ...] = ()


def resolve_duplicates(sides: Sides, *, remove: Remove, mark_deleted: bool = False) -> Removed:
    """Makes one of what was carried out more than once, as far as nobody has begun to work on it.

    Costs one request where the server has as much as the catalog, or as much more as at the last look. With
    ``mark_deleted``, tasks that people deleted there are marked first, so that they are no difference.
    """
    catalog, project = sides.catalog, sides.project
    now, possible = datetime.now(UTC), catalog.possible_duplicates.all(project.key)
    images = {one.image for one in possible if one.version is None}
    added = {(one.image, one.version) for one in possible if one.version is not None}
    counted, looked = f"duplicates:{project.key}", f"duplicates-looked:{project.key}"
    difference, before = _difference(sides), catalog.cursors.get(counted) or "0,0"
    n_reviews = 0
    if mark_deleted and _n_tasks(difference) < max(0, _n_tasks(before)):
        n_reviews, before = _mark_deleted(sides, difference=difference, before=before)
        difference = _difference(sides)
    sent: Sequence[tuple[ImageId, ModelVersion]] = ()
    if difference != before:
        last = catalog.cursors.get(looked)
        looked_at = min(datetime.fromisoformat(last), now) if last else None
        since = looked_at - GIVEN_UP if looked_at else None
        images.update(catalog.tasks.pushed_since(project.key, since))
        added.update(catalog.task_predictions.pushed_since(project.key, since, added=True))
        if _n_predictions(difference) < _n_predictions(before):
            sent = catalog.task_predictions.pushed_since(project.key, looked_at)
    removed = Removed(n_reviews=n_reviews)
    removed += resolve_tasks(sides, images, remove=remove)
    removed += _resolve_predictions(sides, sorted(added), remove=remove)
    removed += _drop_lost(sides, sent)
    if removed.n_tasks_left or removed.n_predictions_left:  # the next look is at the same ones
        return removed
    catalog.possible_duplicates.forget(project.key, now - GIVEN_UP)
    if images or added or sent:
        difference = _difference(sides)
    catalog.cursors.set(counted, difference)
    catalog.cursors.set(looked, now.isoformat())
    return removed


def resolve_tasks(sides: Sides, images: Iterable[ImageId], *, remove: Remove) -> Removed:
    """As ``resolve_duplicates``, of the tasks of these images alone."""
    catalog, project = sides.catalog, sides.project
    several: list[tuple[Task, tuple[SeenTask, ...]]] = []
    for page in _looked_up(sorted(images)):
        tasks = catalog.tasks.of_images(project.key, page)
        known = catalog.server_tasks.numbers(project.key, page)
        for image, own in find_tasks(sides, page).own.items():
            task = tasks.get(image)
            if task is not None and task.state != "intent" and {one.id for one in own} != known[image]:
                several.append((task, own))
    n_spare = sum(len(own) - (task.state == "pushed") for task, own in several)
    may_remove = n_spare <= _most(sides, remove)
    removed = Removed()
    for task, own in several:
        one = _resolve(sides, task, own, may_remove=may_remove)
        removed = replace(removed + one, n_tasks_left=removed.n_tasks_left + one.n_tasks_left)
    return removed


def describe_duplicates(catalog: Catalog, project: Project, removed: Removed) -> Iterator[str]:
    """A line about what was there twice and is no more, and one about the images that are several tasks."""
    if removed.n_tasks or removed.n_predictions:
        yield (
            f"a request was carried out more than once: {format_count(removed.n_tasks, 'task')} and "
            f"{format_count(removed.n_predictions, 'prediction')} of ours were in project {project.title!r} "
            "twice; nobody had begun the second ones, so they were removed"
        )
    if removed.n_lost:
        yield (
            f"Label Studio said that it had stored {format_count(removed.n_lost, 'prediction')} of project "
            f"{project.title!r}, and has none of them: `detseg preannotate` sends them again, but none a "
            "third time; if this line comes back, look into the server's log"
        )
    if removed.n_tasks_left or removed.n_predictions_left:
        yield (
            f"project {project.title!r} seems to have {format_count(removed.n_tasks_left, 'task')} and "
            f"{format_count(removed.n_predictions_left, 'prediction')} of ours twice, which is more than is "
            "removed unasked: look at them in Label Studio, and delete them there or run once with "
            'remove_duplicates = "all" (DETSEG_QUEUE__REMOVE_DUPLICATES=all)'
        )
    copies = catalog.server_tasks.copies(project.key)
    if copies:
        some = list(copies.items())[:_N_NAMED]
        named = "; ".join(f"{image[:19]} is {', '.join(map(str, numbers))}" for image, numbers in some)
        more = "; ..." if len(copies) > _N_NAMED else ""
        yield (
            f"{format_count(len(copies), 'image', 'is', 'are')} several tasks of project {project.title!r} "
            f"on which people worked, because a request was carried out more than once ({named}{more}): "
            "every review counts; delete in Label Studio what you do not want"
        )


def resolve(task: Task, found: Sequence[TaskOnServer], *, doubted: bool) -> Resolution:
    """Decide what becomes of the tasks that the server has of an image, by ascending number.

    ``doubted``: the image was sent again because its first request seemed lost. What people have begun stays,
    and so does what somebody imported from a file. Of the rest one stays, the one that is known if it shows
    as much as the others. Of an image whose task was deleted none does, if they may be late copies.
    """
    begun = [one for one in found if one.touched or one.from_file]
    rest = [one for one in found if one not in begun]
    known = [one for one in found if task.state == "pushed" and one.id == task.task_id]
    if begun:
        kept = next(iter([one for one in known if one in begun] or begun))
    elif known:
        shows_more = [one for one in rest if one.versions and not known[0].versions]
        kept = next(iter(shows_more or known))
    else:
        to_stay = [one for one in rest if not _is_late(task, one, doubted=doubted)]
        if not to_stay:
            return Resolution(None, spare=tuple(rest))
        kept = to_stay[0]
    others = tuple(one for one in begun if one != kept)
    return Resolution(kept, others, tuple(one for one in rest if one != kept))


def _is_late(task: Task, one: TaskOnServer, *, doubted: bool) -> bool:
    """Tell whether it may have come of a request of ours that was under way when the task was deleted."""
    if task.created_at is None:
        return doubted
    return task.created_at < one.seen.created_at and (
        doubted or one.seen.created_at <= task.created_at + GIVEN_UP
    )


def _most(sides: Sides, remove: Remove) -> int:
    """Return how many tasks, or predictions, may be removed at once."""
    if remove == "few":
        return max(_FEW, sides.catalog.server_tasks.totals(sides.project.key)[0] // _SHARE)
    return sys.maxsize if remove == "all" else 0


def _difference(sides: Sides) -> str:
    """Say how many tasks and predictions more the server has than the catalog."""
    there = TaskReader(sides.client.session, sides.project.server_id).totals()
    here = sides.catalog.server_tasks.totals(sides.project.key)
    return ",".join(str(n - m) for n, m in zip(there, here, strict=True))


def _mark_deleted(sides: Sides, *, difference: str, before: str) -> tuple[int, str]:
    """Mark the tasks that people deleted: the number of their reviews, and what the last look would have said
    had it known of them, if it was after their deletion."""
    totals, key = sides.catalog.server_tasks.totals, sides.project.key
    known = totals(key)
    n_reviews = mark_deleted_tasks(sides)
    left = totals(key)
    if difference == before:
        numbers = zip(map(int, before.split(",")), known, left, strict=True)
        before = ",".join(str(n + were - are) for n, were, are in numbers)
    return n_reviews, before


def _n_tasks(difference: str) -> int:
    return int(difference.split(",")[0])


def _n_predictions(difference: str) -> int:
    return int(difference.split(",")[1])


def _drop_lost(sides: Sides, sent: Sequence[tuple[ImageId, ModelVersion]]) -> Removed:
    """Give the predictions free that the tasks do not have, so that they are sent again; those that were sent
    a second time lately stay as they are."""
    catalog, key = sides.catalog, sides.project.key
    again = {(one.image, one.version) for one in catalog.possible_duplicates.all(key)}
    lost: defaultdict[ModelVersion, list[ImageId]] = defaultdict(list)
    n_lost = 0
    for page in _looked_up(sent):
        on_server = find_known(sides, list(dict.fromkeys(image for image, _ in page)))
        for image, version in page:
            if image in on_server and version not in on_server[image].versions:
                n_lost += 1
                if (image, version) not in again:
                    lost[version].append(image)
    for version, images in lost.items():
        catalog.possible_duplicates.record(key, images, version)  # they may have been on their way
        catalog.task_predictions.drop(key, images, version, state="pushed")
    return Removed(n_lost=n_lost)


def _looked_up(items: Sequence[Item]) -> Iterator[tuple[Item, ...]]:
    """Pages of what is looked up on the server, which takes long where much was sent: said as progress."""
    if items:
        progress.report("look up", total=len(items))
    for page in pages(items):
        yield page
        progress.report("look up", advance=len(page))


def _resolve(sides: Sides, task: Task, own: Sequence[SeenTask], *, may_remove: bool) -> Removed:
    """One image's. What somebody begins while we look at it is looked at again."""
    client, catalog, project = sides.client, sides.catalog, sides.project
    key, image = project.key, task.image
    n_reviews = _mark_if_gone(sides, task, own)
    ours = catalog.task_predictions.versions(key)
    doubted = any(one.image == image and one.version is None for one in catalog.possible_duplicates.all(key))
    n_removed, n_left, to_read = 0, 0, frozenset[int]()
    for _ in range(_N_ROUNDS):
        task = catalog.tasks.of_images(key, [image])[image]
        tasks = _look(sides, task, own)
        resolution = resolve(task, tasks, doubted=doubted)
        kept = resolution.kept
        if kept is not None:
            is_news = task.state != "pushed" or kept.id != task.task_id
            catalog.server_tasks.keep(
                key,
                image,
                kept.seen,
                others=[one.seen for one in resolution.others],
                versions=_versions(kept, ours) if is_news else None,
                begun=kept.touched,
            )
            to_read = frozenset(one.id for one in (kept, *resolution.others))
        if not may_remove:
            n_left = len(resolution.spare)
            break
        failpoint("push.before_removal")
        for one in resolution.spare:
            delete_untouched(client.session, project.server_id, one.seen)
        spare = {one.seen for one in resolution.spare}
        left = spare.intersection(client.seen_tasks(project.server_id, [one.id for one in spare]))
        n_removed += len(spare) - len(left)
        if not left:
            break
    return Removed(n_removed, n_reviews=n_reviews, to_read=to_read, n_tasks_left=n_left)


def _mark_if_gone(sides: Sides, task: Task, own: Sequence[SeenTask]) -> int:
    """Marks the task as deleted if it is not on the server; the number of its reviews."""
    number, catalog, key = task.task_id, sides.catalog, sides.project.key
    if number is None or number in {one.id for one in own}:
        return 0
    if find_there(sides, [task.image]):  # somebody edited what it says of its image
        return 0
    n_reviews = len(catalog.reviews.ids_of_tasks(key, [number]))
    catalog.server_tasks.mark_deleted(key, [number])
    return n_reviews


def _look(sides: Sides, task: Task, own: Sequence[SeenTask]) -> list[TaskOnServer]:
    """An image's tasks as they are now, by ascending number; also the known one, if its data was edited."""
    numbers = {one.id for one in own} | ({task.task_id} if task.task_id is not None else set())
    found = look_up(sides.client.session, sides.project.server_id, sorted(numbers))
    return [
        one
        for _, one in sorted(found.items())
        if one.seen in own or (one.id == task.task_id and is_same_task(task.image, task.created_at, one.seen))
    ]


def _versions(task: TaskOnServer, ours: frozenset[ModelVersion]) -> list[ModelVersion]:
    """Our model versions on a task, the newest last; in no order where the server fails to show them."""
    shown = [version for one in task.predictions if (version := ModelVersion(one.model_version)) in ours]
    return shown or sorted(ours.intersection(task.unshown))


def _resolve_predictions(
    sides: Sides, added: Sequence[tuple[ImageId, ModelVersion]], *, remove: Remove
) -> Removed:
    """Leaves one of each version's predictions on a task, one that an annotation came of if there is any."""
    spare: list[int] = []
    for page in _looked_up(added):
        on_server = find_known(sides, list(dict.fromkeys(image for image, _ in page)))
        for image, version in page:
            task = on_server.get(image)
            same = [one for one in task.predictions if one.model_version == version] if task else []
            unused = [one.id for one in same if not one.is_parent]
            spare += unused if len(unused) < len(same) else unused[1:]
    if len(spare) > _most(sides, remove):
        return Removed(n_predictions_left=len(spare))
    for prediction in spare:
        delete_prediction(sides.client.session, prediction)
    return Removed(n_predictions=len(spare))
