"""Runs that are killed free their place, and late runs do not pile up, on a real Prefect server."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import ConcurrencyLimitConfig, FlowRun
from prefect.events import emit_event
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Late, Pending, Running

from detseg.errors import ServiceError
from detseg.files import private_folder
from flows.dead_runs import AUTOMATION, ensure_automation, is_silent, look_for_dead_runs
from flows.server import PrefectServer, up

PROJECT = Path(__file__).resolve().parents[2] / "deploy" / "prefect.yaml"
LIMIT = yaml.safe_load(PROJECT.read_text())["definitions"]["concurrency"]
HOURS = 12
WITHIN_S = 10  # the shortest that Prefect takes; the file's own is longer


@flow
def hourly() -> None:
    pass


@pytest.fixture
def deployment(prefect: SyncPrefectClient) -> Iterator[UUID]:
    """One with the limit that deploy/prefect.yaml gives to each."""
    limit = ConcurrencyLimitConfig(**LIMIT)
    made = prefect.create_deployment(
        flow_id=prefect.create_flow(hourly),
        name="hourly",
        tags=["detseg"],
        concurrency_limit=limit.limit,
        concurrency_options={
            "collision_strategy": limit.collision_strategy,
            "grace_period_seconds": limit.grace_period_seconds,
        },
    )
    yield made
    prefect.delete_deployment(made)


def late_runs(prefect: SyncPrefectClient, deployment: UUID, n: int) -> list[FlowRun]:
    now = datetime.now(UTC)
    states = [Late(scheduled_time=now - timedelta(hours=hours)) for hours in range(n, 0, -1)]
    return [
        prefect.create_flow_run_from_deployment(deployment, state=state, tags=["detseg"]) for state in states
    ]


def propose(prefect: SyncPrefectClient, run: FlowRun) -> str:
    """What a worker asks before it starts a run, and what the run is then."""
    prefect.set_flow_run_state(run.id, Pending())
    return str(prefect.read_flow_run(run.id).state_name)


def test_twelve_hours_without_a_worker_are_one_run(prefect: SyncPrefectClient, deployment: UUID) -> None:
    states = [propose(prefect, run) for run in late_runs(prefect, deployment, HOURS)]
    assert states == ["Pending"] + ["Cancelled"] * (HOURS - 1)


def test_a_prefect_that_does_not_answer_is_a_line_of_doctor(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            check = look_for_dead_runs(tmp_path / "state")
    assert not check.ok
    assert check.found.startswith(f"Prefect at {url} does not answer: start it")
    with pytest.raises(ServiceError, match=f"Prefect at {url} does not answer: start it"):
        ensure_automation(PrefectServer(url, url, 1, private_folder(tmp_path / "prefect")))


def automation(prefect: SyncPrefectClient) -> UUID:
    """That of flows/dead_runs.json, with less patience."""
    written = json.loads(AUTOMATION.read_text())
    written["trigger"]["within"] = WITHIN_S
    return prefect.create_automation(AutomationCore.model_validate(written))


def test_the_server_gets_its_automation_once(prefect: SyncPrefectClient, prefect_state: Path) -> None:
    wanted, server = AutomationCore.model_validate_json(AUTOMATION.read_text()), up(prefect_state)
    ensure_automation(server)
    (made,) = prefect.read_automations_by_name(wanted.name)
    try:
        assert made.enabled
        older = {"description": "of an older version", "enabled": False}
        prefect.update_automation(made.id, wanted.model_copy(update=older))
        ensure_automation(server)
        (renewed,) = prefect.read_automations_by_name(wanted.name)
        assert renewed.id == made.id
        assert renewed.description == wanted.description
        assert not renewed.enabled  # its user switched it off
    finally:
        prefect.delete_automation(made.id)


def test_a_run_that_is_killed_crashes_and_the_next_one_begins(
    prefect: SyncPrefectClient, deployment: UUID, prefect_state: Path
) -> None:
    dead, following = late_runs(prefect, deployment, 2)
    made = automation(prefect)
    try:
        assert propose(prefect, dead) == "Pending"
        prefect.set_flow_run_state(dead.id, Running())
        assert look_for_dead_runs(prefect_state).ok  # it has just begun
        later = datetime.now(UTC) + timedelta(minutes=10)
        assert is_silent(prefect, prefect.read_flow_run(dead.id), later)
        emit_event(
            event="prefect.flow-run.heartbeat",
            resource={"prefect.resource.id": f"prefect.flow-run.{dead.id}"},
            related=[{"prefect.resource.id": "prefect.tag.detseg", "prefect.resource.role": "tag"}],
        )
        while (state := prefect.read_flow_run(dead.id).state_name) == "Running":
            time.sleep(0.2)
        assert state == "Crashed"
        assert propose(prefect, following) == "Pending"
    finally:
        prefect.delete_automation(made)
