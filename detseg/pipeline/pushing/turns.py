"""Who may send: so many at a time, and nobody after one has failed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from detseg.errors import Refused


class Ended(Exception):
    """Nothing more is to be sent."""


class Turns:
    """Each batch waits for its turn to send, and may be made ready before and recorded after it.

    A turn that fails is the last one, whoever waits; a refusal is no failure, since the server did nothing.
    """

    def __init__(self, n_at_once: int) -> None:
        self._free = threading.Semaphore(n_at_once)
        self._ended = False

    @contextmanager
    def next(self) -> Iterator[None]:
        """Waits for a turn, which is the block. Raises Ended if there is none any more."""
        with self._free:
            if self._ended:
                raise Ended
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
