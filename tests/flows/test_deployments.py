"""Every deployment of deploy/prefect.yaml, through Prefect's own loader, scheduler and command."""

import asyncio
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect import __version__, flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import load_flow_from_entrypoint
from prefect.server.schemas.schedules import CronSchedule as ServerCronSchedule

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "deploy" / "prefect.yaml"
PROJECT: dict[str, Any] = yaml.safe_load(FILE.read_text())
DEPLOYMENTS: list[dict[str, Any]] = PROJECT["deployments"]
SCHEDULER_S = 120.0  # at most, on a busy machine


def by_entrypoint(deployment: dict[str, Any]) -> str:
    return str(deployment["entrypoint"])


def test_there_is_a_deployment_of_every_flow() -> None:
    assert [deployment["entrypoint"] for deployment in DEPLOYMENTS] == [
        "flows/preannotate.py:preannotate",
        "flows/collect.py:collect",
        "flows/evaluate.py:evaluate",
        "flows/retrain.py:retrain",
        "flows/nightly.py:nightly",
    ]
    assert PROJECT["prefect-version"] == __version__


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=by_entrypoint)
def test_its_entrypoint_loads_and_takes_its_parameters(
    deployment: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    assert flow.name == deployment["entrypoint"].rpartition(":")[2]
    assert flow.validate_parameters(deployment["parameters"])["config"] == Path("detseg.toml")


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=by_entrypoint)
def test_its_schedule_fires_once_a_night_or_hour(deployment: dict[str, Any]) -> None:
    (given,) = deployment["schedules"]
    schedule = {name: value for name, value in given.items() if name != "active"}
    assert CronSchedule(**schedule).cron == schedule["cron"]
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    dates = asyncio.run(ServerCronSchedule(**schedule).get_dates(n=2, start=midnight))
    gap_h = (dates[1] - dates[0]).total_seconds() / 3600
    assert gap_h == (1 if deployment["name"] == "hourly" else 24)


def test_no_place_of_this_machine_is_in_it() -> None:
    assert not re.search(r"(^|[\s\"'=])/\w", re.sub(r"\w+://\S+", "", FILE.read_text()))


@pytest.mark.usefixtures("prefect_url")
def test_prefect_deploys_all_of_them(prefect_environment: dict[str, str]) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    env = own | prefect_environment
    command = ["--no-prompt", "deploy", "--all", "--prefect-file", "deploy/prefect.yaml"]
    with get_client(sync_client=True) as client:
        for pool in ("detseg", "detseg-gpu"):
            client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *command], cwd=ROOT, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = {deployment.entrypoint: deployment for deployment in client.read_deployments()}
    assert set(found) == {deployment["entrypoint"] for deployment in DEPLOYMENTS}
    for deployment in found.values():
        trains = deployment.name == "retrain"
        assert deployment.work_pool_name == ("detseg-gpu" if trains else "detseg")
        assert deployment.parameters == {"config": "detseg.toml"}
        assert [schedule.active for schedule in deployment.schedules] == [deployment.name != "all"]
        assert deployment.global_concurrency_limit is not None
        assert deployment.global_concurrency_limit.limit == 1


def test_the_server_plans_the_runs_of_a_schedule(prefect_url: str) -> None:
    assert prefect_url.startswith("http://127.0.0.1:")
    with get_client(sync_client=True) as client:
        schedule = CronSchedule(cron="30 * * * *", timezone="Europe/Berlin")
        made = client.create_deployment(
            flow_id=client.create_flow(hourly),
            name="planned",
            schedules=[DeploymentScheduleCreate(schedule=schedule, active=True)],
        )
        try:
            planned = planned_runs(client, made)
        finally:
            client.delete_deployment(made)
    assert len(planned) > 1
    assert all(run.expected_start_time and run.expected_start_time.minute == 30 for run in planned)


@flow
def hourly() -> None:
    pass


def planned_runs(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    """The runs that the server's scheduler, which looks for new schedules every few seconds, has made."""
    wanted = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    ends = time.monotonic() + SCHEDULER_S
    while not (runs := client.read_flow_runs(deployment_filter=wanted)) and time.monotonic() < ends:
        time.sleep(0.5)
    return runs
