"""Flows that are called from a program of ours rather than by a worker: which API, and a quiet terminal."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from prefect._internal.concurrency.services import _active_services
from prefect.events.clients import NullEventsClient
from prefect.events.worker import EventsWorker
from prefect.logging.configuration import ensure_logging_setup
from prefect.logging.handlers import APILogWorker, PrefectConsoleHandler, set_api_log_sink
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from detseg.errors import ServiceError
from detseg.escaping import escape_controls
from detseg.files import open_private

_DRAIN_TIMEOUT_S = 10.0
HEARTBEAT_S = 30
"""Between a run's signs of life; deploy/ sets the same for workers."""

_given_up = threading.Event()
_N_RETRIES = 1  # of a request, after 2 s: a server that is down costs the record of a run, not the run


@contextmanager
def reporting_to(api_url: str, *, credential: str | None, log: Path) -> Iterator[None]:
    """Flows called in this context report to that API; their log lines go there and to the file.

    Without a credential, with the one that the user has set for Prefect. On leaving, what is still queued for
    the server is sent first, within a time: it may be about to stop, or have stopped.
    """
    settings: dict[Any, Any] = {
        PREFECT_API_URL: api_url,
        PREFECT_CLIENT_MAX_RETRIES: _N_RETRIES,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: HEARTBEAT_S,
    }
    if credential is not None:
        settings[PREFECT_API_AUTH_STRING] = credential
    _given_up.clear()
    EventsWorker.set_client_override(None)
    set_api_log_sink(None)
    with _console_to_file(log), temporary_settings(settings):
        try:
            yield
        except (RuntimeError, httpx.HTTPError) as error:  # Prefect has no errors of its own for these
            reason = _reason(error, api_url)
            if reason is None:
                raise
            raise ServiceError(f"Prefect at {api_url} {reason}") from error
        finally:
            # Drains every queue of Prefect's that reports to a server, the one of events included.
            drained = APILogWorker.drain_all(timeout=0.0 if _given_up.is_set() else _DRAIN_TIMEOUT_S)
            if not isinstance(drained, tuple) or drained[1]:
                give_up_reports()


def _reason(error: Exception, api_url: str) -> str | None:
    """Say why Prefect did not take a request, and what to do; None for what is no matter of its server's."""
    ours = isinstance(error, httpx.HTTPError) and str(error.request.url).startswith(api_url)
    if "Failed to reach API" in str(error) or (ours and isinstance(error, httpx.TransportError)):
        return "does not answer: start it, or unset PREFECT_API_URL to use one of our own"
    if ours and isinstance(error, httpx.HTTPStatusError):
        if error.response.status_code == HTTPStatus.UNAUTHORIZED:
            return "does not let us in: set PREFECT_API_AUTH_STRING to the user:password that it was given"
        return f"refused: {error.response.status_code} {error.response.text[:200]}"
    return None


def give_up_reports() -> None:
    """Forget what Prefect's queues hold for a server that does not answer, and all that follows.

    Else the program does not end before each event has been tried, for seconds.
    """
    _given_up.set()
    logging.getLogger("prefect._internal").addHandler(logging.NullHandler())  # where they complain
    EventsWorker.set_client_override(NullEventsClient)
    set_api_log_sink(lambda _: None)
    for service in tuple(_active_services):
        if service._loop is not None and service._task is not None:
            service._loop.call_soon_threadsafe(service._task.cancel)


@contextmanager
def _console_to_file(log: Path) -> Iterator[None]:
    """Put a log file where Prefect's handlers for the terminal are, and back."""
    ensure_logging_setup()  # makes these handlers, if no import of Prefect has
    root, internal = logging.getLogger(), logging.getLogger("prefect._internal")
    consoles: list[tuple[logging.Logger, logging.Handler]] = [
        (root, handler) for handler in root.handlers if isinstance(handler, PrefectConsoleHandler)
    ]
    consoles += [(internal, handler) for handler in internal.handlers]
    with io.TextIOWrapper(open_private(log), encoding="utf-8", write_through=True) as file:
        to_file = logging.StreamHandler(file)
        to_file.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        for logger, handler in consoles:
            logger.removeHandler(handler)
        root.addHandler(to_file)
        internal.addHandler(to_file)
        raises, logging.raiseExceptions = (
            logging.raiseExceptions,
            False,
        )  # no news of a line that was not sent
        try:
            yield
        finally:
            logging.raiseExceptions = raises
            internal.removeHandler(to_file)
            root.removeHandler(to_file)
            for logger, handler in consoles:
                if logger is root or not _given_up.is_set():
                    logger.addHandler(handler)


class _OneLine(logging.Formatter):
    """An entry is one line, with an indented traceback: no name in it can forge another entry."""

    def format(self, record: logging.LogRecord) -> str:
        record.message, record.asctime = record.getMessage(), self.formatTime(record)
        lines = [self.formatMessage(record)]
        if record.exc_info:
            lines += [f"    {line}" for line in self.formatException(record.exc_info).split("\n")]
        return "\n".join(map(escape_controls, lines))
