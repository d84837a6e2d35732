"""Flows that a command runs itself: the work is done in its own thread, Prefect's part in another one.

So a Prefect server that dies or hangs in the middle of a run costs the record of the run, not the run: when
the work is done, Prefect has a few seconds to write down how it ended, and the command goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import ContextVar, copy_context
from copy import copy
from functools import WRAPPER_ASSIGNMENTS, partial, update_wrapper
from pathlib import Path
from threading import Thread
from typing import Any, Generic, ParamSpec, TypeVar

import httpx
from prefect import Flow, get_run_logger, tags
from prefect.context import TagsContext
from prefect.settings import PREFECT_API_URL
from prefect.utilities.engine import capture_sigterm

from detseg.errors import ServiceError
from detseg.waits import waiting
from flows.server import prefect_api
from flows.terminal import give_up_reports

P = ParamSpec("P")
R = TypeVar("R")

TAG = "detseg"
"""Of every run of ours, also of the deployments."""

_BEGIN_S = 120.0
_RECORD_S = 10.0

_steps: ContextVar[list[Callable[[], object]] | None] = ContextVar("_steps", default=None)


def run_recorded(
    note: Callable[[str], None], state_dir: Path, flow: Flow[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Return what the flow returns, as a run of the Prefect API that there is for that state folder."""
    with prefect_api(state_dir):
        return run_flow(note, flow, *args, **kwargs)


def run_flow(note: Callable[[str], None], flow: Flow[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return what the flow returns, also where Prefect can no longer record it; ``note`` hears that then.

    Raises what the flow raises, and what keeps Prefect from beginning.
    """
    work: Future[Callable[[], R]] = Future()
    answer: Future[R] = Future()
    record: Future[R] = Future()
    attend = partial(_settle, record, partial(_split(flow, work, answer), *args, **kwargs))
    with tags(TAG):
        Thread(target=copy_context().run, args=(attend,), name="prefect", daemon=True).start()
    both: tuple[Future[Any], ...] = (work, record)
    prefect = f"Prefect at {PREFECT_API_URL.value()}"
    with waiting(f"{prefect} to begin the run", longest_s=_BEGIN_S):
        wait(both, timeout=_BEGIN_S, return_when=FIRST_COMPLETED)
    if record.done():
        return record.result()
    if not work.done():
        give_up_reports()
        raise ServiceError(f"{prefect} does not answer: look at it, or start it again")
    with capture_sigterm():
        _settle(answer, work.result())
        with waiting(f"{prefect} to record how the run ended", longest_s=_RECORD_S):
            wait((record,), timeout=_RECORD_S)
        if not record.done() or record.exception() not in (None, answer.exception()):
            give_up_reports()
            note(f"{prefect} does not answer any more: it has no record of how this run ended")
        return answer.result()


def after_work(step: Callable[[], object]) -> None:
    """Do something for the record of the current flow run, for which its work does not wait."""
    steps = _steps.get()
    if steps is None:
        _try(step)
    else:
        steps.append(step)


def _split(flow: Flow[P, R], work: Future[Callable[[], R]], answer: Future[R]) -> Flow[P, R]:
    """The flow with a body that hands the work over and waits for its answer."""
    split = copy(flow)
    split.fn = _Body(flow.fn, work, answer)
    return split


class _Body(Generic[P, R]):
    """Stands in a flow for the function that does its work; what a Dask worker gets is that function."""

    def __init__(self, fn: Callable[P, R], work: Future[Callable[[], R]], answer: Future[R]) -> None:
        update_wrapper(self, fn, assigned=(*WRAPPER_ASSIGNMENTS, "__globals__"))
        self._fn, self._work, self._answer = fn, work, answer

    def __reduce__(self) -> tuple[Callable[[Callable[P, R]], Callable[P, R]], tuple[Callable[P, R]]]:
        return _itself, (self._fn,)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        steps: list[Callable[[], object]] = []
        _steps.set(steps)
        with TagsContext(current_tags=set()):  # for each tag of a task, Prefect has to be asked for a place
            self._work.set_result(partial(copy_context().run, self._fn, *args, **kwargs))
        result = self._answer.result()
        for step in steps:
            _try(step)
        return result


def _itself(fn: Callable[P, R]) -> Callable[P, R]:
    return fn


def _settle(future: Future[R], call: Callable[[], R]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001  (raised again where the future is asked)
        future.set_exception(error)


def _try(step: Callable[[], object]) -> None:
    try:
        step()
    except httpx.HTTPError as error:
        get_run_logger().warning("Prefect did not take a part of the record: %s", error)
