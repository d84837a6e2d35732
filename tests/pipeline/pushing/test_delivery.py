"""Exactly once, whatever the server says: against a server that fails as told."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.errors import Busy, LabelStudioError, Refused, Unreachable
from detseg.pipeline.pushing import delivery
from detseg.pipeline.pushing.batches import Packer
from detseg.pipeline.pushing.delivery import Work, deliver_all
from detseg.pipeline.pushing.encoding import Parcel
from detseg.pipeline.pushing.report import ImageOutcome
from detseg.pipeline.pushing.turns import Turns
from detseg.types import ImageId
from tests.pipeline.pushing.freight import FakeFreight, parcels

BUSY = Busy("come later", 0.0)
LOST = Unreachable("cut")
BROKEN = LabelStudioError("HTTP 500: no space left on device")


def deliver(freight: FakeFreight, batch: Sequence[Parcel]) -> list[ImageOutcome]:
    """The only batch."""
    return delivery.deliver(freight, batch, Turns(1))


def statuses(outcomes: Sequence[ImageOutcome]) -> Counter[str]:
    return Counter(one.status for one in outcomes)


@pytest.mark.parametrize("errors", [[], [BUSY], [BUSY, BUSY, BUSY], [LOST, BUSY]])
def test_what_did_not_arrive_is_sent_again(errors: list[Exception | None]) -> None:
    freight = FakeFreight(errors=list(errors))
    assert statuses(deliver(freight, parcels(3))) == {"pushed": 3}
    assert (len(freight.server), len(freight.confirmed), freight.intents) == (3, 3, set())
    assert len(freight.doubted) == (3 if errors else 0)


@pytest.mark.parametrize("error", [BUSY, LOST, BROKEN])
def test_what_arrived_without_an_answer_is_not_sent_again(error: Exception) -> None:
    freight = FakeFreight(errors=[error], arrives=True)
    assert statuses(deliver(freight, parcels(3))) == {"pushed": 3}
    assert (len(freight.server), len(freight.confirmed), freight.doubted) == (3, 3, set())


@pytest.mark.parametrize("errors", [[BROKEN], [BUSY] * 4, [LOST] * 4])
def test_what_cannot_be_sent_stays_open(errors: list[Exception | None]) -> None:
    freight = FakeFreight(errors=list(errors))
    with pytest.raises(LabelStudioError):
        deliver(freight, parcels(3))
    assert (freight.server, len(freight.intents), freight.errors) == ([], 3, [])


@given(bad=st.sets(st.integers(0, 19)), status=st.sampled_from([400, 413, 422]))
def test_bad_tasks_do_not_sink_the_others(bad: set[int], status: int) -> None:
    everything = parcels(20)
    unwanted = {everything[i].ref.id for i in bad}

    def refuse(some: Sequence[Parcel]) -> Exception | None:
        found = [one for one in some if one.ref.id in unwanted]
        return Refused(f"HTTP {status}: {found[0].ref.uri}", status) if found else None

    freight = FakeFreight(refuse=refuse)
    outcomes = deliver(freight, everything)
    assert {one.ref.id for one in outcomes if one.status == "refused"} == unwanted
    assert sorted(freight.server) == sorted({one.ref.id for one in everything} - unwanted)
    assert freight.intents == set()
    assert all(one.ref.uri in one.reason for one in outcomes if one.status == "refused")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_of_us_ends_the_push_and_frees_the_images(status: int) -> None:
    freight = FakeFreight(errors=[Refused("no", status)])
    with pytest.raises(Refused):
        deliver(freight, parcels(3))
    assert (freight.server, freight.intents) == ([], set())


def test_tasks_that_are_gone_are_said_and_the_others_sent() -> None:
    batch = parcels(4)
    gone = {batch[1].ref.id, batch[2].ref.id}
    freight = FakeFreight(
        deleted=frozenset(gone),
        refuse=lambda some: Refused("no", 400) if gone & {one.ref.id for one in some} else None,
    )
    assert statuses(deliver(freight, batch)) == {"deleted": 2, "pushed": 2}
    assert freight.intents == set()


def test_what_somebody_else_has_claimed_is_left_to_them() -> None:
    batch = parcels(3)
    freight = FakeFreight(taken=frozenset([batch[0].ref.id]))
    assert statuses(deliver(freight, batch)) == {"held": 1, "pushed": 2}
    assert len(freight.server) == 2


@given(
    sizes=st.lists(st.integers(1, 60), max_size=40), n_most=st.integers(1, 9), n_bytes=st.integers(10, 100)
)
def test_batches_hold_everything_in_order_and_within_their_bounds(
    sizes: list[int], n_most: int, n_bytes: int
) -> None:
    sent: list[tuple[int, ...]] = []

    def send(batch: Sequence[Parcel], _: Turns) -> list[ImageOutcome]:
        sent.append(tuple(len(parcel.body) for parcel in batch))
        return []

    packer = Packer(send, n_most=n_most, n_bytes_most=n_bytes)
    works = [work for size in sizes for work in packer.add(parcels(1, n_bytes=size)[0])]
    for work in [*works, *packer.flush(), *packer.flush()]:
        work(Turns(1))
    assert [size for batch in sent for size in batch] == sizes
    for batch in sent:
        assert 0 < len(batch) <= n_most
        assert len(batch) == 1 or sum(batch) + len(batch) - 1 <= n_bytes


def test_the_next_batch_is_made_while_one_is_under_way() -> None:
    made_second = threading.Event()

    def send(batch: Sequence[Parcel], _: Turns) -> list[ImageOutcome]:
        assert made_second.wait(10)  # would time out if making waited for sending
        return [ImageOutcome(parcel.ref, "pushed") for parcel in batch]

    def steps() -> Iterator[Work | ImageOutcome]:
        first, second, third = parcels(3)
        yield partial(send, [first])
        yield ImageOutcome(second.ref, "present")
        made_second.set()
        yield partial(send, [third])

    outcomes = list(deliver_all(steps(), writers=1))
    assert statuses(outcomes) == {"pushed": 2, "present": 1}


def works(freight: FakeFreight, *batches: Sequence[Parcel]) -> Iterator[Work]:
    return (partial(delivery.deliver, freight, batch) for batch in batches)


@dataclass
class Overlapping(FakeFreight):
    """Waits within a request for the next batch's claim, and within a confirmation for the next request.

    So it would time out if one waited for the other. The last batch waits for nobody.
    """

    n_batches: int = 0
    claimed: list[threading.Event] = field(default_factory=list)
    sent: list[threading.Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.claimed = [threading.Event() for _ in range(self.n_batches)]
        self.sent = [threading.Event() for _ in range(self.n_batches)]

    def claim(self, parcels: Sequence[Parcel]) -> Sequence[ImageId]:
        ids = super().claim(parcels)
        self.claimed[number(parcels[0].ref.id)].set()
        return ids

    def send(self, parcels: Sequence[Parcel]) -> Mapping[ImageId, int]:
        this = number(parcels[0].ref.id)
        self.sent[this].set()
        assert all(event.wait(10) for event in self.claimed[this + 1 : this + 2])
        return super().send(parcels)

    def confirm(self, found: Mapping[ImageId, int]) -> None:
        (image,) = found
        assert all(event.wait(10) for event in self.sent[number(image) + 1 : number(image) + 2])
        super().confirm(found)


def number(image: ImageId) -> int:
    return int(image.removeprefix("image "))


def test_the_catalog_is_written_while_the_server_works() -> None:
    freight = Overlapping(n_batches=5)
    outcomes = list(deliver_all(works(freight, *([one] for one in parcels(5))), writers=1))
    assert [number(one.ref.id) for one in outcomes] == [0, 1, 2, 3, 4]
    assert (len(freight.server), len(freight.confirmed), freight.intents) == (5, 5, set())


@pytest.mark.parametrize("writers", [1, 2, 3])
def test_after_a_failure_nothing_more_is_sent_and_only_doubts_stay_open(writers: int) -> None:
    freight = FakeFreight(errors=[None, BROKEN])
    with pytest.raises(LabelStudioError, match="no space"):
        list(deliver_all(works(freight, *([one] for one in parcels(20))), writers=writers))
    assert len(freight.server) <= writers  # one before it, and those that were under way beside it
    assert len(freight.intents) == 1
    assert freight.intents.isdisjoint(freight.server)
    assert set(freight.confirmed) == set(freight.server)


def test_whoever_stops_looking_stops_the_sending() -> None:
    freight = FakeFreight()
    outcomes = deliver_all(works(freight, *([one] for one in parcels(20))), writers=1)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(freight.server) <= 3  # the first, and those that were under way
    assert (freight.intents, set(freight.confirmed)) == (set(), set(freight.server))


@given(
    errors=st.lists(st.sampled_from([None, None, BUSY, BROKEN, Refused("no", 403)]), max_size=12),
    arrives=st.booleans(),
    n=st.integers(0, 12),
    writers=st.integers(1, 3),
)
def test_whatever_fails_everything_that_arrived_is_there_once_and_known(
    errors: list[Exception | None], arrives: bool, n: int, writers: int
) -> None:
    freight = FakeFreight(errors=list(errors), arrives=arrives)
    seen: list[ImageOutcome] = []
    with suppress(LabelStudioError):
        seen += deliver_all(works(freight, *([one] for one in parcels(n))), writers=writers)
        assert len(seen) == n
    assert len(freight.server) == len(set(freight.server))
    assert set(freight.server) <= freight.intents | set(freight.confirmed)
