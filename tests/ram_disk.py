"""File systems in memory of the tests' own, small ones that are soon full too, which nothing outlives."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil

SHARED_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 2**30  # the tests' files take a gigabyte, and the processes 2 GB each
_CLONE_NEWNS = 0x00020000  # linux/sched.h; os.unshare is there from Python 3.12 on


@contextmanager
def ram_disk(folder: Path, n_bytes: int) -> Iterator[bool]:
    """Mount one on that folder, in memory, where we may; says whether. To be called in the main thread.

    Only this process and those that it starts from now on see it, so the kernel takes it back with the last
    of them, however they end. To everybody else the folder is an empty one, which can be removed.
    """
    mount = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)]
    if not _have_own_mounts() or subprocess.run(mount, capture_output=True).returncode != 0:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def can_hold_all(folder: Path = SHARED_MEMORY, n_bytes: int = _ROOM_BYTES) -> bool:
    """Whether all that the tests write can lie in that folder in memory, programs to be run included."""
    if not os.access(folder, os.W_OK | os.X_OK) or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    return shutil.disk_usage(folder).free > n_bytes and psutil.virtual_memory().available > 2 * n_bytes


@cache
def _have_own_mounts() -> bool:
    """Leave the mounts that all processes share, once; says whether that is allowed."""
    if sys.platform != "linux" or os.geteuid() != 0 or ctypes.CDLL(None).unshare(_CLONE_NEWNS) != 0:
        return False
    private = subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True)
    return private.returncode == 0
