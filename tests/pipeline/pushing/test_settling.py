"""Asking again and again, until there is what was asked for or the time is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from detseg.pipeline.pushing.settling import ask_until, seconds_left


class Server:
    """Has one more at every question."""

    def __init__(self) -> None:
        self.n_asked = 0

    def ask(self) -> list[int]:
        self.n_asked += 1
        return list(range(self.n_asked - 1))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_it_asks_until_there_are_so_many(n: int) -> None:
    server = Server()
    assert ask_until(n, server.ask, patience_s=60.0) == list(range(n))
    assert server.n_asked == n + 1


@pytest.mark.parametrize("patience_s", [0.0, -3600.0])
def test_without_patience_it_asks_once(patience_s: float) -> None:
    server = Server()
    assert ask_until(1, server.ask, patience_s=patience_s) == []
    assert server.n_asked == 1


def test_patience_counts_from_when_it_was_begun() -> None:
    now = datetime.now(UTC)
    assert 9.0 < seconds_left(now, 10.0) <= 10.0
    assert seconds_left(now - timedelta(hours=1), 10.0) < -3500


def test_a_clock_that_ran_ahead_costs_no_more_than_the_patience() -> None:
    assert seconds_left(datetime.now(UTC) + timedelta(days=400), 10.0) == 10.0
