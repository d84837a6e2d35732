"""Locks on files: one process at a time, for as long as it lives. Who waits says so, and for whom."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

from detseg.errors import LockHeld
from detseg.files import open_private
from detseg.waits import waiting

LOCK_S = 600.0
"""The longest wait for a lock, unless the caller says otherwise."""

_POLL_S = 0.1


@contextmanager
def file_lock(path: Path, *, what: str | None = None, longest_s: float = LOCK_S) -> Iterator[None]:
    """Hold an exclusive lock on that file; other processes (and threads) wait. A death releases it.

    ``what`` is the name that people know it by. Raises LockHeld when another has held it for ``longest_s``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_private(path) as handle:
        if not _takes_lock(handle):
            _wait_for_lock(handle, path, what or str(path), longest_s)
        with suppress(OSError):  # for those who wait; the disk may be full
            os.ftruncate(handle.fileno(), 0)
            os.write(handle.fileno(), f"{os.getpid()}\n".encode())
        yield


def _takes_lock(handle: IO[bytes]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for_lock(handle: IO[bytes], path: Path, what: str, longest_s: float) -> None:
    with waiting(f"{what}, held by {_holder(path)}", longest_s=longest_s) as wait:
        while not _takes_lock(handle):
            if wait.is_over:
                waited = f"was not free within {longest_s:g} s" if longest_s else "is not free"
                raise LockHeld(
                    f"{what} {waited}: {_holder(path)} holds it; let that end, or stop it, then run again"
                )
            wait.pause(_POLL_S)


def _holder(path: Path) -> str:
    """Name the process that wrote its number into a lock's file."""
    try:
        process = psutil.Process(int(path.read_bytes()))
        stopped = process.status() == psutil.STATUS_STOPPED
    except (OSError, ValueError, OverflowError, psutil.Error):  # it writes just now, or is on another machine
        return "another process"
    pid = process.pid
    return f"process {pid}" + (f" (stopped: `kill -CONT {pid}` lets it go on)" if stopped else "")
