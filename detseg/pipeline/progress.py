"""How far a use case is, for whoever listens. The use cases never print.

One listener a process: the command line's progress bars. Flows on a worker have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Listener(Protocol):
    """Called from worker threads: must be thread-safe and quick."""

    def __call__(self, stage: str, *, advance: int = 0, total: int | None = None) -> None: ...


_listener: Listener | None = None


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Reports go to this listener inside the block."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def report(stage: str, *, advance: int = 0, total: int | None = None) -> None:
    """Says that ``advance`` more items of a stage are done, or how many there are in all."""
    if _listener is not None:
        _listener(stage, advance=advance, total=total)
