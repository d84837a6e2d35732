"""Puts a new model version's predictions in the place of the earlier ones, on tasks that nobody has begun."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress

from detseg.errors import Refused
from detseg.labelstudio.predictions import TaskOnServer, delete_prediction, look_up, put_prediction
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.pushing.delivery import deliver
from detseg.pipeline.pushing.encoding import Parcel
from detseg.pipeline.pushing.freight import MorePredictions
from detseg.pipeline.pushing.queue import Queue
from detseg.pipeline.pushing.report import ImageOutcome
from detseg.pipeline.pushing.turns import Ended, Turns


def replace_predictions(queue: Queue, parcels: Sequence[Parcel], turns: Turns) -> Iterator[ImageOutcome]:
    """What became of the parcels. On tasks that people have begun, or that have no prediction of ours, the
    new one stands beside what is there."""
    on_server = look_up(
        queue.client.session,
        queue.project.server_id,
        [parcel.task_id for parcel in parcels if parcel.task_id is not None],
    )
    ours = queue.catalog.task_predictions.versions(queue.project.key)
    instead: list[tuple[Parcel, TaskOnServer]] = []
    beside: list[Parcel] = []
    for parcel in parcels:
        task = on_server.get(parcel.task_id or 0)
        if task is None or task.touched or not task.versions & ours:
            beside.append(parcel)
        else:
            instead.append((parcel, task))
    with suppress(Ended), turns.next():
        yield from _replace_all(queue, instead, ours)
    yield from deliver(MorePredictions(queue), beside, turns)


def _replace_all(
    queue: Queue, instead: Sequence[tuple[Parcel, TaskOnServer]], ours: frozenset[str]
) -> Iterator[ImageOutcome]:
    """One request a task, each safe to repeat."""
    claims, key = queue.catalog.task_predictions, queue.project.key
    failpoint("push.before_intent")
    shown = {parcel.ref.id: parcel.shown for parcel, _ in instead}
    claimed = frozenset(claims.open_push(key, shown, queue.version, shown=shown))
    failpoint("push.after_intent")
    for parcel, task in instead:
        if parcel.ref.id not in claimed:
            yield ImageOutcome(parcel.ref, "held", task.id)
            continue
        failpoint("push.before_request")
        try:
            _replace(queue, parcel, task, ours)
        except Refused as error:
            claims.drop_intents(key, [parcel.ref.id], queue.version)
            yield ImageOutcome(parcel.ref, "refused", task.id, f"was refused by the server: {error}")
            continue
        failpoint("push.after_request")
        claims.confirm_push(key, [parcel.ref.id], queue.version, replaces=True)
        failpoint("push.after_confirm")
        yield ImageOutcome(parcel.ref, "replaced", task.id, parcel.left_out, parcel.shapes)


def _replace(queue: Queue, parcel: Parcel, task: TaskOnServer, ours: frozenset[str]) -> None:
    """The newest of our predictions becomes the new version's, the others go. Those of others stay."""
    *older, newest = (one for one in task.predictions if one.model_version in ours)
    with queue.limit():
        for prediction in older:
            delete_prediction(queue.client.session, prediction.id)
        put_prediction(queue.client.session, queue.project.server_id, newest.id, json.loads(parcel.body))
