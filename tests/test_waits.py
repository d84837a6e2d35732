"""What takes long is said: what it is, for how long, and once."""

from __future__ import annotations

import logging
import queue
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from detseg.bounded_http import BoundedClient, Bounds
from detseg.waits import Wait, heard_by, waiting


def test_what_takes_long_is_said_from_another_thread() -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    with heard_by(heard.put), waiting("the bus", longest_s=900.0):
        line = heard.get(timeout=600)
    assert re.fullmatch(r"waiting for the bus \(\d+ s so far, 900 s at most\)", line)


def test_many_who_wait_for_the_same_say_it_once() -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    said = threading.Event()

    def wait_for(what: str) -> None:
        with waiting(what):
            said.wait(600)

    with heard_by(heard.put), ThreadPoolExecutor(3) as pool:
        pool.submit(wait_for, "the ship")
        pool.submit(wait_for, "the ship")
        assert heard.get(timeout=600).startswith("waiting for the ship (")
        pool.submit(wait_for, "the train")
        assert heard.get(timeout=600).startswith("waiting for the train (")
        said.set()


def test_a_wait_within_another_one_is_a_part_of_it() -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    with heard_by(heard.put):
        with waiting("the journey"), waiting("the ferry"):
            assert heard.get(timeout=600).startswith("waiting for the journey (")
        with waiting("the bus home"):
            assert heard.get(timeout=600).startswith("waiting for the bus home (")


def test_where_nobody_listens_it_is_logged() -> None:
    logged = threading.Event()

    class Handler(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            logged.set()

    handler, logger = Handler(), logging.getLogger("detseg.waits")
    logger.addHandler(handler)
    try:
        with waiting("the tram"):
            assert logged.wait(600)
    finally:
        logger.removeHandler(handler)


def test_the_end_of_a_wait_is_counted_from_its_beginning() -> None:
    assert Wait("a", longest_s=0.0).is_over
    assert not Wait("a", longest_s=3600.0).is_over
    assert not Wait("a").is_over
    Wait("a", longest_s=-5.0).pause(3600.0)  # returns


def test_a_server_that_answers_late_is_said() -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as server, heard_by(heard.put):
        port = server.getsockname()[1]
        lines: list[str] = []

        def answer_once_it_was_said() -> None:
            connection, _ = server.accept()
            with connection:
                lines.append(heard.get(timeout=600))
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        answering = threading.Thread(target=answer_once_it_was_said)
        answering.start()
        with BoundedClient(Bounds(max_bytes=100, total_s=1200.0), timeout=900.0, trust_env=False) as http:
            assert http.get(f"http://127.0.0.1:{port}/").status_code == httpx.codes.NO_CONTENT
        answering.join()
    expected = rf"waiting for http://127\.0\.0\.1:{port} to answer \(\d+ s so far, 900 s at most\)"
    assert re.fullmatch(expected, lines[0])


def test_a_command_says_on_stderr_what_it_waits_for(tmp_path: Path) -> None:
    """The server takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        (tmp_path / "detseg.toml").write_text(f'queue.project = "p"\nlabel_studio.url = "{url}"\n')
        environment = {"DETSEG_LABEL_STUDIO__TOKEN": "0" * 40, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        with subprocess.Popen(
            [sys.executable, "-m", "detseg", "collect", "--json"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as command:
            assert command.stderr is not None
            line = command.stderr.readline()
            command.kill()
            stdout, _ = command.communicate()
    assert re.fullmatch(rf"detseg: waiting for {url} to answer \(\d+ s so far, 60 s at most\)\n", line)
    assert stdout == ""
