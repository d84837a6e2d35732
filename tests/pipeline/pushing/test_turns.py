"""So many at a time, and nobody after a failure, whoever waited for a turn meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from detseg.errors import LabelStudioError, Refused
from detseg.pipeline.pushing.turns import Ended, Turns


def take(turns: Turns, error: Exception | None = None) -> str:
    """What comes of a turn in which that happens."""
    try:
        with turns.next():
            if error is not None:
                raise error
    except (Ended, LabelStudioError) as came:
        return type(came).__name__
    return "done"


@pytest.mark.parametrize("n", [1, 2, 5])
def test_no_more_than_so_many_have_a_turn(n: int) -> None:
    turns, lock = Turns(n), threading.Lock()
    together = threading.Barrier(n)
    n_now, most = 0, 0

    def once(_: int) -> None:
        nonlocal n_now, most
        with turns.next():
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
    turns = Turns(1)
    with ThreadPoolExecutor(3) as pool:
        with suppress(LabelStudioError), turns.next():
            waiting = [pool.submit(take, turns) for _ in range(3)]
            raise LabelStudioError("HTTP 500")
        assert [one.result() for one in waiting] == ["Ended"] * 3


def test_a_refusal_is_not_the_end() -> None:
    turns = Turns(1)
    assert take(turns, Refused("HTTP 400", 400)) == "Refused"
    assert take(turns) == "done"
    assert take(turns, LabelStudioError("HTTP 500")) == "LabelStudioError"
    assert take(turns) == "Ended"


def test_the_end_ends_no_turn_that_is_taken() -> None:
    turns = Turns(2)
    with turns.next():
        turns.end()
        assert take(turns) == "Ended"
    assert take(turns) == "Ended"
