"""Waiting, said aloud: nobody sits before a silent command and wonders whether it still lives.

    with waiting("the lock of queue 'parts'", longest_s=600.0) as wait:
        while not try_it():
            if wait.is_over:
                raise LockHeld(...)
            wait.pause(0.1)
    with waiting("http://localhost:8080 to answer"):    # where what is waited for has a bound of its own
        ask()

After two seconds a line says what is waited for, for how long so far, and for how long at most. The command
line prints it on stderr; where nobody listens, as on a worker, it goes to the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_FIRST_S, _AGAIN_S = 2.0, 30.0
_TICK_S = 0.25

Listener = Callable[[str], None]
"""Called with one line, from a thread of its own."""


@dataclass(slots=True, eq=False)
class Wait:
    """One that goes on. ``longest_s`` is None where what is waited for ends on its own."""

    what: str
    longest_s: float | None = None
    began: float = field(default_factory=time.monotonic)
    thread: int = field(default_factory=threading.get_ident)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.began

    @property
    def is_over(self) -> bool:
        """Return whether its time has passed."""
        return self.longest_s is not None and self.elapsed_s >= self.longest_s

    def pause(self, seconds: float) -> None:
        """Sleep that long, but not beyond the end."""
        left_s = seconds if self.longest_s is None else self.longest_s - self.elapsed_s
        time.sleep(max(0.0, min(seconds, left_s)))

    def describe(self) -> str:
        """Say what is waited for, for how long so far, and for how long at most."""
        longest = "" if self.longest_s is None else f", {self.longest_s:.0f} s at most"
        return f"waiting for {self.what} ({self.elapsed_s:.0f} s so far{longest})"


@contextmanager
def waiting(what: str, *, longest_s: float | None = None) -> Iterator[Wait]:
    """Say what is waited for if the block takes long."""
    wait = Wait(what, longest_s)
    _announcer.add(wait)
    try:
        yield wait
    finally:
        _announcer.remove(wait)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Lines go to this listener inside the block."""
    before, _announcer.listener = _announcer.listener, listener
    try:
        yield
    finally:
        _announcer.listener = before


class _Announcer:
    """One thread for all that this process waits for, which ends when there is nothing.

    What many threads or requests wait for one after another is said once in ``_AGAIN_S``. A wait inside of
    another one of its thread is a part of that one, which is said.
    """

    def __init__(self) -> None:
        self.listener: Listener = logging.getLogger(__name__).warning
        self._waits: set[Wait] = set()
        self._said_at: dict[str, float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, wait: Wait) -> None:
        with self._lock:
            self._waits.add(wait)
            if self._thread is None or not self._thread.is_alive():  # as in a process that was forked
                self._thread = threading.Thread(target=self._announce, name="waits", daemon=True)
                self._thread.start()

    def remove(self, wait: Wait) -> None:
        with self._lock:
            self._waits.discard(wait)

    def _announce(self) -> None:
        while True:
            time.sleep(_TICK_S)
            with self._lock:
                if not self._waits:
                    self._thread = None
                    return
                lines = list(self._due())
            for line in lines:
                self.listener(line)

    def _due(self) -> Iterator[str]:
        now = time.monotonic()
        self._said_at = {what: at for what, at in self._said_at.items() if now - at < _AGAIN_S}
        newest_first = sorted(self._waits, key=lambda wait: wait.began, reverse=True)
        outermost = {wait.thread: wait for wait in newest_first}
        for wait in reversed(outermost.values()):
            if now - wait.began >= _FIRST_S and wait.what not in self._said_at:
                self._said_at[wait.what] = now
                yield wait.describe()


_announcer = _Announcer()
