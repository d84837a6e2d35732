"""``make faults N=... SEED=...``: that many faults, one line each, a table at the end."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.e2e.faults.arena import arena
from tests.e2e.faults.kinds import KINDS
from tests.e2e.faults.plan import strike_all
from tests.e2e.faults.story import Verdict
from tests.leftovers import cleared

_HARMS = ("lost", "doubled", "human", "other")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("n", type=int, help="how many faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--grounds", type=int, default=2, help="how many servers, struck side by side")
    parser.add_argument("--only", type=int, help="the number of the one fault to strike again")
    parser.add_argument("--kind", help="only kinds with these words in their name")
    options = parser.parse_args(arguments)
    numbers = [n for n in range(options.n) if (options.kind or "") in KINDS[n % len(KINDS)].name]
    if options.only is not None:
        numbers = [options.only]
    verdicts: list[Verdict] = []
    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell may have had us ignore them
        signal.signal(ending, signal.default_int_handler)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="detseg-faults-")))
        stack.enter_context(cleared(folder))
        grounds = [stack.enter_context(arena(folder / str(n))) for n in range(options.grounds)]
        try:
            for number, verdict in strike_all(grounds, options.seed, numbers):
                verdicts.append(verdict)
                print(_line(number, verdict, options.seed), flush=True)
        except KeyboardInterrupt:
            print(f"stopped after {len(verdicts)} of {len(numbers)}")
    print(table(verdicts))
    return int(any(verdict.violations for verdict in verdicts))


def _line(number: int, verdict: Verdict, seed: int) -> str:
    hit = [] if verdict.struck else ["missed"]
    said = [verdict.kind, verdict.stage, *verdict.notes, *hit, " + ".join(verdict.outcomes)]
    line = f"{number:4d} {verdict.took_s:5.1f} s  {'; '.join(said)}"
    for violation in verdict.violations:
        line += f"\n     !! {violation.harm}: {violation.words} (make faults SEED={seed} ONLY={number})"
    return line


def table(verdicts: Sequence[Verdict]) -> str:
    """Faults per kind, how many of them hit, and how many did harm of each sort."""
    rows: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        rows[verdict.kind].append(verdict)
    counts = ("runs", "struck", "lost", "doubled", "human work changed", "other", "orphans")
    titles = (*counts, "longest run (s)", "mean strike (s)")
    lines = ["", "  ".join((f"{'kind':28}", *titles))]
    for name, some in [*rows.items(), ("all", list(verdicts))]:
        harmed = [sum(any(v.harm == harm for v in one.violations) for one in some) for harm in _HARMS]
        figures = (len(some), sum(one.struck for one in some), *harmed)
        figures += (sum(one.n_orphans for one in some), round(max((one.seconds for one in some), default=0)))
        figures += (round(sum(one.took_s for one in some) / max(1, len(some))),)
        cells = (f"{n:{len(title)}}" for n, title in zip(figures, titles, strict=True))
        lines.append("  ".join((f"{name:28}", *cells)))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
