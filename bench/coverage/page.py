"""``docs/coverage.md``: the table of all set-ups, of which a run may renew some."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from bench.coverage.frame import Row, Setup

Cells = tuple[str, ...]

_INTRODUCTION = """\
# How often intervals hold

Every figure of `detseg qa` stands with its 95 % interval. This page says how often such intervals hold the
truth: in made projects, where it is known. The truth is what a project was drawn by, or the figure of a
project so large that it has no error of its own; it is never taken from the estimates. `make coverage`
writes the tables anew: some set-ups with `make coverage ONLY=shares`, other projects with `SEED=2`, more of
them with `N=5000`.

A figure that is not shown is no miss, so *shown* says how often it is. *Held* should be 95 %: of 1,000
trials, 93.6 to 96.4 % are that but for chance. *Too low* are the intervals that lie below the truth,
*width* is their mean width, and *bias* the mean of figure minus truth. Where the truth is 1, or hardly a
project shows a figure, intervals hold in all trials.
"""

_JOINED = "\N{NO-BREAK SPACE}"

_HELD = {"interval": 3, "alarm": 2, "find": 2, "no better": 2, "better": 2}
"""The column of the figure that a group is summed up by."""

_HEADER = {
    "interval": ("set-up", "trials", "shown", "held", "too low", "width", "bias"),
    "alarm": ("set-up, nothing has changed", "projects", "false alarms"),
    "find": ("set-up, something has changed", "projects", "found"),
    "no better": ("set-up, the candidate is no better", "candidates", "promoted"),
    "better": ("set-up, the candidate is better", "candidates", "promoted"),
}


def write_page(rows: Iterable[Row], setups: Iterable[Setup], page: Path) -> None:
    """Write the page: new rows, and those that it has of set-ups that were not run."""
    cells = read_cells(page.read_text()) if page.exists() else {}
    cells |= {(row.group, row.name): row_cells(row) for row in rows}
    page.write_text(render(cells, setups))


def read_cells(text: str) -> dict[tuple[str, str], Cells]:
    """The rows of a page that was written before, by group and name."""
    found: dict[tuple[str, str], Cells] = {}
    group = ""
    for line in text.splitlines():
        if line.startswith("## "):
            group = line[3:]
        elif line.startswith("|") and group:
            cells = tuple(cell.strip() for cell in line.replace(_JOINED, " ").strip("|").split("|"))
            found[group, cells[0]] = cells
    return found


def render(cells: Mapping[tuple[str, str], Cells], setups: Iterable[Setup]) -> str:
    """The page of those rows, in the order of the set-ups."""
    parts = [_INTRODUCTION]
    for group, members in groupby(setups, key=lambda setup: setup.group):
        entries = list(members)
        header = _HEADER[entries[0].kind]
        known = [cells[group, one.name] for one in entries if (group, one.name) in cells]
        if known:
            at = _HELD[entries[0].kind]
            ends = f"{header[at].capitalize()}: {_ends([line[at] for line in known])}"
            lines = [header, ("---", *("--:" for _ in header[1:])), *map(_join_words, known)]
            table = [f"| {' | '.join(line)} |" for line in lines]
            parts.append("\n".join([f"## {group}", "", f"{ends} in {len(known)} set-ups.", "", *table, ""]))
    return "\n".join(parts)


def _ends(percents: Sequence[str]) -> str:
    known = sorted((p for p in percents if p != "n/a"), key=lambda p: float(p.split()[0]))
    return f"{known[0]} to {known[-1]}" if known else "n/a"


def _join_words(cells: Cells) -> Cells:
    """Let the name of a set-up break at its commas alone: the column is narrow."""
    return ", ".join(part.replace(" ", _JOINED) for part in cells[0].split(", ")), *cells[1:]


def row_cells(row: Row) -> Cells:
    """The cells of one row.

    >>> row_cells(Row("Shares", "half", "interval", 1000, 900, 855, 20, 0.1234, -0.001))
    ('half', '1,000', '90.0 %', '95.0 %', '2.2 %', '0.123', '-0.001')
    """
    if row.kind == "find":
        return row.name, f"{row.n_trials:,}", _percent(row.n_held, row.n_trials)
    if row.kind in ("alarm", "no better", "better"):  # those that raised it, or were promoted
        return row.name, f"{row.n_trials:,}", _percent(row.n_trials - row.n_held, row.n_trials)
    shares = (
        _percent(row.n_shown, row.n_trials),
        _percent(row.n_held, row.n_shown),
        _percent(row.n_low, row.n_shown),
    )
    return row.name, f"{row.n_trials:,}", *shares, _number(row.width), _number(row.bias, "+")


def _percent(part: int, of: int) -> str:
    return f"{part / of:.1%}".replace("%", " %") if of else "n/a"


def _number(value: float, sign: str = "") -> str:
    return "n/a" if math.isnan(value) else f"{value:{sign}.3f}"
