"""``make coverage``: how often intervals hold the truth of made worlds, into ``docs/coverage.md``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.coverage.frame import Row, Setup, run
from bench.coverage.page import row_cells, write_page
from bench.coverage.registry import all_setups
from bench.processes import ROOT


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    every = list(all_setups())
    chosen = [setup for setup in every if _fits(setup, options.only)]
    if not chosen:
        print(f"coverage: no set-up has {' '.join(options.only)!r} in its name", file=sys.stderr)
        return 2
    rows: list[Row] = []
    for row in run(chosen, seed=options.seed, n_trials=options.trials, jobs=options.jobs):
        print(row.group, *row_cells(row), sep=" | ", flush=True)
        rows.append(row)
    print(summary(rows))
    if not options.no_page:
        write_page(rows, every, options.page)
        print(f"wrote {options.page}", file=sys.stderr)
    return 0


def summary(rows: Sequence[Row]) -> str:
    """The worst and the most wasteful set-up of each kind, in a line."""
    intervals = [row for row in rows if row.kind == "interval" and row.n_shown]
    alarms = [row for row in rows if row.kind == "alarm"]
    parts = []
    if intervals:
        worst = min(intervals, key=lambda row: row.coverage)
        most = max(intervals, key=lambda row: row.coverage)
        parts.append(f"held {worst.coverage:.1%} ({worst.name}) to {most.coverage:.1%} ({most.name})")
    if alarms:
        loudest = min(alarms, key=lambda row: row.coverage)
        parts.append(f"false alarms up to {1.0 - loudest.coverage:.1%} ({loudest.name})")
    return "; ".join(parts)


def _fits(setup: Setup, only: Sequence[str]) -> bool:
    name = f"{setup.group}: {setup.name}".casefold()
    return all(word.casefold() in name for word in only)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.coverage", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="set-ups with all these words in their names")
    parser.add_argument("--trials", type=int, help="of each set-up, in place of its own number")
    parser.add_argument("--seed", type=int, default=1, help="of the worlds that are drawn")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "coverage.md")
    parser.add_argument("--no-page", action="store_true", help="print the rows only")
    return parser


if __name__ == "__main__":
    sys.exit(main())
