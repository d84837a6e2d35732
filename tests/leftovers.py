"""Nothing of a run of the tests outlives it, also where it is killed: no server, no folder elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CARETAKER = """
import shutil, sys
import psutil

folder, is_removed = sys.argv[1], sys.argv[2] == "remove"
ours = {psutil.Process(), *psutil.Process().parents()}  # who runs the tests may have named the folder
sys.stdin.read()  # until the process that holds the other end has ended
for process in psutil.process_iter():
    try:
        words = [process.cwd(), *process.cmdline(), *process.environ().values()]
        if process not in ours and any(folder in word + "/" for word in words):
            process.kill()
    except psutil.Error:  # it has ended, or is somebody else's
        pass
if is_removed:
    shutil.rmtree(folder, ignore_errors=True)
"""


@contextmanager
def cleared(folder: Path, *, remove: bool = False) -> Iterator[None]:
    """End, after the block or this process, whatever still works in that folder or was told of it.

    Servers are started apart from us, so that they go on after a command: nothing else would end them.
    """
    command = [sys.executable, "-c", _CARETAKER, f"{folder}/", "remove" if remove else "keep"]
    caretaker = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd="/")
    try:
        yield
    finally:
        caretaker.communicate()
