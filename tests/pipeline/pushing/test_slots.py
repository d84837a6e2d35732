"""So many at a time, and nobody after a failure, whoever waited for a turn meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from detseg.errors import LabelStudioError, Refused
from detseg.pipeline.pushing.delivery import SendingEnded, SendSlots


def take(slots: SendSlots, error: Exception | None = None) -> str:
    """What comes of a turn in which that happens."""
    try:
        with slots.take():
            if error is not None:
                raise error
    except (SendingEnded, LabelStudioError) as came:
        return type(came).__name__
    return "done"


@pytest.mark.parametrize("n", [1, 2, 5])
def test_no_more_than_so_many_have_a_turn(n: int) -> None:
    slots, lock = SendSlots(n), threading.Lock()
    together = threading.Barrier(n)
    n_now, most = 0, 0

    def once(_: int) -> None:
        nonlocal n_now, most
        with slots.take():
            with lock:
                n_now += 1
                most = max(most, n_now)
            together.wait(10)  # would time out if fewer had one
            with lock:
                n_now -= 1

    with ThreadPoolExecutor(3 * n) as pool:
        list(pool.map(once, range(6 * n)))
    assert most == n


def test_whoever_waits_while_a_turn_fails_gets_none() -> None:
    slots = SendSlots(1)
    with ThreadPoolExecutor(3) as pool:
        with suppress(LabelStudioError), slots.take():
            waiting = [pool.submit(take, slots) for _ in range(3)]
            raise LabelStudioError("HTTP 500")
        assert [one.result() for one in waiting] == ["SendingEnded"] * 3


def test_a_refusal_is_not_the_end() -> None:
    slots = SendSlots(1)
    assert take(slots, Refused("HTTP 400", 400)) == "Refused"
    assert take(slots) == "done"
    assert take(slots, LabelStudioError("HTTP 500")) == "LabelStudioError"
    assert take(slots) == "SendingEnded"


def test_the_end_ends_no_turn_that_is_taken() -> None:
    slots = SendSlots(2)
    with slots.take():
        slots.end()
        assert take(slots) == "SendingEnded"
    assert take(slots) == "SendingEnded"
