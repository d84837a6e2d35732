"""The output of a command: one JSON object or a short text on stdout, progress on stderr for a terminal.

Nothing else in detseg prints. Control characters in names from outside are shown as escapes.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from detseg.errors import DetsegError
from detseg.escaping import escape_controls, escape_json

if TYPE_CHECKING:
    from detseg.models.agreement import Agreement
    from detseg.pipeline.outcome import Line

EXIT_QUARANTINED = 3

_LONGEST = 900  # letters of a line
_MOST_LEFT_OUT = 10


def print_json(result: Mapping[str, Any]) -> None:
    """The whole answer of a command on stdout."""
    text = escape_json(json.dumps(result, ensure_ascii=False, indent=2, allow_nan=False))
    _copy_to_stdout(io.BytesIO(f"{text}\n".encode()))


@contextmanager
def answer_refusals(as_json: bool, *, reasons: str = "reasons", **answer: Any) -> Iterator[None]:
    """With ``--json``, what is refused is an answer, too: those fields, and the reason under ``reasons``.

    The error goes on to stderr and the exit code, as without.
    """
    try:
        yield
    except DetsegError as error:
        if as_json:
            print_json({**answer, reasons: [str(error)]})
        raise


def print_file(path: Path) -> None:
    """A JSON file as the whole answer of a command on stdout, without reading it into memory."""
    with path.open("rb") as file:
        _copy_to_stdout(file)


def _copy_to_stdout(file: IO[bytes]) -> None:
    """JSON is UTF-8 wherever it goes, whatever the terminal's encoding is."""
    sys.stdout.flush()
    shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def say(text: str = "") -> None:
    """A line for people on stdout."""
    print(escape_controls(text), flush=True)


def note(text: str) -> None:
    """A line for people on stderr, whatever stdout is used for."""
    print(escape_controls(text), file=sys.stderr)


def print_lines(lines: Iterable[Line]) -> None:
    """The lines of a run, warnings on stderr."""
    for line in lines:
        (note if line.is_warning else say)(line.text)


def shortened(text: str) -> str:
    """A text that is no longer than a screen bears: names from outside may have thousands of letters."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


def figure(value: float | None, digits: int = 3) -> str:
    """A number for people; what is undefined is n/a."""
    return "n/a" if value is None else f"{value:.{digits}f}"


_NARROWEST = 16
"""Letters of a table's names, where the figures leave them less."""


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table on stdout: the first column is a name, the others are figures.

    Long names are folded in the width of the terminal; figures are whole, also where they are wider.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for n, header in enumerate(headers):
        made.add_column(header, justify="left" if n == 0 else "right", no_wrap=n > 0)
    for row in rows:
        made.add_row(*(Text(escape_controls(cell)) for cell in row))
    console = Console(soft_wrap=True)
    widths = [max(map(cell_len, column)) + 2 for column in zip(headers, *rows, strict=True)]
    console.width = max(console.width, sum(widths[1:]) + min(widths[0], _NARROWEST))
    console.print(made)


def print_failures(failures: Sequence[tuple[str, str]]) -> None:
    """Name on stderr the images that could not be used, with one line for a reason that many share."""
    from detseg.pipeline.outcome import describe_failures

    print_lines(describe_failures(failures))


def note_left_out(images: Sequence[str]) -> None:
    """Name on stderr the first images that are left out, each with its reason, and say how many more are."""
    for line in images[:_MOST_LEFT_OUT]:
        note(f"left out: {line}")
    if len(images) > _MOST_LEFT_OUT:
        note(f"left out: {len(images) - _MOST_LEFT_OUT:,} more (--json names them all)")


def note_models(unmapped: Mapping[str, int], check: Agreement | None) -> None:
    """Print notes on the models of a run to stderr: labels left out, what a precision changed."""
    from detseg.pipeline.outcome import describe_models

    print_lines(describe_models(unmapped, check))
