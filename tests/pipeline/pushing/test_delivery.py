"""Exactly once, whatever the server says: against a server that fails as told."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.errors import BrokenAnswer, Busy, LabelStudioError, Refused, Unreachable
from detseg.pipeline.pushing import delivery
from detseg.pipeline.pushing.delivery import Batcher, SendSlots, Work, deliver_all
from detseg.pipeline.pushing.payload import Payload
from detseg.pipeline.pushing.report import ImageOutcome
from detseg.types import ImageId
from tests.pipeline.pushing.targets import FakeTarget, payloads

BUSY = Busy("come later", 0.0)
LOST = Unreachable("cut")
BROKEN = LabelStudioError("HTTP 500: no space left on device")
FAILED = BrokenAnswer("HTTP 500: Server Error")


def deliver(target: FakeTarget, batch: Sequence[Payload]) -> list[ImageOutcome]:
    """The only batch."""
    return delivery.deliver(target, batch, SendSlots(1))


def statuses(outcomes: Sequence[ImageOutcome]) -> Counter[str]:
    return Counter(one.status for one in outcomes)


@pytest.mark.parametrize("errors", [[], [BUSY], [BUSY, BUSY, BUSY], [LOST, BUSY]])
def test_what_did_not_arrive_is_sent_again(errors: list[Exception | None]) -> None:
    target = FakeTarget(errors=list(errors))
    assert statuses(deliver(target, payloads(3))) == {"pushed": 3}
    assert (len(target.server), len(target.confirmed), target.intents) == (3, 3, set())
    assert len(target.suspected) == (3 if errors else 0)


@pytest.mark.parametrize("error", [BUSY, LOST, BROKEN])
def test_what_arrived_without_an_answer_is_not_sent_again(error: Exception) -> None:
    target = FakeTarget(errors=[error], arrives=True)
    assert statuses(deliver(target, payloads(3))) == {"pushed": 3}
    assert (len(target.server), len(target.confirmed), target.suspected) == (3, 3, set())


@pytest.mark.parametrize("errors", [[BROKEN], [BUSY] * 4, [LOST] * 4])
def test_what_cannot_be_sent_stays_open(errors: list[Exception | None]) -> None:
    target = FakeTarget(errors=list(errors))
    with pytest.raises(LabelStudioError):
        deliver(target, payloads(3))
    assert (target.server, len(target.intents), target.errors) == ([], 3, [])


@given(bad=st.sets(st.integers(0, 19)), status=st.sampled_from([400, 413, 422]))
def test_bad_tasks_do_not_sink_the_others(bad: set[int], status: int) -> None:
    everything = payloads(20)
    unwanted = {everything[i].ref.id for i in bad}

    def refuse(some: Sequence[Payload]) -> Exception | None:
        found = [one for one in some if one.ref.id in unwanted]
        return Refused(f"HTTP {status}: {found[0].ref.uri}", status) if found else None

    target = FakeTarget(refuse=refuse)
    outcomes = deliver(target, everything)
    assert {one.ref.id for one in outcomes if one.status == "refused"} == unwanted
    assert sorted(target.server) == sorted({one.ref.id for one in everything} - unwanted)
    assert target.intents == set()
    assert all(one.ref.uri in one.reason for one in outcomes if one.status == "refused")


@given(bad=st.sets(st.integers(0, 19), max_size=8), arrives=st.booleans())
def test_tasks_at_which_the_server_fails_do_not_sink_the_others(bad: set[int], arrives: bool) -> None:
    everything = payloads(20)
    unwanted = {everything[i].ref.id for i in bad}
    target = FakeTarget()

    def fail(some: Sequence[Payload]) -> Exception | None:
        ids = [one.ref.id for one in some]
        if arrives and len(ids) > 1 and unwanted.intersection(ids):
            target.server += [ids[0]]  # a part of it is done all the same
        return FAILED if unwanted.intersection(ids) else None

    target.refuse = fail
    outcomes = deliver(target, everything)
    refused = {one.ref.id for one in outcomes if one.status == "refused"}
    assert len(outcomes) == 20
    assert len(target.server) == len(set(target.server))
    assert set(target.confirmed) == set(target.server)
    assert (refused, target.intents) == (unwanted - set(target.server), refused)
    assert set(target.server) | refused == {one.ref.id for one in everything}


@pytest.mark.parametrize("n", [11, 300])
def test_a_server_that_fails_at_everything_ends_the_push_soon(n: int) -> None:
    target = FakeTarget(errors=[FAILED] * 1000)
    with pytest.raises(BrokenAnswer):
        list(deliver_all(works(target, payloads(n), payloads(1)), writers=1))
    assert (target.server, target.confirmed) == ([], {})
    assert len(target.errors) > 1000 - 40


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_of_us_ends_the_push_and_frees_the_images(status: int) -> None:
    target = FakeTarget(errors=[Refused("no", status)])
    with pytest.raises(Refused):
        deliver(target, payloads(3))
    assert (target.server, target.intents) == ([], set())


def test_tasks_that_are_gone_are_said_and_the_others_sent() -> None:
    batch = payloads(4)
    gone = {batch[1].ref.id, batch[2].ref.id}
    target = FakeTarget(
        deleted=frozenset(gone),
        refuse=lambda some: Refused("no", 400) if gone & {one.ref.id for one in some} else None,
    )
    assert statuses(deliver(target, batch)) == {"deleted": 2, "pushed": 2}
    assert target.intents == set()


def test_what_somebody_else_has_claimed_is_left_to_them() -> None:
    batch = payloads(3)
    target = FakeTarget(taken=frozenset([batch[0].ref.id]))
    assert statuses(deliver(target, batch)) == {"held": 1, "pushed": 2}
    assert len(target.server) == 2


@given(
    sizes=st.lists(st.integers(1, 60), max_size=40), n_most=st.integers(1, 9), n_bytes=st.integers(10, 100)
)
def test_batches_hold_everything_in_order_and_within_their_bounds(
    sizes: list[int], n_most: int, n_bytes: int
) -> None:
    sent: list[tuple[int, ...]] = []

    def send(batch: Sequence[Payload], _: SendSlots) -> list[ImageOutcome]:
        sent.append(tuple(len(payload.body) for payload in batch))
        return []

    packer = Batcher(send, n_most=n_most, n_bytes_most=n_bytes)
    works = [work for size in sizes for work in packer.add(payloads(1, n_bytes=size)[0])]
    for work in [*works, *packer.flush(), *packer.flush()]:
        work(SendSlots(1))
    assert [size for batch in sent for size in batch] == sizes
    for batch in sent:
        assert 0 < len(batch) <= n_most
        assert len(batch) == 1 or sum(batch) + len(batch) - 1 <= n_bytes


def test_the_next_batch_is_made_while_one_is_under_way() -> None:
    made_second = threading.Event()

    def send(batch: Sequence[Payload], _: SendSlots) -> list[ImageOutcome]:
        assert made_second.wait(10)  # would time out if making waited for sending
        return [ImageOutcome(payload.ref, "pushed") for payload in batch]

    def steps() -> Iterator[Work | ImageOutcome]:
        first, second, third = payloads(3)
        yield partial(send, [first])
        yield ImageOutcome(second.ref, "present")
        made_second.set()
        yield partial(send, [third])

    outcomes = list(deliver_all(steps(), writers=1))
    assert statuses(outcomes) == {"pushed": 2, "present": 1}


def works(target: FakeTarget, *batches: Sequence[Payload]) -> Iterator[Work]:
    return (partial(delivery.deliver, target, batch) for batch in batches)


@dataclass
class Overlapping(FakeTarget):
    """Waits within a request for the next batch's claim, and within a confirmation for the next request.

    So it would time out if one waited for the other. The last batch waits for nobody.
    """

    n_batches: int = 0
    claimed: list[threading.Event] = field(default_factory=list)
    sent: list[threading.Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.claimed = [threading.Event() for _ in range(self.n_batches)]
        self.sent = [threading.Event() for _ in range(self.n_batches)]

    def claim(self, payloads: Sequence[Payload]) -> Sequence[ImageId]:
        ids = super().claim(payloads)
        self.claimed[number(payloads[0].ref.id)].set()
        return ids

    def send(self, payloads: Sequence[Payload]) -> Mapping[ImageId, int]:
        this = number(payloads[0].ref.id)
        self.sent[this].set()
        assert all(event.wait(10) for event in self.claimed[this + 1 : this + 2])
        return super().send(payloads)

    def confirm(self, found: Mapping[ImageId, int]) -> None:
        (image,) = found
        assert all(event.wait(10) for event in self.sent[number(image) + 1 : number(image) + 2])
        super().confirm(found)


def number(image: ImageId) -> int:
    return int(image.removeprefix("image "))


def test_the_catalog_is_written_while_the_server_works() -> None:
    target = Overlapping(n_batches=5)
    outcomes = list(deliver_all(works(target, *([one] for one in payloads(5))), writers=1))
    assert [number(one.ref.id) for one in outcomes] == [0, 1, 2, 3, 4]
    assert (len(target.server), len(target.confirmed), target.intents) == (5, 5, set())


@dataclass
class FailingTogether(FakeTarget):
    """Carries out the first request, and fails at one of the next ``n_at_once``, all under way together.

    The others of them are carried out once another batch had its chance to take the free turn.
    """

    n_at_once: int = 1
    tried: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.numbers = itertools.count()
        self.under_way = threading.Barrier(self.n_at_once)

    def send(self, payloads: Sequence[Payload]) -> Mapping[ImageId, int]:
        request = next(self.numbers)
        if 1 <= request <= self.n_at_once:
            self.under_way.wait(10)
            if request == 1:
                raise BROKEN
            assert self.tried.wait(10)
        elif request:
            self.tried.set()
        return super().send(payloads)

    def release(self, ids: Iterable[ImageId]) -> None:
        super().release(ids)
        self.tried.set()

    def deliver(self, batch: Sequence[Payload], slots: SendSlots) -> list[ImageOutcome]:
        try:
            return delivery.deliver(self, batch, slots)
        except LabelStudioError:
            assert self.tried.wait(10)
            raise


@pytest.mark.parametrize("writers", [1, 2, 3])
def test_after_a_failure_nothing_more_is_sent_and_only_doubts_stay_open(writers: int) -> None:
    target = FailingTogether(n_at_once=writers)
    with pytest.raises(LabelStudioError, match="no space"):
        list(deliver_all((partial(target.deliver, [one]) for one in payloads(20)), writers=writers))
    assert len(target.server) == writers  # one before it, and those that were under way beside it
    assert len(target.intents) == 1
    assert target.intents.isdisjoint(target.server)
    assert set(target.confirmed) == set(target.server)


def test_whoever_stops_looking_stops_the_sending() -> None:
    target = FakeTarget()
    outcomes = deliver_all(works(target, *([one] for one in payloads(20))), writers=1)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(target.server) <= 3  # the first, and those that were under way
    assert (target.intents, set(target.confirmed)) == (set(), set(target.server))


@given(
    errors=st.lists(st.sampled_from([None, None, BUSY, BROKEN, FAILED, Refused("no", 403)]), max_size=12),
    arrives=st.booleans(),
    n=st.integers(0, 12),
    writers=st.integers(1, 3),
)
def test_whatever_fails_everything_that_arrived_is_there_once_and_known(
    errors: list[Exception | None], arrives: bool, n: int, writers: int
) -> None:
    target = FakeTarget(errors=list(errors), arrives=arrives)
    seen: list[ImageOutcome] = []
    with suppress(LabelStudioError):
        seen += deliver_all(works(target, *([one] for one in payloads(n))), writers=writers)
        assert len(seen) == n
    assert len(target.server) == len(set(target.server))
    assert set(target.server) <= target.intents | set(target.confirmed)
