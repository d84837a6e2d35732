"""Creates .venv from requirements.lock and installs the project into it, once.

    python3.11 -m deploy.install

Runs with the system's Python and the standard library alone, so that it can say what a machine lacks.
pip installs uv, in the version that the lock file pins, and uv all the rest.

A stamp in .venv records what was installed. When it fits, nothing is done. A marker is there while the
installation runs: where it is found later, that installation was cut off and .venv is made anew. What
it had downloaded by then is in uv's cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from detseg.errors import InstallError
from detseg.uv import explain_failure, run_and_read, run_uv, sync_environment

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 12))
STAMP = ".detseg-installed"
MARKER = ".detseg-installing"
LONGEST_S = 3600.0  # that a second make waits for the first one
NEEDED_GB = 9.0  # 8 of them stay: uv's cache and .venv, which share their files on one disk
WHY = (
    "detseg: installing its {n} packages into .venv, this once: PyTorch (the larger part: its GPU libraries "
    "come along, it runs on a CPU as well), transformers, Prefect and the tools that test them.\n"
    "detseg: 3.4 GB to download and 8 GB on disk, 1 to 2 minutes on a fast line; another clone adds 0.6 GB."
)
CHANGED = "detseg: requirements.lock or pyproject.toml has changed: .venv follows"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def show_progress(line: str) -> None:
    """Prints what uv says, without its list of all packages at the end."""
    if not line.startswith((" + ", " - ", " ~ ")):
        say(f"  {line}")


def check_python(version: tuple[int, ...], executable: str) -> None:
    """Raises unless the Python is one that the project is made for."""
    if version[:2] in PYTHONS:
        return
    wanted = " or ".join(".".join(map(str, known)) for known in PYTHONS)
    came = ".".join(map(str, version[:3]))
    raise InstallError(
        f"Python {wanted} is needed and {executable} is {came}: install one (Debian, Ubuntu: "
        "apt-get install python3.11 python3.11-venv), or name it: make PYTHON=/path/to/python3.11 ..."
    )


def uv_cache() -> Path:
    """The folder that uv keeps all packages in, for all environments of this user."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("UV_CACHE_DIR") or f"{cache}/uv").expanduser()


def disks_to_fill(root: Path, cache: Path) -> list[Path]:
    """Folders on the disks that a first installation fills.

    uv's cache, unless there is one; and the project's own disk where that is another: .venv shares its files
    with a cache on the same disk, and has copies of those on another.
    """
    on_cache_disk = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    is_shared = on_cache_disk.stat().st_dev == root.stat().st_dev
    return ([] if cache.exists() else [on_cache_disk]) + ([] if is_shared else [root])


def check_disk(folder: Path, free_gb: float) -> None:
    """Raises when the folder's disk holds too little for the installation."""
    if free_gb < NEEDED_GB:
        raise InstallError(
            f"{folder} has {free_gb:.1f} GB free, and the installation needs {NEEDED_GB:.0f}: make room, "
            "or use a larger disk: clone the project there, and name a folder there with UV_CACHE_DIR"
        )


def wanted_stamp(root: Path) -> dict[str, str]:
    """Describe a finished installation of this checkout: its lock, its project file and its place."""
    parts = [(root / name).read_bytes() for name in ("requirements.lock", "pyproject.toml")]
    return {"sha256": hashlib.sha256(b"\0".join(parts)).hexdigest(), "root": str(root)}


def read_stamp(venv: Path) -> dict[str, str] | None:
    """The record of a finished installation whose Python can still be started, or None."""
    try:
        stamp = json.loads((venv / STAMP).read_text())
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) and os.access(python_of(venv), os.X_OK) else None


def python_of(venv: Path) -> Path:
    return venv / "bin" / "python"


def count_packages(lock: Path) -> int:
    return len(re.findall(r"^[\w.-]+==", lock.read_text(), re.MULTILINE))


def make_venv(venv: Path) -> None:
    """Makes an empty environment, in place of one that was cut off, moved or lost its Python."""
    if venv.exists():
        say(f"detseg: {venv.name} is unfinished or was moved: it is made anew")
        shutil.rmtree(venv)
    result = subprocess.run(
        [sys.executable, "-m", "venv", str(venv)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if result.returncode:
        shutil.rmtree(venv, ignore_errors=True)
        minor = ".".join(map(str, sys.version_info[:2]))
        last = (result.stdout.strip() or "no message").splitlines()[-1]
        raise InstallError(
            f"{sys.executable} cannot make a virtual environment ({last}): install its venv module (Debian, "
            f"Ubuntu: apt-get install python{minor}-venv)"
        )


def install_uv(venv: Path, lock: str) -> None:
    """Puts uv into the environment, with pip and the hashes of the lock file."""
    pinned = re.search(r"(?m)^uv==(?:.*\\\n)*.*", lock)
    assert pinned is not None, "requirements.lock has no uv"
    requirement = venv / "uv.txt"
    requirement.write_text(pinned[0])
    command = [str(python_of(venv)), "-I", "-m", "pip", "install", "--quiet", "--no-input", "--no-user"]
    command += ["--disable-pip-version-check", "--require-hashes", "--no-deps", "-r", str(requirement)]
    elsewhere = ("PIP_TARGET", "PIP_PREFIX", "PIP_USER")
    environment = {name: value for name, value in os.environ.items() if name not in elsewhere}
    code, output = run_and_read(command, environment=environment)
    if code:
        raise InstallError(explain_failure(output, "pip"))


def install(root: Path) -> None:
    """Brings .venv to what the lock says; a no-op when it is there already."""
    venv, wanted = root / ".venv", wanted_stamp(root)
    stamp = read_stamp(venv)
    if stamp == wanted:
        return
    moved = stamp is not None and stamp.get("root") != wanted["root"]
    if moved or (venv / MARKER).exists() or not os.access(python_of(venv), os.X_OK):
        for folder in disks_to_fill(root, uv_cache()):
            check_disk(folder, shutil.disk_usage(folder).free / 1e9)
        make_venv(venv)
    (venv / MARKER).write_text(f"{os.getpid()}\n")
    lock = root / "requirements.lock"
    say(CHANGED if stamp and not moved else WHY.format(n=count_packages(lock)))
    start, python = time.monotonic(), python_of(venv)
    install_uv(venv, lock.read_text())
    sync_environment(python, lock, python=python, tell=show_progress)
    project = ["--no-deps", "--no-build-isolation", "--python", str(python), "--editable", str(root)]
    run_uv(["pip", "install", "--quiet", *project], python=python, tell=show_progress)
    (venv / STAMP).write_text(json.dumps(wanted) + "\n")
    (venv / MARKER).unlink()
    say(f"detseg: installed in {time.monotonic() - start:.0f} s; the next run finds it in place")


def holder(venv: Path) -> str:
    """The process that installs at the moment, in words."""
    try:
        return f"process {int((venv / MARKER).read_text())}"
    except (OSError, ValueError):
        return "another process"


def take_turn(lock: IO[bytes], venv: Path, longest_s: float = LONGEST_S) -> None:
    """Waits until no other process installs, and says so. Raises InstallError after ``longest_s``.

    The uv that we start has the lock as well: it goes on writing where we alone are killed.
    """
    start, said = time.monotonic(), False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.set_inheritable(lock.fileno(), True)
        except BlockingIOError:
            waited_s = time.monotonic() - start
        if waited_s >= longest_s:
            raise InstallError(
                f"{holder(venv)} has installed into {venv.name} for more than {longest_s:.0f} s: let it end, "
                "or stop it, then run make again"
            )
        if waited_s >= 2.0 and not said:
            who = f"{holder(venv)}, which installs into {venv.name}"
            say(f"detseg: waiting for {who}; {longest_s:.0f} s at most")
            said = True
        time.sleep(0.1)


def main() -> int:
    try:
        check_python(tuple(sys.version_info[:3]), sys.executable)
        with (ROOT / "requirements.lock").open("rb") as lock:
            take_turn(lock, ROOT / ".venv")  # a second make waits here, and then finds everything in place
            install(ROOT)
    except InstallError as error:
        say(f"detseg: {error}")
        return 1
    except OSError as error:
        say(f"detseg: {error.filename or ROOT}: {error.strerror or error}: mend this, then run make again")
        return 1
    except KeyboardInterrupt:
        say("\ndetseg: stopped; run make again and the installation starts over")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
