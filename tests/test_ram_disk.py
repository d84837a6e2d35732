"""The small disk is there for whoever made it, and for nobody afterwards."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.ram_disk import can_hold_all

_HOLDER = """
import sys
from pathlib import Path
from tests.ram_disk import ram_disk

folder = Path(sys.argv[1])
with ram_disk(folder, 2**20) as mounted:
    (folder / "file").write_bytes(b"x")
    print(mounted, folder.is_mount(), flush=True)
    if sys.argv[2] == "wait":
        input()
print("left", (folder / "file").exists(), flush=True)
"""
_ROOT = Path(__file__).resolve().parent.parent


def hold(folder: Path, how: str) -> subprocess.Popen[str]:
    folder.mkdir()
    command = [sys.executable, "-c", _HOLDER, str(folder), how]
    return subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_nothing_is_left_of_a_process_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "small disk"
    with hold(folder, "wait") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().split() in (["True", "True"], ["False", "False"])
        assert not folder.is_mount()  # for us
        holder.kill()
    shutil.rmtree(tmp_path)


def test_what_was_written_goes_with_the_disk(tmp_path: Path) -> None:
    with hold(tmp_path / "small disk", "go") as holder:
        assert holder.stdout is not None
        mounted, left = holder.stdout.read().splitlines()
    assert (mounted, left) in (("True True", "left False"), ("False False", "left True"))


def test_a_folder_without_room_does_not_hold_all(tmp_path: Path) -> None:
    assert can_hold_all(tmp_path, 1)
    assert not can_hold_all(tmp_path, 2**50)
    assert not can_hold_all(tmp_path / "missing", 1)
