"""Background services of ours: started detached, found again by pid file, waited for, stopped cleanly.

    spec = ServiceSpec(name="Label Studio", argv=(...), env={...}, log=..., pid_file=..., health_url=...)
    running = start(spec)   # waits until it is healthy; a second start gives the running one
    find_running(spec)      # Running or None
    is_listening(spec)      # whether it is that process which has the port
    stop(spec)              # True if something was stopped

A pid file holds the process's start time too, so a recycled pid is never taken for ours, and never killed.
An answer on the port is believed only if it is our process, or a child of it, that listens there: a port that
was free may be another program's by the time that our server is ready for it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from types import MappingProxyType
from urllib.parse import urlsplit

import httpx
import psutil

from detseg.bounded_http import BoundedClient, Bounds
from detseg.errors import FormatError, PortTaken, ServiceError
from detseg.files import parse_json, write_whole
from detseg.locking import LOCK_S, file_lock
from detseg.waits import Wait, waiting

_START_TIME_TOLERANCE_S = 2.0  # psutil derives start times from the boot time, which NTP may move a little
_POLL_S = 0.1
_MOST_STATUS_BYTES = 1_000_000
_PORT_RELEASE_S = 3.0
_N_LOG_LINES = 8
_HOST = "127.0.0.1"
_N_STARTS = 5  # each after another program took the port

# A child of a child: nobody has to reap it, and it outlives us in a session (and group) of its own.
_LAUNCHER = """
import os, subprocess, sys
os.umask(0o077)  # what the service writes is for its user alone
log = open(sys.argv[1], "xb")
child = subprocess.Popen(sys.argv[3:], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         start_new_session=True, cwd=sys.argv[2])
child.returncode = 0
print(child.pid)
"""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A program to run, and how to tell that it is well. ``env`` is the whole environment, nothing is added.

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

    @property
    def port(self) -> int:
        port = urlsplit(self.health_url).port
        assert port is not None
        return port


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs. ``started`` says whether this call started it."""

    pid: int
    started: bool


def free_port(preferred: int, *, n_tries: int = 100) -> int:
    """The first free port at or after the preferred one. Raises ServiceError if all tries are taken."""
    for port in range(preferred, min(preferred + n_tries, 65536)):
        if is_port_free(port):
            return port
    raise ServiceError(f"no free port on {_HOST} from {preferred} on ({n_tries} tried): close what uses them")


def is_port_free(port: int) -> bool:
    """Check that a server could listen on that port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is free
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def start(spec: ServiceSpec) -> Running:
    """Start the service and wait until it is healthy; if it runs already, wait for that one, unless it ends.

    Raises PortTaken when another program has the port, ServiceError when the program is missing, the process
    dies (with the last lines of its log) or it is not healthy in time. Nothing that was started is left
    running then.
    """
    with _lock(spec):
        found = _our_process(spec)
        if found is not None and _becomes_healthy(spec, found):
            return Running(found.pid, started=False)
        process = _spawn(spec)
        try:
            if _becomes_healthy(spec, process):
                return Running(process.pid, started=True)
        except (ServiceError, KeyboardInterrupt):
            _stop(spec, process)
            raise
        _stop(spec, process)  # what it left behind
        if not is_port_free(spec.port):
            raise _taken(spec)
        raise ServiceError(
            f"{spec.name} died before it was ready; {spec.log} ends with: {last_log_lines(spec.log)}"
        )


def start_on_free_port(
    spec_on: Callable[[int], ServiceSpec], preferred: int, *, remember: Callable[[int], None]
) -> tuple[int, Running]:
    """Start the service on the first free port from the preferred one on; if it runs there, wait for it.

    A port that another program takes before our server listens is left to it, and the service is started on
    the next one. ``spec_on`` gives the service on a port, ``remember`` hears of a port before it is tried, so
    that a start that is killed leaves a service that can be found. Returns the port too. Raises ServiceError.
    """
    port = preferred
    for _ in range(_N_STARTS):
        if find_running(spec_on(port)) is None:
            port = free_port(port)
        remember(port)
        try:
            return port, start(spec_on(port))
        except PortTaken:
            port += 1
    name = spec_on(port).name
    raise ServiceError(
        f"{name}: other programs took each of {_N_STARTS} ports from {preferred} on: try again"
    )


def stop(spec: ServiceSpec) -> bool:
    """Stop the service if it runs: SIGTERM to its group, SIGKILL after the grace. Says whether it ran."""
    with _lock(spec):
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


def is_listening(spec: ServiceSpec) -> bool:
    """Check that the service runs and that its process, or a child of it, has the port."""
    process = _our_process(spec)
    if process is None:
        return False
    ports = _listening_ports(process)
    return ports is None or spec.port in ports


def is_healthy(url: str) -> bool:
    """Check that the URL answers 200."""
    return http_status(url) == 200


def http_status(
    url: str, *, headers: Mapping[str, str] = MappingProxyType({}), timeout_s: float = 2.0
) -> int | None:
    """Ask a service of ours for its status there; None if it does not answer. No proxy is asked: it is on
    this machine."""
    bounds = Bounds(_MOST_STATUS_BYTES, total_s=timeout_s)
    try:
        with BoundedClient(bounds, timeout=timeout_s, trust_env=False) as http:
            return http.get(url, headers=headers).status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return None


def last_log_lines(log: Path) -> str:
    """The last lines of a log in one, to be shown in an error; says so if there are none."""
    try:
        with log.open("rb") as handle:
            handle.seek(max(0, log.stat().st_size - 65536))
            lines = handle.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    kept = [line for line in lines if line.strip()][-_N_LOG_LINES:]
    return " | ".join(line.strip() for line in kept) if kept else "(the log is empty)"


def _lock(spec: ServiceSpec) -> AbstractContextManager[None]:
    """Held while the service is started or stopped: others wait as long as a start may take."""
    longest_s = max(LOCK_S, 2 * spec.start_timeout_s)
    return file_lock(
        spec.pid_file.with_suffix(".lock"), what=f"the start of {spec.name}", longest_s=longest_s
    )


def _spawn(spec: ServiceSpec) -> psutil.Process:
    program = spec.argv[0]
    if which(program) is None:
        raise ServiceError(f"{spec.name}: the program {program} is missing or may not be run: install it")
    if not _becomes_free(spec.port):
        raise _taken(spec)
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
        raise ServiceError(f"{spec.name} died at once; {spec.log} ends with: {last_log_lines(spec.log)}")
    _write_pid_file(spec, process)
    return process


def _becomes_free(port: int) -> bool:
    """Wait a little for the port to become free: a killed server's last threads let go of it late."""
    deadline = time.monotonic() + _PORT_RELEASE_S
    while not is_port_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _write_pid_file(spec: ServiceSpec, process: psutil.Process) -> None:
    entry = {"name": spec.name, "pid": process.pid, "started_at": process.create_time()}
    write_whole(spec.pid_file, json.dumps(entry))


def _our_process(spec: ServiceSpec) -> psutil.Process | None:
    """The live process that the pid file means; None if there is none, or the pid is somebody else's."""
    try:
        entry = parse_json(spec.pid_file.read_bytes(), str(spec.pid_file))
        pid, started_at = int(entry["pid"]), float(entry["started_at"])
    except FileNotFoundError:
        return None
    except (FormatError, ValueError, KeyError, TypeError):  # a file cut off by a crash names nobody
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
    """Wait until it is healthy on its port; False if it ends before.

    Raises ServiceError when the time is over, PortTaken when it went to another port (it is stopped then).
    While another program has the port, a process that neither listens nor ends is waited for: it may be
    making its database.
    """
    with waiting(f"{spec.name} to start", longest_s=spec.start_timeout_s) as wait:
        while True:
            ports = _listening_ports(process)
            if (ports is None or spec.port in ports) and is_healthy(spec.health_url):
                return True
            if _process(process.pid) is None:
                return False
            if ports and spec.port not in ports:
                _stop(spec, process)
                raise _taken(spec)
            if wait.is_over:
                raise ServiceError(
                    f"{spec.name} did not answer at {spec.health_url} within {spec.start_timeout_s:g} s; "
                    f"{spec.log} ends with: {last_log_lines(spec.log)}"
                )
            wait.pause(_POLL_S)


def _taken(spec: ServiceSpec) -> PortTaken:
    return PortTaken(f"{spec.name}: port {spec.port} is taken by another program: stop it, or set a port")


def _listening_ports(process: psutil.Process) -> frozenset[int] | None:
    """The ports on which it and its children listen; None where the system does not tell."""
    ports: set[int] = set()
    try:
        for member in _family(process):
            with suppress(psutil.NoSuchProcess):
                connections = member.net_connections("tcp")
                ports |= {one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN}
    except psutil.AccessDenied:
        return None
    return frozenset(ports)


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return [process]


def _stop(spec: ServiceSpec, process: psutil.Process) -> None:
    """Stop the whole group and wait for it; the group's id is the pid, since we made the session."""
    family = _family(process)
    for step, wait_s in ((signal.SIGTERM, spec.stop_grace_s), (signal.SIGKILL, spec.stop_grace_s)):
        _signal_group(process.pid, step)
        with waiting(f"{spec.name} to stop", longest_s=wait_s) as wait:
            if _are_gone(family, wait):
                spec.pid_file.unlink(missing_ok=True)
                return
    raise ServiceError(f"{spec.name} (pid {process.pid}) does not stop, not even on SIGKILL: look at it")


def _are_gone(family: list[psutil.Process], wait: Wait) -> bool:
    """Wait for all of them to end, and return whether they did. A zombie has ended: whoever is pid 1 may take
    its time, or never reap."""
    while any(process.is_running() and _process(process.pid) is not None for process in family):
        if wait.is_over:
            return False
        wait.pause(_POLL_S / 4)
    return True


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # the latter where only zombies are left, on macOS
        return  # all of it is gone already, which is what the caller wants
