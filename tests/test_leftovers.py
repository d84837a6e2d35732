"""What a killed process leaves behind is ended and removed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

_HOLDER = """
import subprocess, sys
from pathlib import Path
from tests.leftovers import cleared

folder = Path(sys.argv[1])
with cleared(folder, remove=True):
    for cwd, argument in ((folder, "x"), ("/", folder / "data"), ("/", folder.with_name("another"))):
        command = [sys.executable, "-c", "import time; time.sleep(600)", str(argument)]
        print(subprocess.Popen(command, cwd=cwd, start_new_session=True).pid, flush=True)
    input()
"""
_ROOT = Path(__file__).resolve().parent.parent
_PATIENCE_S = 600.0


def ends(process: psutil.Process) -> bool:
    """Whether it ends; nobody may be there to reap it."""
    deadline = time.monotonic() + _PATIENCE_S
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_servers_and_folder_of_a_process_that_is_killed_go(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    command = [sys.executable, "-c", _HOLDER, str(folder)]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        works_there, is_told, other = (psutil.Process(int(holder.stdout.readline())) for _ in range(3))
        holder.kill()
    try:
        assert ends(works_there)
        assert ends(is_told)
        assert other.is_running()
        deadline = time.monotonic() + _PATIENCE_S
        while folder.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        other.kill()


def test_who_was_told_of_the_folder_and_clears_it_goes_on(tmp_path: Path) -> None:
    """As pytest with --basetemp."""
    (tmp_path / "one").mkdir()
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / "one")]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        *_, other = (psutil.Process(int(holder.stdout.readline())) for _ in range(3))
        holder.stdin.write(b"\n")
        holder.stdin.close()
        code = holder.wait(_PATIENCE_S)
        other.kill()
    assert code == 0
