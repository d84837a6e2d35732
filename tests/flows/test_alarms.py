"""The automations of deploy/alarms.json on a real Prefect server: what people hear of, and of what not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, tags
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.schemas.automations import AutomationCore
from prefect.states import Late, Pending, State

from flows.server import prefect_api

ALARMS = Path(__file__).resolve().parents[2] / "deploy" / "alarms.json"
POOL = "detseg"
PATIENCE_S = 10  # the least that Prefect takes; the file's own is longer


@flow
def watched() -> None:
    raise ValueError


@contextmanager
def told() -> Iterator[tuple[str, list[str]]]:
    """The address of somebody who listens, and what they were told."""
    heard: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", heard
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def prefect(prefect_state: Path) -> Iterator[SyncPrefectClient]:
    """A client of the server, for all tests of this file."""
    with prefect_api(prefect_state), get_client(sync_client=True) as client:
        yield client


@pytest.fixture(scope="module")
def heard(prefect: SyncPrefectClient) -> Iterator[list[str]]:
    """What is said at the address of a block, by the automations of the file."""
    with told() as (url, heard):
        block = CustomWebhookNotificationBlock(
            name="night", url=url, json_data={"text": "{{subject}}: {{body}}"}
        )
        saved = block.save("alarms-of-a-test", overwrite=True)
        made = []
        for alarm in json.loads(ALARMS.read_text().replace("BLOCK-ID", str(saved))):
            if alarm["trigger"]["posture"] == "Proactive":
                alarm["trigger"]["within"] = PATIENCE_S
            made.append(prefect.create_automation(AutomationCore.model_validate(alarm)))
        yield heard
        for one in made:
            prefect.delete_automation(one)


@pytest.fixture(scope="module")
def deployment(prefect: SyncPrefectClient) -> Iterator[UUID]:
    """One as those of deploy/prefect.yaml, in a pool of that name."""
    is_made = POOL not in [pool.name for pool in prefect.read_work_pools()]
    if is_made:
        prefect.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    made = prefect.create_deployment(
        prefect.create_flow(watched), "watched", tags=["detseg"], work_pool_name=POOL
    )
    yield made
    prefect.delete_deployment(made)
    if is_made:
        prefect.delete_work_pool(POOL)


@pytest.fixture(scope="module", autouse=True)
def taken(prefect: SyncPrefectClient, deployment: UUID, heard: list[str]) -> FlowRun:
    """A run that was taken and does not begin. One that nobody takes is late beside it.

    Both are there before the first test, so that Prefect is patient with them at the same time.
    """
    assert heard == []  # whoever listens is there
    prefect.create_flow_run_from_deployment(deployment, state=Late(), tags=["detseg"])
    run = prefect.create_flow_run_from_deployment(deployment, name="run taken", tags=["detseg"])
    prefect.set_flow_run_state(run.id, Pending())
    return run


def end(prefect: SyncPrefectClient, deployment: UUID, name: str, kind: StateType) -> None:
    """A run of the deployment that ends so."""
    run = prefect.create_flow_run_from_deployment(deployment, name=f"run {name}", tags=["detseg"])
    prefect.set_flow_run_state(run.id, State(type=kind, name=name, message=f"because of {name}"), force=True)


def wait_for(heard: list[str], words: str) -> str:
    while not (found := [one for one in heard if words in one]):
        time.sleep(0.2)
    return found[0]


def test_people_hear_of_runs_that_need_a_look_and_of_no_others(
    prefect: SyncPrefectClient, deployment: UUID, heard: list[str]
) -> None:
    with tags("detseg"):  # a command that somebody runs, who sees its error
        assert watched(return_state=True).is_failed()
    end(prefect, deployment, "Completed", StateType.COMPLETED)
    end(prefect, deployment, "Skipped", StateType.COMPLETED)
    end(prefect, deployment, "Cancelled", StateType.CANCELLED)
    look_at = {"Failed": StateType.FAILED, "Crashed": StateType.CRASHED, "No images": StateType.COMPLETED}
    for name, kind in look_at.items():
        end(prefect, deployment, name, kind)
    for name in look_at:
        said = wait_for(heard, f"run {name}: {name}")
        assert f"because of {name}\n" in said
        assert f"\n{str(prefect.api_url).partition('/api')[0]}/runs/flow-run/" in said
    assert sum("because of" in one for one in heard) == 3
    assert not any("ValueError" in one for one in heard)


def test_people_hear_that_no_worker_takes_a_run(heard: list[str]) -> None:
    assert wait_for(heard, "no worker takes ").partition(": ")[0].endswith(" of watched")


def test_a_run_that_was_killed_before_it_began_crashes_and_people_hear_of_it(
    prefect: SyncPrefectClient, taken: FlowRun, heard: list[str]
) -> None:
    """Without it, the run would be pending for ever, and nobody would know that a night was left out."""
    assert "it did not begin" in wait_for(heard, "run taken: Crashed")
    assert prefect.read_flow_run(taken.id).state_name == "Crashed"
