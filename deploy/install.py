"""Creates .venv from requirements.lock and installs the project into it, once.

Runs with the system's Python and the standard library alone, so that it can say what a machine lacks.
A stamp in .venv records what was installed. When it fits, nothing is done. A marker is there while the
installation runs: where it is found later, that installation was cut off and .venv is made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 12))
STAMP = ".detseg-installed"
MARKER = ".detseg-installing"
LOG = "install.log"
NEEDED_GB = 10.0  # 6.6 of it stay, the rest is pip's cache and what it unpacks on the way
WHY = (
    "detseg: installing its {n} packages into .venv, this once: PyTorch (the larger part: its GPU libraries "
    "come along, it runs on a CPU as well), transformers, Prefect and the tools that test them.\n"
    "detseg: 3.3 GB to download and 6.6 GB on disk; 3 minutes on a fast line and an idle machine."
)
CHANGED = "detseg: requirements.lock or pyproject.toml has changed: .venv follows"

# What pip says when something outside of the project is wrong, and the line that mends it.
MENDS = (
    (
        r"No space left on device|Disk quota exceeded",
        "the disk is full: make room (the installation needs about {gb:.0f} GB), then run make again",
    ),
    (
        r"DO NOT MATCH THE HASHES",
        "a downloaded package is not the one that requirements.lock names: look at your mirror or proxy; "
        "if it is right, empty pip's cache with `pip cache purge` and run make again",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        "the package registry's certificate is not trusted: name yours with PIP_CERT=/path/to/ca.pem",
    ),
    (
        r"name resolution|Name or service not known|nodename nor servname|NewConnectionError|ProxyError"
        r"|ConnectTimeout|ReadTimeout|Network is unreachable|Connection broken|ConnectionResetError"
        r"|IncompleteRead|Connection refused",
        "the package registry cannot be reached: check the network (behind a proxy: HTTPS_PROXY=...; "
        "with a mirror: PIP_INDEX_URL=...), then run make again",
    ),
    (
        r"No matching distribution found",
        "a package of requirements.lock is not to be had for this machine: they exist for 64-bit Linux "
        "and for macOS 14 on Apple silicon",
    ),
)


class InstallError(Exception):
    """One line that says what is missing and what mends it."""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


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


def check_disk(folder: Path, free_gb: float) -> None:
    """Raises when the folder's disk holds too little for the installation."""
    if free_gb < NEEDED_GB:
        raise InstallError(
            f"{folder} has {free_gb:.1f} GB free, and the installation needs {NEEDED_GB:.0f}: make room, "
            "or clone the project onto a larger disk"
        )


def wanted_stamp(root: Path) -> dict[str, str]:
    """What a finished installation of this checkout records: its lock, its project file and its place."""
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


def explain(output: str, log: Path) -> str:
    """One line for what pip printed before it gave up: the known mend, or its own last error and the log."""
    for pattern, mend in MENDS:
        if re.search(pattern, output):
            return mend.format(gb=NEEDED_GB)
    errors = (
        [line for line in output.splitlines() if line.startswith("ERROR")] or output.splitlines() or ["-"]
    )
    return f"pip could not install the packages: {errors[-1]} (all it said: {log})"


class Progress:
    """Counts what pip tells, and shows it: on a terminal in place, elsewhere a line every 20 seconds."""

    def __init__(self, terminal: bool, start: float) -> None:
        self.terminal, self.start, self.shown = terminal, start, start
        self.n_collected, self.megabytes, self.unpacking = 0, 0.0, False

    def read(self, line: str) -> None:
        found = re.search(r"(?:Downloading|Using cached) \S+ \(([\d.]+) ([kMG])B\)", line)
        if found:
            self.megabytes += float(found[1]) * {"k": 1e-3, "M": 1.0, "G": 1e3}[found[2]]
        self.n_collected += line.startswith(("Collecting ", "Processing "))
        self.unpacking |= line.startswith("Installing collected packages")

    def text(self, now: float) -> str:
        doing = "unpacking" if self.unpacking else "fetched"
        return (
            f"  {doing} {self.n_collected} packages, {self.megabytes / 1e3:.2f} GB, {now - self.start:.0f} s"
        )

    def show(self, now: float) -> None:
        if now - self.shown < (1 if self.terminal else 20):
            return
        self.shown = now
        print(self.text(now), end="\r" if self.terminal else "\n", file=sys.stderr, flush=True)


def run_pip(venv: Path, arguments: list[str], temporary: Path) -> None:
    """Runs pip in the environment with progress; all it prints goes to the log there. Raises InstallError."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PIP_TARGET", "PIP_PREFIX", "PIP_USER")}
    environment["TMPDIR"] = str(temporary)  # /tmp is often a small disk in memory, and torch is large
    command = [str(python_of(venv)), "-I", "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
    command += ["--disable-pip-version-check", "--no-user", *arguments]
    log = venv / LOG
    with log.open("ab") as sink:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        try:
            output = follow(process, sink)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.wait():
        raise InstallError(explain(output, log))


def follow(process: subprocess.Popen[bytes], sink: IO[bytes]) -> str:
    """Copies the process's output to the sink, shows progress, and answers the output when it ends."""
    assert process.stdout is not None
    progress = Progress(sys.stderr.isatty(), time.monotonic())
    output, pending, fd = "", "", process.stdout.fileno()
    while True:
        progress.show(time.monotonic())
        if not select.select([fd], [], [], 1.0)[0]:
            continue
        chunk = os.read(fd, 65536)
        if not chunk:
            return output
        sink.write(chunk)
        text = chunk.decode(errors="replace")
        output += text
        *lines, pending = (pending + text).split("\n")
        for line in lines:
            progress.read(line)


def install(root: Path) -> None:
    """Brings .venv to what the lock says; a no-op when it is there already."""
    venv, wanted = root / ".venv", wanted_stamp(root)
    if read_stamp(venv) == wanted:
        return
    stamp = read_stamp(venv)
    moved = stamp is not None and stamp.get("root") != wanted["root"]
    check_disk(root, shutil.disk_usage(root).free / 1e9 + (NEEDED_GB if stamp and not moved else 0.0))
    if moved or (venv / MARKER).exists() or not os.access(python_of(venv), os.X_OK):
        make_venv(venv)
    (venv / MARKER).touch()
    say(CHANGED if stamp and not moved else WHY.format(n=count_packages(root / "requirements.lock")))
    start = time.monotonic()
    temporary = venv / "tmp"
    temporary.mkdir(exist_ok=True)
    # The lock is complete. Told to look for more, pip finds newer releases of what has extras, and gives up.
    run_pip(venv, ["--require-hashes", "--no-deps", "-r", str(root / "requirements.lock")], temporary)
    run_pip(venv, ["--no-deps", "--no-build-isolation", "--editable", str(root)], temporary)
    shutil.rmtree(temporary)
    (venv / STAMP).write_text(json.dumps(wanted) + "\n")
    (venv / MARKER).unlink()
    say(f"detseg: installed in {time.monotonic() - start:.0f} s; the next run finds it in place")


def main() -> int:
    try:
        check_python(tuple(sys.version_info[:3]), sys.executable)
        with (ROOT / "requirements.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a second make waits here, and then finds everything in place
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
