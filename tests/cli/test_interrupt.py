"""Ctrl-C in the command line's process."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from detseg.cli import interruptible
from detseg.pipeline import progress


def test_ctrl_c_stops_this_thread_and_at_their_next_report_all_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    started, stopped = threading.Event(), threading.Event()

    def work() -> None:
        try:
            while True:
                progress.report("predict", advance=1)
                started.set()
        except KeyboardInterrupt:
            stopped.set()

    worker = threading.Thread(target=work, daemon=True)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        interrupt_during(worker, started)
    assert stopped.is_set()
    assert capsys.readouterr().err.startswith("detseg: stopping; run it again")
    assert signal.getsignal(signal.SIGINT) is before
    progress.report("predict")


def interrupt_during(worker: threading.Thread, started: threading.Event) -> None:
    """Sends Ctrl-C's signal while the worker works, and waits for its end as a pool of threads does."""
    worker.start()
    assert started.wait(60)
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        worker.join(60)


def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
