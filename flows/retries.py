"""Retries: which errors are tried again, a few times with growing pauses, and which wait for the next run."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from detseg.errors import Silent, Unreachable

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
