"""Flows that are called from a program of ours rather than by a worker: which API, and a quiet terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.logging.handlers import APILogWorker, PrefectConsoleHandler
from prefect.settings import PREFECT_API_URL, temporary_settings

_DRAIN_TIMEOUT_S = 10.0


def chosen_api() -> str | None:
    """The Prefect API that the user chose: PREFECT_API_URL, a profile, prefect.toml. None if none."""
    url: str | None = PREFECT_API_URL.value()
    return url


@contextmanager
def reporting_to(api_url: str, *, log: Path) -> Iterator[None]:
    """Flows called in this context report to that API; their log lines go there and to the file.

    On leaving, what is still queued for the server is sent first: it may be about to stop.
    """
    with _console_to_file(log), temporary_settings({PREFECT_API_URL: api_url}):
        try:
            yield
        finally:
            # Drains every queue of Prefect's that reports to a server, the one of events included.
            APILogWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)


@contextmanager
def _console_to_file(log: Path) -> Iterator[None]:
    """Put a log file where Prefect's console handler is, and back."""
    root = logging.getLogger()
    consoles = [handler for handler in root.handlers if isinstance(handler, PrefectConsoleHandler)]
    file = logging.FileHandler(log, encoding="utf-8", delay=True)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for handler in consoles:
        root.removeHandler(handler)
    root.addHandler(file)
    try:
        yield
    finally:
        root.removeHandler(file)
        file.close()
        for handler in consoles:
            root.addHandler(handler)
