"""Progress of a use case, for whoever listens. The use cases never print.

One listener a process: the command line's progress bars. Flows on a worker have none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Listener(Protocol):
    """Called from worker threads: must be thread-safe and quick."""

    def __call__(self, stage: str, *, advance: int = 0, total: int | None = None) -> None: ...


_listener: Listener | None = None
_stopped = threading.Event()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Reports go to this listener inside the block."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


@contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """Calling the answer inside the block stops the work of other threads at their next report."""
    try:
        yield _stopped.set
    finally:
        _stopped.clear()


def report(stage: str, *, advance: int = 0, total: int | None = None) -> None:
    """Says that ``advance`` more items of a stage are done, or how many there are in all.

    Raises KeyboardInterrupt in other threads than the main one, once the work was stopped.
    """
    if _stopped.is_set() and threading.current_thread() is not threading.main_thread():
        raise KeyboardInterrupt
    if _listener is not None:
        _listener(stage, advance=advance, total=total)
