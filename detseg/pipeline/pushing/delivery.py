"""Sends batches, each image once: intent, request, confirmation.

While the server works on one batch, the next gets its intents and the last its confirmation, so that the
server need not wait for the catalog. What has intents when sending ends is given free, since it never left.

What the server refuses it has not done (a bad task sinks its whole batch: halves find it). After every other
failure the request may have been carried out, or may still be under way: then the server is asked until what
was sent is there, or until it is believed lost. What is lost since the server failed at it (HTTP 500) is sent
again in halves.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Protocol

from detseg.errors import BrokenAnswer, Busy, LabelStudioError, Refused, Unreachable
from detseg.labelstudio.responses import back_off_s
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.pushing.payload import Payload
from detseg.pipeline.pushing.queue import Queue
from detseg.pipeline.pushing.report import ImageOutcome, Status
from detseg.pipeline.pushing.settling import ask_until
from detseg.types import ImageId
from detseg.waits import waiting

_N_ATTEMPTS = 4
_ABOUT_THE_TASKS = (400, 413, 422)  # other refusals concern us or the project, whatever is sent


class PushTarget(Protocol):
    """One kind of what is sent. Task ids are the server's."""

    @property
    def queue(self) -> Queue: ...

    @property
    def status(self) -> Status:
        """Of an image whose payload arrived."""

    def claim(self, payloads: Sequence[Payload]) -> Sequence[ImageId]:
        """Records the intent; answers the images that we alone may send now."""

    def send(self, payloads: Sequence[Payload]) -> Mapping[ImageId, int]:
        """Sends them in one request; the task of each. Raises as ``Session`` does."""

    def find(self, ids: Sequence[ImageId]) -> Mapping[ImageId, int]:
        """Those that the server has, and their tasks."""

    def gone(self, payloads: Sequence[Payload]) -> frozenset[ImageId]:
        """Those that can never arrive, because their tasks were deleted on the server."""

    def confirm(self, found: Mapping[ImageId, int]) -> None:
        """Records what arrived."""

    def release(self, ids: Iterable[ImageId]) -> None:
        """Takes the intents back: the server does not have them."""

    def suspect_duplicates(self, ids: Iterable[ImageId]) -> None:
        """Remembers that what is sent again now may yet come twice."""


class SendingEnded(Exception):
    """Nothing more is to be sent."""


class SendSlots:
    """Each batch waits for its turn to send, and may be made ready before and recorded after it.

    A turn that fails is the last one, whoever waits; a refusal is no failure, since the server did nothing.
    """

    def __init__(self, n_at_once: int) -> None:
        self._free = threading.Semaphore(n_at_once)
        self._ended = False

    @contextmanager
    def take(self) -> Iterator[None]:
        """Waits for a turn, which is the block. Raises SendingEnded if there is none any more."""
        with self._free:
            if self._ended:
                raise SendingEnded
            try:
                yield
            except Refused:
                raise
            except BaseException:
                self._ended = True  # before anybody else has a turn
                raise

    def end(self) -> None:
        """Nobody gets a turn from now on."""
        self._ended = True


Work = Callable[[SendSlots], Iterable[ImageOutcome]]
"""Sends a batch in its turn, and answers what became of its images."""


Send = Callable[[Sequence[Payload], SendSlots], Iterable[ImageOutcome]]

_FIRST, _GROWTH = 25, 2


class Batcher:
    """Collects payloads, and answers the work of sending them whenever a batch is full.

    The first batch is small, so that the server soon has work. Each may be twice as large as the one before:
    it is made while the server works on that, which takes about twice as long as making it. A payload that is
    larger than a batch may be travels alone.
    """

    def __init__(self, send: Send, *, n_most: int, n_bytes_most: int) -> None:
        self._send = send
        self._n_now, self._n_most, self._n_bytes_most = min(_FIRST, n_most), n_most, n_bytes_most
        self._parcels: list[Payload] = []
        self._n_bytes = 0

    def add(self, payload: Payload) -> Iterator[Work]:
        """The batch that is full without this payload, if there is one."""
        if len(self._parcels) == self._n_now or self._n_bytes + len(payload.body) > self._n_bytes_most:
            yield from self.flush()
        self._parcels.append(payload)
        self._n_bytes += len(payload.body) + 1

    def flush(self) -> Iterator[Work]:
        """Yield what is left."""
        if self._parcels:
            yield partial(self._send, tuple(self._parcels))
            self._n_now = min(_GROWTH * self._n_now, self._n_most)
        self._parcels, self._n_bytes = [], 0


def deliver_all(steps: Iterable[Work | ImageOutcome], *, writers: int) -> Iterator[ImageOutcome]:
    """Send the steps, so many batches at once. Yields the outcome of every image.

    The steps are made in this thread, so that the catalog is read and regions are encoded while the server
    works on what was sent before.
    """
    slots, n_threads = SendSlots(writers), writers + 1  # one more than may send: it writes into the catalog
    with ThreadPoolExecutor(n_threads) as pool:
        under_way: deque[Future[list[ImageOutcome]]] = deque()
        try:
            for step in steps:
                if isinstance(step, ImageOutcome):
                    yield step
                    continue
                under_way.append(pool.submit(copy_context().run, _outcomes, step, slots))
                while len(under_way) > n_threads or (under_way and under_way[0].done()):
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:  # something failed: what has not left does not leave any more
            slots.end()
            for future in under_way:
                future.cancel()


def _outcomes(work: Work, slots: SendSlots) -> list[ImageOutcome]:
    return list(work(slots))


def deliver(target: PushTarget, payloads: Sequence[Payload], slots: SendSlots) -> list[ImageOutcome]:
    """Sends one batch. Raises Unreachable and other LabelStudioErrors with the intents left open."""
    failpoint("push.before_intent")
    claimed = frozenset(target.claim(payloads))
    failpoint("push.after_intent")
    ours = [payload for payload in payloads if payload.ref.id in claimed]
    held = [ImageOutcome(payload.ref, "held") for payload in payloads if payload.ref.id not in claimed]
    return held + _send(target, ours, slots)


def _send(
    target: PushTarget, payloads: Sequence[Payload], slots: SendSlots, *, again: bool = False
) -> list[ImageOutcome]:
    """Sends what is claimed; in halves where the server refuses it, or fails at it. Nothing once the slots
    have ended. ``again``: the server failed at it before, so that another failure is not waited for."""
    if not payloads:
        return []
    patience_s = 0.0 if again else target.queue.settings.label_studio.patience_s
    try:
        with slots.take():
            failpoint("push.before_request")
            arrived, failure = _request(target, payloads, patience_s)
    except SendingEnded:
        target.release([payload.ref.id for payload in payloads])
        return []
    except Refused as error:
        return _refused(target, payloads, slots, error)
    failpoint("push.after_request")
    target.confirm(arrived)
    failpoint("push.after_confirm")
    if arrived:
        target.queue.broken.worked()
    done = [
        ImageOutcome(payload.ref, target.status, arrived[payload.ref.id], payload.left_out, payload.shapes)
        for payload in payloads
        if payload.ref.id in arrived
    ]
    if failure is None:
        return done
    left = [payload for payload in payloads if payload.ref.id not in arrived]
    return [*done, *_broken(target, left, slots, failure, alone=len(payloads) == 1)]


def _request(
    target: PushTarget, payloads: Sequence[Payload], patience_s: float
) -> tuple[Mapping[ImageId, int], BrokenAnswer | None]:
    """The tasks of all payloads; or of those that are there, and how the server failed at it. Raises Refused
    if nothing was done."""
    ids = [payload.ref.id for payload in payloads]
    left = list(payloads)
    arrived: dict[ImageId, int] = {}
    for attempt in range(1, _N_ATTEMPTS + 1):
        try:
            with target.queue.limit():
                return arrived | dict(target.send(left)), None
        except Refused:
            raise
        except LabelStudioError as error:
            sought = [payload.ref.id for payload in left]
            wait_s = 0.0 if isinstance(error, Busy) else patience_s
            arrived |= ask_until(len(sought), partial(target.find, sought), patience_s=wait_s)
            left = [payload for payload in payloads if payload.ref.id not in arrived]
            if not left:
                return arrived, None
            if isinstance(error, BrokenAnswer):
                target.suspect_duplicates(ids)
                return arrived, error
            if attempt == _N_ATTEMPTS or not isinstance(error, Unreachable):
                raise
            target.suspect_duplicates(ids)
            pause_s = back_off_s(attempt, error.after_s if isinstance(error, Busy) else None)
            with waiting("Label Studio to have time for us", longest_s=pause_s) as wait:
                wait.pause(pause_s)
    raise AssertionError("the last attempt returns or raises")


def _refused(
    target: PushTarget, payloads: Sequence[Payload], slots: SendSlots, error: Refused
) -> list[ImageOutcome]:
    """Sends again what can be; raises the error if it does not lie in what was sent."""
    if error.status not in _ABOUT_THE_TASKS:
        target.release([payload.ref.id for payload in payloads])
        raise error
    gone = target.gone(payloads)
    if gone:
        target.release(gone)
        deleted = [ImageOutcome(payload.ref, "deleted") for payload in payloads if payload.ref.id in gone]
        return deleted + _send(target, [payload for payload in payloads if payload.ref.id not in gone], slots)
    if len(payloads) > 1:
        half = len(payloads) // 2
        return [*_send(target, payloads[:half], slots), *_send(target, payloads[half:], slots)]
    (payload,) = payloads
    target.release([payload.ref.id])
    return [ImageOutcome(payload.ref, "refused", reason=f"was refused by Label Studio: {error.reason}")]


def _broken(
    target: PushTarget, payloads: Sequence[Payload], slots: SendSlots, error: BrokenAnswer, *, alone: bool
) -> list[ImageOutcome]:
    """Sends again in halves what the server failed at, since that may lie in one of them; not what it failed
    at ``alone``, whose intent the next run settles. Raises the error if there is too much of that."""
    if not alone:
        half = (len(payloads) + 1) // 2
        first = _send(target, payloads[:half], slots, again=True)
        return [*first, *_send(target, payloads[half:], slots, again=True)]
    queue = target.queue
    return [
        ImageOutcome(one.ref, "refused", one.task_id, queue.broken.failed(error, queue.url, one.task_id))
        for one in payloads
    ]


def checked(outcomes: Iterable[ImageOutcome], check: Callable[[int], None]) -> Iterator[ImageOutcome]:
    """The outcomes as they come, while the task of the first new one is checked beside them.

    Raises what the check raises as soon as it is known, because the rest would be no better.
    """
    check_of_one: Future[None] | None = None
    with ThreadPoolExecutor(1) as aside:
        for outcome in outcomes:
            if check_of_one is None:
                if outcome.status == "pushed" and outcome.task_id is not None:
                    check_of_one = aside.submit(copy_context().run, check, outcome.task_id)
            elif check_of_one.done():
                check_of_one.result()
            yield outcome
    if check_of_one is not None:
        check_of_one.result()
