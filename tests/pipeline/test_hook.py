"""``detseg hook`` beside a real Label Studio: rung by it, collecting once for many rings, leaving nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import ConfigError, DetsegError, LabelStudioError, LockHeld, Unreachable
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import LOCAL_HOOKS, SERVED, Connection, EmbeddedLabelStudio
from detseg.pipeline.collect import CollectReport
from detseg.pipeline.hook import Debouncer, Listening, follow
from tests.pipeline.conftest import settings_for
from tests.pipeline.reviewing import fill_queue, submit, tasks_of
from tests.workers import first_port

LONG_S = 600.0


@pytest.fixture(scope="module")
def calling_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hook-state")


@pytest.fixture(scope="module")
def calling(calling_state: Path) -> Iterator[Connection]:
    """A Label Studio whose webhooks may call this machine."""
    server = EmbeddedLabelStudio(calling_state, port=first_port(18480), variables=LOCAL_HOOKS)
    try:
        yield server.up()
    finally:
        server.down()


class Follower:
    """Follows in a thread, and can be waited for."""

    def __init__(self, settings: Settings, listening: Listening) -> None:
        self.debouncer, self.reports, self.complaints = (
            Debouncer(),
            list[CollectReport](),
            list[DetsegError](),
        )
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._follow, args=(settings, listening))

    def _follow(self, settings: Settings, listening: Listening) -> None:
        follow(
            settings, listening, debouncer=self.debouncer, tell=self._tell, complain=self.complaints.append
        )

    def _tell(self, report: CollectReport) -> None:
        with self._news:
            self.reports.append(report)
            self._news.notify_all()

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.debouncer.stop()
        self._thread.join(LONG_S)
        assert not self._thread.is_alive()

    def until(self, met: Callable[[list[CollectReport]], bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: met(self.reports), LONG_S)


def test_a_review_is_collected_soon_and_nothing_is_left_behind(
    settings: Settings, catalog: Catalog, calling: Connection, calling_state: Path
) -> None:
    queue = settings_for(settings, calling.url, calling.token, title="rung", files=calling_state / SERVED)
    with LabelStudioClient(calling.url, calling.token) as client:
        project = fill_queue(queue, catalog)
        one, two, three, *_ = tasks_of(client, project)
        with Follower(queue, Listening(port=0, registers=True, poll_s=3600)) as follower:
            follower.until(lambda reports: len(reports) == 1)
            for task in (one, two, three):
                submit(client, task)
            follower.until(lambda reports: sum(report.new for report in reports) == 3)
            assert len(follower.reports) <= 4
            (webhook,) = client.session.send("GET", "/api/webhooks/", params={"project": project}).json()
            assert webhook["send_payload"] is False
        assert client.session.send("GET", "/api/webhooks/", params={"project": project}).json() == []


def test_without_a_webhook_changes_are_asked_for(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    task, *_ = tasks_of(client, fill_queue(queue, catalog))
    with Follower(queue, Listening(port=0, poll_s=0.2)) as follower:
        follower.until(lambda reports: len(reports) == 1)
        submit(client, task)
        follower.until(lambda reports: sum(report.new for report in reports) == 1)


def test_a_server_that_protects_private_addresses_is_said(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    fill_queue(queue, catalog)
    with pytest.raises(LabelStudioError, match=r"calls no private addresses.*label_studio.hooks = true"):
        follow(
            queue,
            Listening(port=0, registers=True),
            debouncer=Debouncer(),
            tell=lambda _: None,
            complain=lambda _: None,
        )
    assert client.session.send("GET", "/api/webhooks/").json() == []


@pytest.mark.parametrize("secret", ["", "  ", "ümlaut", "two\nlines"])
def test_a_secret_that_no_header_can_carry_is_one_line(queue: Settings, secret: str) -> None:
    settings = queue.updated(label_studio__hook_secret=secret)
    with pytest.raises(ConfigError, match="ASCII"):
        follow(settings, Listening(), debouncer=Debouncer(), tell=lambda _: None, complain=lambda _: None)


@pytest.mark.parametrize("error", [Unreachable("nobody is there"), LockHeld("a long push has the queue")])
def test_what_passes_by_itself_ends_nothing(settings: Settings, error: DetsegError) -> None:
    debouncer, said, told = Debouncer(), list[DetsegError](), list[CollectReport]()

    def collect_once(_settings: Settings, _catalog: Catalog) -> CollectReport:
        if not said:
            raise error
        debouncer.stop()
        return CollectReport(1, "")

    listening = Listening(port=0, poll_s=0.0)
    follow(
        settings,
        listening,
        debouncer=debouncer,
        tell=told.append,
        complain=said.append,
        collect_once=collect_once,
    )
    assert (said, len(told)) == ([error], 1)


def test_many_rings_are_one_and_a_stop_ends_the_waiting() -> None:
    debouncer = Debouncer()
    for _ in range(1000):
        debouncer.ring()
    assert debouncer.wait(LONG_S)
    begun = time.monotonic()
    assert debouncer.wait(0.05)  # nothing rang: the time is up
    assert time.monotonic() - begun >= 0.05
    debouncer.stop()
    assert not debouncer.wait(LONG_S)


def test_the_command_ends_with_its_totals(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, label_studio: Connection
) -> None:
    submit(client, tasks_of(client, fill_queue(queue, catalog))[0])
    variables = {
        "DETSEG_LABEL_STUDIO__URL": label_studio.url,
        "DETSEG_LABEL_STUDIO__TOKEN": label_studio.token,
        "DETSEG_STATE_DIR": str(queue.state_path),
        "DETSEG_QUEUE__PROJECT": queue.queue.project,
        "DETSEG_LABEL_STUDIO__HOOK_SECRET": "secret",
    }
    arguments = [sys.executable, "-m", "detseg", "hook", "--port", "0", "--poll", "3600", "--json"]
    with subprocess.Popen(
        arguments,
        env={**os.environ, **variables},
        stdout=PIPE,
        stderr=PIPE,
        text=True,
        cwd=queue.state_path.parent,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "reviews: 1 new, 0 updated, 0 deleted\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=LONG_S)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out) == {"collects": 1, "reviews": {"new": 1, "updated": 0, "deleted": 0}}
