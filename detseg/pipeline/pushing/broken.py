"""Tasks at which the server fails (HTTP 500), told from a server that fails altogether.

A task may hold what its server keeps and then cannot show, and every run would end there. So it is left out
and said, and the others go on. Where many fail one after another it is the server, and the run ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from detseg.errors import BrokenAnswer

MOST_IN_A_ROW = 10


@dataclass(slots=True)
class BrokenTasks:
    """Counts, from several threads, the tasks at which the server failed since something worked."""

    _n_in_a_row: int = 0
    _lock: Any = field(default_factory=Lock, repr=False)

    def failed(self, error: BrokenAnswer, url: str, task: int | None) -> str:
        """Return the reason for the report. Raises the error where so many failed in a row.

        ``url`` is that of the project's page, and ``task`` None for one that was to be made.
        """
        with self._lock:
            self._n_in_a_row += 1
            if self._n_in_a_row >= MOST_IN_A_ROW:
                raise error
        which = f"is task {task} ({url}?task={task})" if task else f"was to be a new task of {url}"
        return (
            f"{which}, at which the server fails: {error}. The next run tries it again; if it fails there "
            "too, look into the server's log, or delete that task"
        )

    def worked(self) -> None:
        """Take note that something was done with one or more tasks."""
        with self._lock:
            self._n_in_a_row = 0
