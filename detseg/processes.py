"""Background services of ours: started detached, found again by pid file, waited for, stopped cleanly.

    spec = ServiceSpec(name="Label Studio", argv=(...), env={...}, log=..., pid_file=..., health_url=...)
    running = start(spec)   # waits until it is healthy; a second start gives the running one
    find_running(spec)      # Running or None
    stop(spec)              # True if something was stopped

A pid file holds the process's start time too, so a recycled pid is never taken for ours, and never killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from urllib.parse import urlsplit

import psutil

from detseg.errors import ServiceError

_START_TIME_TOLERANCE_S = 2.0  # psutil derives start times from the boot time, which NTP may move a little
_POLL_S = 0.1
_PORT_RELEASE_S = 3.0
_N_LOG_LINES = 8

# A child of a child: nobody has to reap it, and it outlives us in a session (and group) of its own.
_LAUNCHER = """
import subprocess, sys
log = open(sys.argv[1], "wb")
child = subprocess.Popen(sys.argv[3:], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         start_new_session=True, cwd=sys.argv[2])
child.returncode = 0
print(child.pid)
"""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What to run and how to tell that it is well. ``env`` is the whole environment, nothing is added.

    ``health_url`` answers 200 once the service is ready; its port must be free when it is started.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)  # may hold secrets
    log: Path
    pid_file: Path
    health_url: str
    start_timeout_s: float = 180.0
    stop_grace_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs. ``started`` says whether this call started it."""

    pid: int
    started: bool


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on that file; other processes (and threads) wait. A death releases it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def free_port(preferred: int, *, host: str = "127.0.0.1", n_tries: int = 100) -> int:
    """The first free port at or after the preferred one. Raises ServiceError if all tries are taken."""
    for port in range(preferred, min(preferred + n_tries, 65536)):
        if is_port_free(port, host=host):
            return port
    raise ServiceError(f"no free port on {host} from {preferred} on ({n_tries} tried): close what uses them")


def is_port_free(port: int, *, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on that port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is free
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def start(spec: ServiceSpec) -> Running:
    """Start the service and wait until it is healthy; if it runs already, wait for that one, unless it ends.

    Raises ServiceError when the program is missing, the port is taken, the process dies (with the last
    lines of its log) or it is not healthy in time; in the last two cases nothing is left running.
    """
    with file_lock(spec.pid_file.with_suffix(".lock")):
        found = _our_process(spec)
        if found is not None and _becomes_healthy(spec, found):
            return Running(found.pid, started=False)
        process = _spawn(spec)
        try:
            if not _becomes_healthy(spec, process):
                raise ServiceError(
                    f"{spec.name} died before it was ready; {spec.log} ends with\n{last_log_lines(spec.log)}"
                )
        except (ServiceError, KeyboardInterrupt):
            _stop(spec, process)
            raise
        return Running(process.pid, started=True)


def stop(spec: ServiceSpec) -> bool:
    """Stop the service if it runs: SIGTERM to its group, SIGKILL after the grace. Says whether it ran."""
    with file_lock(spec.pid_file.with_suffix(".lock")):
        process = _our_process(spec)
        if process is None:
            spec.pid_file.unlink(missing_ok=True)
            return False
        _stop(spec, process)
        return True


def find_running(spec: ServiceSpec) -> Running | None:
    """The running service, healthy or not; None if it does not run."""
    process = _our_process(spec)
    return None if process is None else Running(process.pid, started=False)


def is_healthy(url: str, *, timeout_s: float = 2.0) -> bool:
    """Whether that URL answers 200. Proxies are not asked: services of ours are on this machine."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout_s) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def last_log_lines(log: Path, n_lines: int = _N_LOG_LINES) -> str:
    """The last lines of a log, indented, to be shown under an error; says so if there are none."""
    try:
        with log.open("rb") as handle:
            handle.seek(max(0, log.stat().st_size - 65536))
            lines = handle.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    kept = [line for line in lines if line.strip()][-n_lines:]
    return "\n".join(f"    {line}" for line in kept) if kept else "    (the log is empty)"


def _spawn(spec: ServiceSpec) -> psutil.Process:
    program = spec.argv[0]
    if which(program) is None:
        raise ServiceError(f"{spec.name}: the program {program} is missing or may not be run: install it")
    port = urlsplit(spec.health_url).port
    if port is not None and not _becomes_free(port):
        raise ServiceError(f"{spec.name}: port {port} is taken by another program: stop it, or set a port")
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    spec.pid_file.parent.mkdir(parents=True, exist_ok=True)
    if spec.log.exists():
        spec.log.replace(spec.log.with_suffix(spec.log.suffix + ".1"))
    command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(spec.log), str(spec.pid_file.parent)]
    launched = subprocess.run(
        [*command, *spec.argv], env=dict(spec.env), capture_output=True, text=True, check=False
    )
    if launched.returncode != 0:
        reason = (launched.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ServiceError(f"{spec.name}: {program} cannot be started: {reason}")
    process = _process(int(launched.stdout))
    if process is None:
        raise ServiceError(f"{spec.name} died at once; {spec.log} ends with\n{last_log_lines(spec.log)}")
    _write_pid_file(spec, process)
    return process


def _becomes_free(port: int) -> bool:
    """Whether the port is free, or soon: a killed server's last threads let go of it a little late."""
    deadline = time.monotonic() + _PORT_RELEASE_S
    while not is_port_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _write_pid_file(spec: ServiceSpec, process: psutil.Process) -> None:
    entry = {"name": spec.name, "pid": process.pid, "started_at": process.create_time()}
    temporary = spec.pid_file.with_suffix(".tmp")
    temporary.write_text(json.dumps(entry), encoding="utf-8")
    temporary.replace(spec.pid_file)


def _our_process(spec: ServiceSpec) -> psutil.Process | None:
    """The live process that the pid file means; None if there is none, or the pid is somebody else's."""
    try:
        entry = json.loads(spec.pid_file.read_text(encoding="utf-8"))
        pid, started_at = int(entry["pid"]), float(entry["started_at"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # a file cut off by a crash names nobody
        return None
    process = _process(pid)
    if process is None or abs(process.create_time() - started_at) > _START_TIME_TOLERANCE_S:
        return None
    return process


def _process(pid: int) -> psutil.Process | None:
    """The process of that id, unless it has ended.

    A zombie has ended, but not before its last thread: until then it holds what it listened on.
    """
    try:
        process = psutil.Process(pid)
        ended = process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:  # or a zombie of which this system tells no threads
        return None
    return None if ended else process


def _becomes_healthy(spec: ServiceSpec, process: psutil.Process) -> bool:
    """Wait until it is healthy; False if it ends before. Raises ServiceError when the time is over."""
    deadline = time.monotonic() + spec.start_timeout_s
    while not is_healthy(spec.health_url):
        if _process(process.pid) is None:
            return False
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{spec.name} did not answer at {spec.health_url} within {spec.start_timeout_s:g} s; "
                f"{spec.log} ends with\n{last_log_lines(spec.log)}"
            )
        time.sleep(_POLL_S)
    return True


def _stop(spec: ServiceSpec, process: psutil.Process) -> None:
    """Stop the whole group and wait for it; the group's id is the pid, since we made the session."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = [process]
    for step, wait_s in ((signal.SIGTERM, spec.stop_grace_s), (signal.SIGKILL, spec.stop_grace_s)):
        _signal_group(process.pid, step)
        if _are_gone(family, within_s=wait_s):
            spec.pid_file.unlink(missing_ok=True)
            return
    raise ServiceError(f"{spec.name} (pid {process.pid}) does not stop, not even on SIGKILL: look at it")


def _are_gone(family: list[psutil.Process], *, within_s: float) -> bool:
    """Whether all end in that time. A zombie has ended: whoever is pid 1 may take its time, or never reap."""
    deadline = time.monotonic() + within_s
    while any(process.is_running() and _process(process.pid) is not None for process in family):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S / 4)
    return True


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # the latter where only zombies are left, on macOS
        return  # all of it is gone already, which is what the caller wants
