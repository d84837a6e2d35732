"""Asks a server that may still be working on a request whose answer got lost: nothing but time tells."""

from __future__ import annotations

from collections.abc import Callable, Sized
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from detseg.waits import waiting

_Found = TypeVar("_Found", bound=Sized)

_POLL_S = 0.5

GIVEN_UP = timedelta(hours=1)
"""After that, no server still works on a request: its proxies and ours have given it up long ago."""


def ask_until(n: int, ask: Callable[[], _Found], *, patience_s: float) -> _Found:
    """The first answer with that many entries, or the last one when the time is over. Asks at least once."""
    with waiting("Label Studio to show what was sent to it", longest_s=patience_s) as wait:
        while True:
            found = ask()
            if len(found) >= n or wait.is_over:
                return found
            wait.pause(_POLL_S)


def seconds_left(begun: datetime, patience_s: float) -> float:
    """Return what is left of the patience with a request that was begun then; negative when it is over.

    Never more than the patience, also where the clock that dated the request ran ahead of ours.
    """
    return min(patience_s, patience_s - (datetime.now(UTC) - begun).total_seconds())
