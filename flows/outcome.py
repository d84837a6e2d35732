"""How a scheduled run says what came of it: by its name, in its log, and by how it ends.

Whoever runs a command sees its lines and its exit code. Nobody looks at a run at night that ended well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar, cast

from prefect import get_run_logger
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.states import Completed

from detseg.config import Settings
from detseg.errors import DetsegError, FellShort, LockHeld
from detseg.pipeline.outcome import Line
from detseg.pipeline.preannotate import PreannotateReport
from flows.parameters import run_settings

R = TypeVar("R")


def run_name(words: Callable[[Settings], str]) -> Callable[[], str]:
    """A namer of flow runs by their settings.

    Where those cannot be read, a run has the name of its flow: its work raises the same error, and fails with
    it. Prefect lets a run without a name crash, with no reason in its state.
    """

    def name() -> str:
        given = flow_run.parameters
        try:
            return words(run_settings(given.get("config"), given.get("overrides")))
        except DetsegError:
            return str(flow_run.flow_name)

    return name


def log_lines(lines: Iterable[Line]) -> None:
    """Write the lines that a command ends with into the log of the current run."""
    for line in lines:
        get_run_logger().log(logging.WARNING if line.is_warning else logging.INFO, "%s", line.text.strip())


class _Traceless(logging.Filter):
    """Takes the traceback from an error of ours: its line says what, where and what to do.

    Prefect writes it two or three times, 265 lines for a server that does not answer. Other errors are bugs
    and keep it, and PREFECT_LOGGING_LEVEL=DEBUG shows all.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, DetsegError) and not logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            said = record.getMessage()
            record.msg, record.args = said if str(error) in said else f"{said}: {error}", ()
            record.exc_info = record.exc_text = None
        return True


for _runs in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_runs).addFilter(_Traceless())


def ending(run: Callable[[], R]) -> R:
    """Return what a flow's work returns, or let a scheduled run end under a name of its own.

    Where another run kept what it waited for, it was skipped: the next one does all that there is to do. A
    source without images is no error, and one that is not mounted looks the same. Both are its first and only
    end: an automation that waits for failed runs hears of neither. Whoever runs a command gets error and
    report.
    """
    try:
        report = run()
    except LockHeld as error:
        if not _is_scheduled():
            raise
        return cast("R", Completed(name="Skipped", message=str(error)))  # a flow that returns a state ends so
    if _is_scheduled() and isinstance(report, PreannotateReport) and not report.scanned:
        words = "the source holds no images: is it the right place, and mounted?"
        return cast("R", Completed(name="No images", message=words))
    return report


def fall_short(*reasons: str | None) -> None:
    """Fail the current run at its end, if a deployment began it, where a command would not exit with 0.

    Whoever runs a command gets its report, and a part of a night leaves it to the night.
    """
    said = [reason for reason in reasons if reason is not None]
    if said and _is_scheduled():
        raise FellShort(f"done, but {'; '.join(said)}")


def _is_scheduled() -> bool:
    """Tell whether a deployment began the current run."""
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    return run is not None and run.deployment_id is not None
