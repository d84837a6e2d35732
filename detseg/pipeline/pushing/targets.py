"""The two kinds of batches that a project gets: new tasks, and predictions for tasks that are there.

Both are claimed in the catalog before they leave, can be looked up on the server, and are confirmed or given
free; ``delivery`` knows in which order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from detseg.errors import BrokenAnswer, Refused
from detseg.files import parse_json
from detseg.labelstudio.predictions import (
    TaskOnServer,
    add_predictions,
    delete_prediction,
    put_prediction,
)
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.pushing.delivery import SendingEnded, SendSlots, deliver
from detseg.pipeline.pushing.existing import find_added, find_known, find_last_creation, find_sent, find_there
from detseg.pipeline.pushing.payload import Payload
from detseg.pipeline.pushing.queue import Queue
from detseg.pipeline.pushing.report import ImageOutcome, Status
from detseg.types import ImageId

MOST_PREDICTIONS = 500
"""As many as the server adds in one transaction."""


@dataclass(frozen=True, slots=True)
class NewTasks:
    """Images as new tasks, each with one prediction; control images without."""

    queue: Queue
    status: Status = "pushed"

    def claim(self, payloads: Sequence[Payload]) -> Sequence[ImageId]:
        return self.queue.catalog.tasks.open_push(
            self.queue.project.key,
            [payload.ref.id for payload in payloads],
            self.queue.version,
            restore=self.queue.settings.queue.restore,
            arms=[payload.assignment for payload in payloads if payload.assignment is not None],
            shown={payload.ref.id: payload.shown for payload in payloads},
        )

    def send(self, payloads: Sequence[Payload]) -> Mapping[ImageId, int]:
        ids = self.queue.client.import_encoded(
            self.queue.project.server_id,
            _json_list(payloads),
            n_tasks=len(payloads),
            n_predictions=sum(payload.n_predictions for payload in payloads),
        )
        return dict(zip((payload.ref.id for payload in payloads), ids, strict=True))

    def find(self, ids: Sequence[ImageId]) -> Mapping[ImageId, int]:
        return find_sent(self.queue.sides, ids)

    def gone(self, payloads: Sequence[Payload]) -> frozenset[ImageId]:  # noqa: ARG002
        return frozenset()

    def confirm(self, found: Mapping[ImageId, int]) -> None:
        created_by = find_last_creation(self.queue.sides, found)
        self.queue.catalog.tasks.confirm_push(self.queue.project.key, found, created_by=created_by)

    def release(self, ids: Iterable[ImageId]) -> None:
        self.queue.catalog.tasks.drop_intents(self.queue.project.key, ids)

    def suspect_duplicates(self, ids: Iterable[ImageId]) -> None:
        self.queue.catalog.possible_duplicates.record(self.queue.project.key, ids)


@dataclass(frozen=True, slots=True)
class MorePredictions:
    """Predictions beside those that the tasks have."""

    queue: Queue
    status: Status = "added"

    def claim(self, payloads: Sequence[Payload]) -> Sequence[ImageId]:
        shown = {payload.ref.id: payload.shown for payload in payloads}
        return self.queue.catalog.task_predictions.open_push(
            self.queue.project.key, shown, self.queue.version, shown=shown
        )

    def send(self, payloads: Sequence[Payload]) -> Mapping[ImageId, int]:
        if self._find_gone(payloads):  # the server may have given their numbers to other images' tasks
            raise Refused("some of the tasks are gone", 400)
        add_predictions(
            self.queue.client.session, self.queue.project.server_id, _json_list(payloads), len(payloads)
        )
        return _task_ids(payloads)

    def find(self, ids: Sequence[ImageId]) -> Mapping[ImageId, int]:
        found = find_added(self.queue.sides, ids, self.queue.version)
        return {image: task.id for image, task in found.items()}

    def gone(self, payloads: Sequence[Payload]) -> frozenset[ImageId]:
        gone, catalog, key = self._find_gone(payloads), self.queue.catalog, self.queue.project.key
        known = catalog.tasks.of_images(key, gone).values()
        catalog.server_tasks.mark_deleted(key, [task.task_id for task in known if task.task_id is not None])
        return gone

    def confirm(self, found: Mapping[ImageId, int]) -> None:
        self.queue.catalog.task_predictions.confirm_push(self.queue.project.key, found, self.queue.version)

    def release(self, ids: Iterable[ImageId]) -> None:
        self.queue.catalog.task_predictions.drop(self.queue.project.key, ids, self.queue.version)

    def suspect_duplicates(self, ids: Iterable[ImageId]) -> None:
        self.queue.catalog.possible_duplicates.record(self.queue.project.key, ids, self.queue.version)

    def _find_gone(self, payloads: Sequence[Payload]) -> frozenset[ImageId]:
        ids = [payload.ref.id for payload in payloads]
        return frozenset(ids) - find_there(self.queue.sides, ids)


def _task_ids(payloads: Iterable[Payload]) -> dict[ImageId, int]:
    return {payload.ref.id: payload.task_id for payload in payloads if payload.task_id is not None}


def _json_list(payloads: Iterable[Payload]) -> bytes:
    return b"[" + b",".join(payload.body for payload in payloads) + b"]"


def replace_predictions(
    queue: Queue, payloads: Sequence[Payload], slots: SendSlots
) -> Iterator[ImageOutcome]:
    """Replace predictions, and yield the outcomes of the payloads. On tasks that people have begun, or that
    have no prediction of ours, the new one stands beside what is there."""
    on_server = find_known(queue.sides, [payload.ref.id for payload in payloads])
    ours = queue.catalog.task_predictions.versions(queue.project.key)
    instead: list[tuple[Payload, TaskOnServer]] = []
    beside: list[Payload] = []
    for payload in payloads:
        task = on_server.get(payload.ref.id)
        if task is not None and task.gives_way(ours):
            instead.append((payload, task))
        else:
            beside.append(payload)
    with suppress(SendingEnded), slots.take():
        yield from _replace_all(queue, instead, ours)
    yield from deliver(MorePredictions(queue), beside, slots)


def _replace_all(
    queue: Queue, instead: Sequence[tuple[Payload, TaskOnServer]], ours: frozenset[str]
) -> Iterator[ImageOutcome]:
    """One request a task, each safe to repeat."""
    claims, key = queue.catalog.task_predictions, queue.project.key
    failpoint("push.before_intent")
    shown = {payload.ref.id: payload.shown for payload, _ in instead}
    claimed = frozenset(claims.open_push(key, shown, queue.version, shown=shown))
    failpoint("push.after_intent")
    for payload, task in instead:
        if payload.ref.id not in claimed:
            yield ImageOutcome(payload.ref, "held", task.id)
            continue
        failpoint("push.before_request")
        try:
            _replace(queue, payload, task, ours)
        except Refused as error:
            claims.drop(key, [payload.ref.id], queue.version)
            yield ImageOutcome(
                payload.ref, "refused", task.id, f"was refused by Label Studio: {error.reason}"
            )
            continue
        except BrokenAnswer as error:  # it may be done all the same: the next run looks
            reason = queue.broken.failed(error, queue.url, task.id)
            yield ImageOutcome(payload.ref, "refused", task.id, reason)
            continue
        queue.broken.worked()
        failpoint("push.after_request")
        claims.confirm_push(key, [payload.ref.id], queue.version, replaces=True)
        failpoint("push.after_confirm")
        yield ImageOutcome(payload.ref, "replaced", task.id, payload.left_out, payload.shapes)


def _replace(queue: Queue, payload: Payload, task: TaskOnServer, ours: frozenset[str]) -> None:
    """The newest of our predictions becomes the new version's, the others go. Those of others stay."""
    *older, newest = (one for one in task.predictions if one.model_version in ours)
    with queue.limit():
        for prediction in older:
            delete_prediction(queue.client.session, prediction.id)
        put_prediction(
            queue.client.session,
            queue.project.server_id,
            newest.id,
            parse_json(payload.body, "a prediction of ours"),
        )
