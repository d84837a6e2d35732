"""How a scheduled run says what came of it: in its log, and by how it ends.

Whoever runs a command sees its lines and its exit code. Nobody looks at a run at night that ended well.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from prefect import Flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.states import Completed

from detseg.errors import DetsegError, FellShort
from detseg.pipeline.outcome import Line
from detseg.pipeline.preannotate import PreannotateReport


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


def fall_short(*reasons: str | None) -> None:
    """Fail the current run at its end, if a deployment began it, where a command would not exit with 0.

    Whoever runs a command gets its report, and a part of a night leaves it to the night.
    """
    said = [reason for reason in reasons if reason is not None]
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    if said and run is not None and run.deployment_id is not None:
        raise FellShort(f"done, but {'; '.join(said)}")


def name_empty(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook: a scheduled run that found a source without images ends as completed under a name of its own.

    An emptied folder is no error, and one that is not mounted looks the same.
    """
    del flow
    report = state.result(raise_on_failure=False)
    if flow_run.deployment_id is not None and isinstance(report, PreannotateReport) and not report.scanned:
        empty: State[Any] = Completed(
            name="No images", message="the source holds no images: is it the right place, and mounted?"
        )
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run.id, empty, force=True)
