"""The limits that all workers share, on a real Prefect server."""

import json
import os
import subprocess
import sys
import time
from contextvars import copy_context
from itertools import pairwise
from threading import Thread

import pytest

from detseg.config import load_settings
from flows.limits import import_limit

WORKER = """
import json, time
from flows.limits import import_limit
from detseg.config import load_settings

settings = load_settings(None, label_studio__shared_writers=1)
limit = import_limit(settings.server, settings.label_studio)
spans = []
for _ in range(3):
    with limit():
        begun = time.monotonic()
        time.sleep(0.2)
        spans.append((begun, time.monotonic()))
print(json.dumps(spans))
"""


def test_workers_in_other_processes_wait_for_each_other(
    prefect_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETSEG_LABEL_STUDIO__URL", "http://limited.example:8080")
    monkeypatch.setenv("DETSEG_LABEL_STUDIO__TOKEN", "token")
    env = {**os.environ, **prefect_environment}
    command = [sys.executable, "-c", WORKER]
    workers = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [worker.communicate()[0] for worker in workers]
    spans = sorted(span for output in outputs for span in json.loads(output))
    assert len(spans) == 6
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))


@pytest.mark.usefixtures("prefect_url")
def test_a_rate_holds_for_all_threads() -> None:
    settings = load_settings(
        None,
        environ={"DETSEG_LABEL_STUDIO__TOKEN": "token"},
        label_studio__url="http://rated.example",
        label_studio__imports_per_minute=60,
        label_studio__shared_writers=4,
    )
    limit = import_limit(settings.server, settings.label_studio)
    entered: list[float] = []

    def work() -> None:
        with limit():
            entered.append(time.monotonic())

    threads = [Thread(target=copy_context().run, args=(work,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(entered) - min(entered) > 1.5  # four at one a second, the first one at once
