"""What a command prints: one JSON object or a short text on stdout, progress on stderr for a terminal."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
from rich.table import Table

from detseg.models.agreement import Agreement
from detseg.pipeline.precision import describe_check
from detseg.pipeline.progress import listening

EXIT_QUARANTINED = 3

_STAGES = {
    "make scenes": "making sample scenes",
    "scan": "reading images",
    "predict": "predicting",
    "push": "pushing to Label Studio",
    "review": "reviewing (simulated)",
    "collect": "collecting reviews",
    "evaluate": "measuring",
}


def print_json(result: Mapping[str, Any]) -> None:
    """The whole answer of a command on stdout."""
    print(json.dumps(result, ensure_ascii=False, indent=2, allow_nan=False))


def print_file(file: Path) -> None:
    """A JSON file as the whole answer of a command on stdout, without reading it into memory."""
    with file.open(encoding="utf-8") as text:
        shutil.copyfileobj(text, sys.stdout)


def console() -> Console:
    """Text for people, on stdout."""
    return Console(highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """A line for people on stderr, whatever stdout is used for."""
    print(text, file=sys.stderr)


def counted(n: int, noun: str) -> str:
    """A number with its noun, which takes a plain -s."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def figure(value: float | None, digits: int = 3) -> str:
    """A number for people; what is undefined is n/a."""
    return "n/a" if value is None else f"{value:.{digits}f}"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table: the first column is a name, the others are figures."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for n, header in enumerate(headers):
        made.add_column(header, justify="left" if n == 0 else "right")
    for row in rows:
        made.add_row(*row)
    return made


def print_failures(failures: Sequence[tuple[str, str]], *, most: int = 10) -> None:
    """Which images could not be used and why, on stderr."""
    for uri, reason in failures[:most]:
        note(f"  {uri} {reason}")
    if len(failures) > most:
        note(f"  ... and {len(failures) - most} more (--json lists all)")


def note_models(unmapped: Mapping[str, int], check: Agreement | None) -> None:
    """What is to be known about the models of a run, on stderr: labels left out, what a precision changed."""
    if check is not None:
        note(describe_check(check))
    if unmapped:
        counted = ", ".join(f"{label} {n}" for label, n in sorted(unmapped.items()))
        note(f"left out, because no class takes them: {counted} (add them to [[classes]], or as aliases)")


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
