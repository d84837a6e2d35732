"""What is tried again: errors that say so by their name, a few times, with growing pauses."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from detseg.errors import Unreachable

RETRIED = (Unreachable,)
"""Nobody answered. Everything else (a refusal, a broken model, a full disk) is the same the next time."""

PAUSES_S = (1.0, 3.0, 9.0)


def is_worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the task run failed with one of ``RETRIED``."""
    return isinstance(state.data, RETRIED)


RETRY_IO: dict[str, Any] = {
    "retries": len(PAUSES_S),
    "retry_delay_seconds": list(PAUSES_S),
    "retry_condition_fn": is_worth_retrying,
}
"""Options of a task that talks to a server. What it does has to be safe to do again."""
