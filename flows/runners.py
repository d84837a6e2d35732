"""Task runners by name: threads of this process, or a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from detseg.errors import ConfigError, ServiceError

Value = TypeVar("Value")

THREADS = "threads"
DASK = "dask"

_N_THREADS = 2  # one shard is read and recorded while the other is predicted
_LOCAL_CLUSTER: dict[str, Any] = {
    "n_workers": 2,
    "threads_per_worker": 1,
    "processes": True,
    "dashboard_address": None,  # it would listen on every address of the machine
    "host": "127.0.0.1",
    "silence_logs": logging.ERROR,
    "security": True,  # certificates for its own lifetime: whoever reaches a scheduler runs code there
    "protocol": "tls",
    "env": {"PREFECT_LOGGING_LEVEL": "ERROR", "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL"},
}


@contextmanager
def running_tasks(name: str) -> Iterator[TaskRunner[PrefectFuture[Any]]]:
    """The runner of that name, at work. Raises ServiceError where a task's workers die again and again."""
    runner = task_runner(name)
    died = import_module("distributed").KilledWorker if name.startswith(DASK) else ()
    try:
        with runner:
            yield runner
    except died as error:
        raise ServiceError(
            f"workers died of one shard (out of memory?), set a smaller shard_size: {error}"
        ) from error


def task_runner(name: str) -> TaskRunner[PrefectFuture[Any]]:
    """The task runner of that name.

    ``threads`` share one loaded model; ``dask`` is a temporary cluster on this machine and
    ``dask:<address>`` a running one, where every worker process loads its own. Raises ConfigError.
    """
    kind, _, address = name.partition(":")
    if name == THREADS:
        runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=_N_THREADS)
        return runner
    if kind != DASK:
        raise ConfigError(
            f"there is no task runner {name!r}; there are {THREADS}, {DASK} and {DASK}:<address>"
        )
    if find_spec("prefect_dask") is None:
        raise ConfigError(f"the task runner {name!r} needs a package: pip install 'detseg[dask]'")
    dask = partial(import_module("prefect_dask").DaskTaskRunner)
    made: TaskRunner[Any] = dask(address=address) if address else dask(cluster_kwargs=_LOCAL_CLUSTER)
    return made


class Unsearched(Generic[Value]):
    """A task's argument that Prefect and Dask pass on as it is, instead of looking through it for futures.

    For 100,000 references the search takes seconds. Prefect's own ``quote`` is a tuple, which Dask looks into
    and hands on as a plain one.
    """

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value
