"""Retries: which errors are tried again, a few times with growing pauses, and which wait for the next run."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.states import Completed
from prefect.tasks import Task

from detseg.errors import LockHeld, Silent, Unreachable

RETRIED = (Unreachable,)
"""Nobody answered. Everything else (a refusal, a broken model, a full disk) is the same the next time."""

NOT_RETRIED = (Silent,)
"""It took a minute and more to know, and the next scheduled run goes on where this one was."""

PAUSES_S = (1.0, 3.0, 9.0)


def is_worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell whether the task run failed with one of ``RETRIED`` but none of ``NOT_RETRIED``."""
    return isinstance(state.data, RETRIED) and not isinstance(state.data, NOT_RETRIED)


RETRY_IO: dict[str, Any] = {
    "retries": len(PAUSES_S),
    "retry_delay_seconds": list(PAUSES_S),
    "retry_condition_fn": is_worth_retrying,
}
"""Options of a task that talks to a server. What it does has to be safe to do again."""


def skip_while_held(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook: a scheduled run that another run kept from what it waited for was skipped, and has not failed.

    The next one does all that there is to do. Whoever started a run by hand gets the error.
    """
    del flow
    error = state.result(raise_on_failure=False)
    if flow_run.deployment_id is not None and isinstance(error, LockHeld):
        skipped: State[Any] = Completed(name="Skipped", message=str(error))
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run.id, skipped, force=True)
