"""Runs that Prefect believes to be running, although nothing was heard of them: their process was killed.

An automation at Prefect (``dead_runs.json``) marks them as crashed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.events.schemas.automations import AutomationCore

from detseg.errors import DetsegError
from detseg.pipeline.doctor import Check
from flows.credential import read_or_make_credential
from flows.recording import TAG
from flows.server import PrefectServer, find_api, prefect_api
from flows.terminal import HEARTBEAT_S, reporting_to

AUTOMATION = Path(__file__).with_name("dead_runs.json")

_NAME = "Prefect runs"
_SILENT = timedelta(seconds=4 * HEARTBEAT_S)


def ensure_automation(server: PrefectServer) -> None:
    """Let that server mark dead runs by itself. What its user switched off stays off. Raises ServiceError."""
    wanted = AutomationCore.model_validate_json(AUTOMATION.read_text(encoding="utf-8"))
    credential = read_or_make_credential(server.home)
    with (
        reporting_to(server.api_url, credential=credential, log=server.home / "flows.log"),
        get_client(sync_client=True) as client,
    ):
        found = client.read_automations_by_name(wanted.name)
        if not found:
            client.create_automation(wanted)
        elif found[0].description != wanted.description:  # of an older version
            client.update_automation(found[0].id, wanted.model_copy(update={"enabled": found[0].enabled}))


def look_for_dead_runs(state_dir: Path) -> Check:
    """The check of ``detseg doctor``. It starts no server."""
    if find_api(state_dir) is None:
        return Check(_NAME, True, "no Prefect server runs")
    try:
        with prefect_api(state_dir), get_client(sync_client=True) as client:
            runs = _running(client)
            dead = [run for run in runs if is_silent(client, run, datetime.now(UTC))]
    except DetsegError as error:
        return Check(_NAME, False, str(error), "detseg down, then detseg up")
    if not dead:
        return Check(_NAME, True, f"{len(runs)} running")
    names = ", ".join(f"{run.name} ({run.id})" for run in dead)
    return Check(
        _NAME,
        False,
        f"no sign of life for {_SILENT.seconds} s: {names}",
        "prefect flow-run delete ID; `detseg up` lets its server mark such runs by itself, and "
        f"`prefect automation create --from-file {AUTOMATION}` any other one",
    )


def _running(client: SyncPrefectClient) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
            tags=FlowRunFilterTags(all_=[TAG]),
        )
    )


def is_silent(client: SyncPrefectClient, run: FlowRun, now: datetime) -> bool:
    """Tell whether the run began some time ago and gave no sign of life since."""
    if run.start_time is None or run.start_time > now - _SILENT:
        return False
    signs = EventFilter(
        event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
        occurred=EventOccurredFilter.model_validate({"since": now - _SILENT, "until": now}),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
    )
    return not client.read_events(signs, limit=1).events
