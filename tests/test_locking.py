"""One at a time; who waits says for whom, and gives up."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from detseg.errors import LockHeld
from detseg.locking import file_lock
from detseg.waits import heard_by

_HOLDER = """
import sys, time
from pathlib import Path
from detseg.locking import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(3600)
"""


def test_a_lock_lets_one_in_at_a_time(tmp_path: Path) -> None:
    order: list[str] = []

    def work(name: str) -> None:
        with file_lock(tmp_path / "folder" / "lock"):
            order.append(name)
            threading.Event().wait(0.02)
            order.append(name)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, "abc"))
    assert order[0::2] == order[1::2]


def test_who_waits_names_the_holder_and_gets_the_lock_when_that_dies(tmp_path: Path) -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    lock = tmp_path / "lock"
    with held_by_another(lock) as holder:

        def kill_once_it_was_said() -> str:
            line = heard.get(timeout=600)
            holder.kill()
            return line

        with ThreadPoolExecutor(1) as pool, heard_by(heard.put):
            line = pool.submit(kill_once_it_was_said)
            with file_lock(lock, what="the lock of queue parts", longest_s=3600.0):
                assert int(lock.read_text()) == os.getpid()
    expected = rf"the lock of queue parts, held by process {holder.pid} \(\d+ s so far, 3600 s at most\)"
    assert re.fullmatch(f"waiting for {expected}", line.result())


def test_a_holder_that_is_stopped_is_given_up_in_one_line_that_says_so(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with held_by_another(lock) as holder:
        holder.send_signal(signal.SIGSTOP)
        while psutil.Process(holder.pid).status() != psutil.STATUS_STOPPED:
            pass
        with pytest.raises(LockHeld) as caught, file_lock(lock, what="the lock", longest_s=0.0):
            pass
        holder.kill()
    assert str(caught.value) == (
        f"the lock is not free: process {holder.pid} (stopped: `kill -CONT {holder.pid}` "
        "lets it go on) holds it; let that end, or stop it, then run again"
    )


def test_a_holder_that_is_not_known_is_another_process(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with file_lock(lock):
        lock.write_text("")
        with pytest.raises(LockHeld, match="another process holds it"), file_lock(lock, longest_s=0.0):
            pass


def held_by_another(lock: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(lock)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder
