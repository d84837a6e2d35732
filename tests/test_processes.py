"""Services are started once, found again, waited for, and stopped with all their children."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from detseg.errors import PortTaken, ServiceError
from detseg.processes import (
    ServiceSpec,
    find_running,
    free_port,
    is_healthy,
    is_listening,
    is_port_free,
    last_log_lines,
    start,
    start_on_free_port,
    stop,
)
from tests.workers import first_port

SERVER = """
import ctypes, http.server, os, pathlib, signal, socket, subprocess, sys, threading, time
port, mode = int(sys.argv[1]), sys.argv[2]
print("starting in mode", mode, flush=True)
if mode == "dies":
    sys.exit("the database is on fire")
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if mode == "family":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print("child", child.pid, flush=True)
if mode in ("late", "moves"):  # the test does something between the start and the listening
    pathlib.Path("started").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
if mode == "moves":  # as Label Studio does
    with socket.socket() as probe:
        port += probe.connect_ex(("127.0.0.1", port)) == 0
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if mode == "sick" else 200)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer)
if mode == "lingering":  # told to stop, its first thread ends, and another one keeps the port for a while
    def end(*_):
        threading.Timer(1.0, os._exit, (0,)).start()
        ctypes.CDLL(None).pthread_exit(None)
    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=server.serve_forever).start()
    while True:
        signal.pause()
server.serve_forever()
"""

MakeSpec = Callable[..., ServiceSpec]


@pytest.fixture
def make_spec(tmp_path: Path) -> Iterator[MakeSpec]:
    made: list[ServiceSpec] = []

    def make(mode: str = "well", **changes: object) -> ServiceSpec:
        port = free_port(first_port(18300))
        spec = ServiceSpec(
            name="the test server",
            argv=(sys.executable, "-c", SERVER, str(port), mode),
            env={"PATH": os.environ["PATH"]},
            log=tmp_path / "server.log",
            pid_file=tmp_path / "server.pid",
            health_url=f"http://127.0.0.1:{port}/",
            start_timeout_s=30.0,
            stop_grace_s=5.0,
        )
        made.append(replace(spec, **changes))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for spec in made:
        stop(spec)


def has_ended(pid: int) -> bool:
    """Gone, or a zombie that pid 1 has not reaped yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(true: Callable[[], bool], within_s: float = 600.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def test_a_service_is_started_once_and_stopped(make_spec: MakeSpec) -> None:
    spec = make_spec()
    assert find_running(spec) is None
    first = start(spec)
    assert first.started
    assert is_healthy(spec.health_url)
    second = start(spec)
    assert (second.pid, second.started) == (first.pid, False)
    assert find_running(spec) == second
    assert stop(spec)
    assert not is_healthy(spec.health_url)
    assert has_ended(first.pid)
    assert not spec.pid_file.exists()
    assert not stop(spec)


def test_two_starts_at_once_start_one(make_spec: MakeSpec) -> None:
    spec = make_spec()
    with ThreadPoolExecutor(4) as pool:
        running = list(pool.map(lambda _: start(spec), range(4)))
    assert len({one.pid for one in running}) == 1
    assert sum(one.started for one in running) == 1


def test_it_outlives_the_process_that_started_it(make_spec: MakeSpec) -> None:
    spec = make_spec()
    start(spec)
    running = find_running(spec)
    assert running is not None
    assert psutil.Process(running.pid).ppid() != os.getpid()
    assert os.getpgid(running.pid) == running.pid


def test_a_service_that_dies_says_its_last_words_at_once(make_spec: MakeSpec) -> None:
    spec = make_spec("dies", start_timeout_s=1e6)
    with pytest.raises(ServiceError, match=r"the test server died (?s:.*)the database is on fire"):
        start(spec)
    assert find_running(spec) is None


def test_a_service_that_does_not_get_healthy_is_stopped_again(make_spec: MakeSpec) -> None:
    spec = make_spec("sick", start_timeout_s=1.5)
    with pytest.raises(ServiceError, match=r"did not answer at http://127.0.0.1:\d+/ within 1.5 s"):
        start(spec)
    assert find_running(spec) is None
    assert is_port_free(int(spec.argv[3]))


def test_a_taken_port_is_named(make_spec: MakeSpec) -> None:
    spec = make_spec()
    taken = rf"port {spec.argv[3]} is taken by another program"
    with socket.create_server(("127.0.0.1", int(spec.argv[3]))), pytest.raises(ServiceError, match=taken):
        start(spec)
    assert find_running(spec) is None


@contextmanager
def stranger(port: int) -> Iterator[None]:
    """Another program that answers 200 to everything on that port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Answer) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever)
        try:
            yield
        finally:
            server.shutdown()


@pytest.mark.parametrize("mode", ["late", "moves"])
def test_a_port_that_somebody_takes_before_we_listen_is_left_to_them(
    make_spec: MakeSpec, tmp_path: Path, mode: str
) -> None:
    spec = make_spec(mode)
    tried: list[int] = []

    def on(port: int) -> ServiceSpec:
        argv = (*spec.argv[:3], str(port), mode)
        return replace(spec, argv=argv, health_url=f"http://127.0.0.1:{port}/")

    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(start_on_free_port, on, spec.port, remember=tried.append)
        wait_until((tmp_path / "started").exists)
        with stranger(spec.port):
            (tmp_path / "go").touch()
            port, running = starting.result()
    assert tried == [spec.port, port]
    assert port > spec.port
    assert is_listening(on(port))
    assert not is_listening(spec)
    assert start_on_free_port(on, port, remember=tried.append)[1].pid == running.pid


def test_a_strangers_answer_is_not_ours(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec("late")
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(start, spec)
        wait_until((tmp_path / "started").exists)
        with stranger(spec.port):
            assert is_healthy(spec.health_url)
            assert not is_listening(spec)
            assert not starting.done()
            (tmp_path / "go").touch()
            with pytest.raises(PortTaken, match=f"port {spec.port} is taken"):
                starting.result()


def test_a_missing_program_is_named(make_spec: MakeSpec) -> None:
    with pytest.raises(ServiceError, match="the program no-such-program is missing"):
        start(make_spec(argv=("no-such-program",)))


def test_a_program_that_cannot_be_run_is_named(make_spec: MakeSpec, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    with pytest.raises(ServiceError, match=r"broken cannot be started: FileNotFoundError"):
        start(make_spec(argv=(str(broken),)))


def test_a_service_has_stopped_when_its_last_thread_has(make_spec: MakeSpec) -> None:
    spec = make_spec("lingering")
    start(spec)
    assert stop(spec)
    assert is_port_free(int(spec.argv[3]))
    assert find_running(spec) is None


def test_stubborn_services_are_killed_after_the_grace(make_spec: MakeSpec) -> None:
    spec = make_spec("stubborn", stop_grace_s=0.5)
    running = start(spec)
    assert stop(spec)
    assert has_ended(running.pid)


def test_children_are_stopped_too(make_spec: MakeSpec) -> None:
    spec = make_spec("family")
    start(spec)
    child = int(spec.log.read_text().split("child ")[1].split()[0])
    assert psutil.pid_exists(child)
    assert stop(spec)
    assert has_ended(child)


def test_a_killed_service_is_not_running_and_starts_again(make_spec: MakeSpec) -> None:
    spec = make_spec()
    first = start(spec)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: find_running(spec) is None)
    second = start(spec)
    assert second.started
    assert second.pid != first.pid


def test_a_service_that_is_just_ending_is_not_taken_for_a_running_one(make_spec: MakeSpec) -> None:
    spec = make_spec()
    first = start(spec)
    os.kill(first.pid, signal.SIGKILL)
    second = start(spec)
    assert second.started
    assert second.pid != first.pid


def test_a_recycled_pid_is_never_taken_for_ours(make_spec: MakeSpec) -> None:
    spec = make_spec()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as somebody_else:
        entry = {"name": spec.name, "pid": somebody_else.pid, "started_at": time.time() - 1000}
        spec.pid_file.write_text(json.dumps(entry))
        assert find_running(spec) is None
        assert not stop(spec)
        assert somebody_else.poll() is None
        assert start(spec).pid != somebody_else.pid
        somebody_else.communicate(b"\n")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": 99999999, "started_at": 1.0}'])
def test_pid_files_that_name_nobody(make_spec: MakeSpec, text: str) -> None:
    spec = make_spec()
    spec.pid_file.write_text(text)
    assert find_running(spec) is None
    assert not stop(spec)


def test_the_last_log_is_kept_and_the_environment_is_only_what_is_given(make_spec: MakeSpec) -> None:
    spec = make_spec()
    running = start(spec)
    assert "HOME" not in psutil.Process(running.pid).environ()
    stop(spec)
    start(spec)
    assert spec.log.with_suffix(".log.1").read_text() == "starting in mode well\n"
    assert last_log_lines(spec.log) == "starting in mode well"


def test_secrets_of_the_environment_are_not_printed(make_spec: MakeSpec) -> None:
    assert "hush" not in repr(make_spec(env={"TOKEN": "hush"}))


def test_free_ports_are_looked_for_from_the_preferred_one() -> None:
    first = free_port(first_port(18400))
    with socket.create_server(("127.0.0.1", first)):
        assert not is_port_free(first)
        assert free_port(first) > first
        with pytest.raises(ServiceError, match="no free port"):
            free_port(first, n_tries=1)
