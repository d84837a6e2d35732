"""Sends batches, each image once: intent, request, confirmation. A doubt is settled before a repetition.

While the server works on one batch, the next gets its intents and the last its confirmation, so that the
server need not wait for the catalog. What has intents when sending ends is given free, since it never left.

What the server refuses it has not done (a bad task sinks its whole batch: halves find it). After every other
failure the request may have been carried out, or may still be under way: then the server is asked until what
was sent is there, or until it is believed lost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial

from detseg.errors import Busy, LabelStudioError, Refused, Unreachable
from detseg.labelstudio.wire import back_off_s
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.pushing.encoding import Parcel
from detseg.pipeline.pushing.freight import Freight
from detseg.pipeline.pushing.report import ImageOutcome
from detseg.pipeline.pushing.turns import Ended, Turns
from detseg.pipeline.pushing.waiting import ask_until
from detseg.types import ImageId

_N_ATTEMPTS = 4
_ABOUT_THE_TASKS = (400, 413, 422)  # other refusals concern us or the project, whatever is sent

Work = Callable[[Turns], Iterable[ImageOutcome]]
"""Sends a batch in its turn, and answers what became of its images."""


def deliver_all(steps: Iterable[Work | ImageOutcome], *, writers: int) -> Iterator[ImageOutcome]:
    """What became of every image. So many batches are sent at once.

    The steps are made in this thread, so that the catalog is read and regions are encoded while the server
    works on what was sent before.
    """
    turns, n_threads = Turns(writers), writers + 1  # one more than may send: it writes into the catalog
    with ThreadPoolExecutor(n_threads) as pool:
        under_way: deque[Future[list[ImageOutcome]]] = deque()
        try:
            for step in steps:
                if isinstance(step, ImageOutcome):
                    yield step
                    continue
                under_way.append(pool.submit(copy_context().run, _outcomes, step, turns))
                while len(under_way) > n_threads or (under_way and under_way[0].done()):
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:  # something failed: what has not left does not leave any more
            turns.end()
            for future in under_way:
                future.cancel()


def _outcomes(work: Work, turns: Turns) -> list[ImageOutcome]:
    return list(work(turns))


def deliver(freight: Freight, parcels: Sequence[Parcel], turns: Turns) -> list[ImageOutcome]:
    """Sends one batch. Raises Unreachable and other LabelStudioErrors with the intents left open."""
    failpoint("push.before_intent")
    claimed = frozenset(freight.claim(parcels))
    failpoint("push.after_intent")
    ours = [parcel for parcel in parcels if parcel.ref.id in claimed]
    held = [ImageOutcome(parcel.ref, "held") for parcel in parcels if parcel.ref.id not in claimed]
    return held + _send(freight, ours, turns)


def _send(freight: Freight, parcels: Sequence[Parcel], turns: Turns) -> list[ImageOutcome]:
    """Sends what is claimed; in halves where the server refuses it. Nothing once the turns have ended."""
    if not parcels:
        return []
    try:
        with turns.next():
            failpoint("push.before_request")
            arrived = _request(freight, parcels)
    except Ended:
        freight.release([parcel.ref.id for parcel in parcels])
        return []
    except Refused as error:
        return _refused(freight, parcels, turns, error)
    failpoint("push.after_request")
    freight.confirm(arrived)
    failpoint("push.after_confirm")
    return [
        ImageOutcome(parcel.ref, freight.status, arrived[parcel.ref.id], parcel.left_out, parcel.shapes)
        for parcel in parcels
    ]


def _request(freight: Freight, parcels: Sequence[Parcel]) -> Mapping[ImageId, int]:
    """The tasks of all parcels. Raises Refused if nothing was done."""
    ids = [parcel.ref.id for parcel in parcels]
    left = list(parcels)
    arrived: dict[ImageId, int] = {}
    for attempt in range(1, _N_ATTEMPTS + 1):
        try:
            with freight.queue.limit():
                return arrived | dict(freight.send(left))
        except Refused:
            raise
        except LabelStudioError as error:
            patience_s = 0.0 if isinstance(error, Busy) else freight.queue.settings.label_studio_patience_s
            sought = [parcel.ref.id for parcel in left]
            arrived |= ask_until(len(sought), partial(freight.find, sought), patience_s=patience_s)
            left = [parcel for parcel in parcels if parcel.ref.id not in arrived]
            if not left:
                return arrived
            if attempt == _N_ATTEMPTS or not isinstance(error, Unreachable):
                raise
            freight.doubt(ids)
            time.sleep(back_off_s(attempt, error.after_s if isinstance(error, Busy) else None))
    raise AssertionError("the last attempt returns or raises")


def _refused(freight: Freight, parcels: Sequence[Parcel], turns: Turns, error: Refused) -> list[ImageOutcome]:
    """Sends again what can be; raises the error if it does not lie in what was sent."""
    if error.status not in _ABOUT_THE_TASKS:
        freight.release([parcel.ref.id for parcel in parcels])
        raise error
    gone = freight.gone(parcels)
    if gone:
        freight.release(gone)
        deleted = [ImageOutcome(parcel.ref, "deleted") for parcel in parcels if parcel.ref.id in gone]
        return deleted + _send(freight, [parcel for parcel in parcels if parcel.ref.id not in gone], turns)
    if len(parcels) > 1:
        half = len(parcels) // 2
        return [*_send(freight, parcels[:half], turns), *_send(freight, parcels[half:], turns)]
    (parcel,) = parcels
    freight.release([parcel.ref.id])
    return [ImageOutcome(parcel.ref, "refused", reason=f"was refused by the server: {error}")]
