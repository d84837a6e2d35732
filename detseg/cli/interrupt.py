"""Ctrl-C: it is heard at once, and ends what other threads do, too."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from detseg.cli.output import note
from detseg.pipeline import progress


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside the block, Ctrl-C raises KeyboardInterrupt, says so, and stops all threads; a second one kills.

    Left as it is where the signal is ignored, as under nohup.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    with progress.stoppable() as stop_threads:

        def interrupt(*_: object) -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            stop_threads()
            note("detseg: stopping; run it again and it goes on (Ctrl-C again: at once)")
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
