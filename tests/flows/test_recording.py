"""What becomes of a run when its Prefect server dies in the middle, or never let us in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.runtime import task_run
from prefect.settings import PREFECT_API_URL, temporary_settings

from detseg.errors import ModelError, ServiceError
from flows.recording import run_flow
from flows.server import prefect_api, status, up

SCRIPT = """
import os, signal, sys
from pathlib import Path
from detseg.config import load_settings
from detseg.errors import ServiceError
from flows.server import prefect_api, status

def note(text):
    print(text, file=sys.stderr)

state_dir = Path(sys.argv[1])
with prefect_api(state_dir) as url:
    from prefect import flow, task
    from flows.artifacts import publish
    from flows.limits import import_limit
    from flows.recording import run_flow

    @task
    def double(n):
        return 2 * n

    @flow
    def interrupted():
        settings = load_settings(None, label_studio__shared_writers=1)
        limit = import_limit(settings.server, settings.label_studio)
        results = [double(n) for n in range(3)]
        os.kill(status(state_dir).pid, signal.SIGKILL)
        results += [future.result() for future in double.map(range(50))]
        publish("interrupted", {"results": len(results)}, link="http://127.0.0.1/", link_text="a link")
        try:
            with limit():
                print("never")
        except ServiceError as error:
            print(error)
        return sum(results)

    print(run_flow(note, interrupted))
"""


def test_a_server_that_is_killed_costs_the_record_of_the_run_alone(prefect_state: Path) -> None:
    before = status(prefect_state)
    assert before is not None
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    env |= {"DETSEG_LABEL_STUDIO__URL": "http://limited.example:8080", "DETSEG_LABEL_STUDIO__TOKEN": "token"}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(prefect_state)],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        up(prefect_state)
    refusal, answer = done.stdout.splitlines()
    assert refusal.startswith(
        f"Prefect at {before.api_url}, which counts the imports of all workers, does not"
    )
    assert answer == str(2 * sum(range(3)) + 2 * sum(range(50)))
    *waits, last = done.stderr.splitlines()
    assert [line for line in waits if not line.startswith("detseg: waiting for ")] == []
    assert (
        last
        == f"Prefect at {before.api_url} does not answer any more: it has no record of how this run ended"
    )
    assert done.returncode == 0


@pytest.mark.usefixtures("prefect_url")
def test_tasks_have_no_tags_for_whose_places_prefect_would_be_asked() -> None:
    @task
    def step() -> list[str]:
        return list(task_run.tags or [])

    @flow
    def tagged() -> list[str]:
        return [*step(), *step.submit().result()]

    assert run_flow(never, tagged) == []


def never(text: str) -> None:
    raise AssertionError(text)


@pytest.mark.usefixtures("prefect_url")
def test_the_answer_and_the_error_of_a_flow_are_the_callers_and_recorded() -> None:
    @task
    def check(n: int) -> int:
        if n < 0:
            raise ModelError("broken")
        return n

    @flow(flow_run_name="recorded {n}")
    def work(n: int, where: Path | None = None) -> int:
        assert isinstance(where, Path)  # what annotations mean is known in this module alone
        return check.submit(n).result() + 1

    assert run_flow(never, work, 1, Path()) == 2
    with pytest.raises(ModelError, match="broken"):
        run_flow(never, work, -1, Path())
    like = FlowRunFilter(name=FlowRunFilterName(like_="recorded "))
    with get_client(sync_client=True) as client:
        states = {run.name: run.state_name for run in client.read_flow_runs(flow_run_filter=like)}
    assert states == {"recorded 1": "Completed", "recorded -1": "Failed"}


def test_a_server_that_asks_for_a_login_which_we_lack_is_one_line(
    prefect_state: Path, tmp_path: Path
) -> None:
    server = status(prefect_state)
    assert server is not None

    @flow
    def nothing() -> None:
        pass

    with (
        temporary_settings({PREFECT_API_URL: server.api_url}),
        pytest.raises(ServiceError, match=f"Prefect at {server.api_url} does not let us in: set PREFECT_API"),
        prefect_api(tmp_path),
    ):
        run_flow(never, nothing)
