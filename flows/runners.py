"""Where the tasks of a flow run, by name: threads of this process, or a Dask cluster."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar, cast

from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from detseg.errors import ConfigError

Value = TypeVar("Value")

THREADS = "threads"
DASK = "dask"

_N_THREADS = 2  # one shard is read and recorded while the other is predicted


def task_runner(name: str) -> TaskRunner[PrefectFuture[Any]]:
    """The task runner of that name, for ``preannotate.with_options(task_runner=task_runner("dask"))``.

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
        raise ConfigError(f"the task runner {name!r} needs a package: pip install prefect-dask==0.3.7")
    made: TaskRunner[Any] = import_module("prefect_dask").DaskTaskRunner(address=address or None)
    return made


def unsearched(value: Value) -> Value:
    """A task's argument that Prefect passes on as it is, instead of looking through it for futures.

    For 100,000 references the search takes seconds.
    """
    return cast(Value, quote(value))
