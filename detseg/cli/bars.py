"""Progress of the stages of a run: bars on stderr, where that is a terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from detseg.pipeline.progress import listening

_STAGES = {
    "make scenes": "making sample scenes",
    "scan": "reading images",
    "predict": "predicting",
    "plan": "planning the push",
    "look up": "looking up what was sent",
    "push": "pushing to Label Studio",
    "review": "reviewing (simulated)",
    "collect": "collecting reviews",
    "evaluate": "measuring",
    "report": "writing the report",
    "check": "looking for the images",
    "train": "training (percent)",
    "figures": "counting what is in it",
}


@contextmanager
def progress_bars() -> Iterator[None]:
    """Shows how far the stages are on stderr while the block runs; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars, listening(_Bars(bars)):
        yield
        for stage in bars.tasks:  # nobody said how many there are: now it is known
            bars.update(stage.id, total=stage.total or stage.completed)


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, *, advance: int = 0, total: int | None = None) -> None:
        with self._lock:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(_STAGES.get(stage, stage), total=None)
            if total is not None:
                self._bars.update(self._tasks[stage], total=total)
            if advance:
                self._bars.advance(self._tasks[stage], advance)
