"""``make bench``: measures, then writes ``build/bench/results.json`` and ``docs/benchmarks.md``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.figures import headline
from bench.measure import Plan, run
from bench.page import write_page
from bench.photos import NoPhotos
from bench.processes import PIXELTABLE, ROOT, pixeltable_python

PHOTOS = ROOT.parent / "shared" / "data" / "coco20" / "images"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    plan = _plan(options)
    with tempfile.TemporaryDirectory(prefix="detseg-bench-") as folder:
        try:
            results = run(plan, Path(folder))
        except NoPhotos as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    results["versions"]["pixeltable"] = PIXELTABLE if plan.pixeltable_python else None
    results = {"headline": headline(results)} | results
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    page = options.out / "benchmarks.md" if options.quick else options.page
    write_page(results, page)
    print(f"wrote {options.out / 'results.json'} and {page}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="a folder of .jpg files")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of every process")
    parser.add_argument("--pixeltable-python", type=Path, help="the Python of an environment that has it")
    parser.add_argument("--no-pixeltable", action="store_true", help="leave it out: it needs 15 GB")
    parser.add_argument("--long", action="store_true", help="look at the memory of 10,000 images, too")
    parser.add_argument("--quick", action="store_true", help="one round of two photos, to see that it runs")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench", help="folder for results.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmarks.md")
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    if options.quick:
        return Plan(
            rounds=1,
            threads=options.threads,
            photos=options.photos,
            pixeltable_python=None,
            n_memory=(20, 40),
            n_pipeline=2,
            n_predict=2,
            n_forward=2,
            n_photos=2,
        )
    python = None if options.no_pixeltable else pixeltable_python(options.pixeltable_python)
    return Plan(
        rounds=options.rounds,
        threads=options.threads,
        photos=options.photos,
        pixeltable_python=python,
        n_memory=(200, 2_000, 10_000) if options.long else (200, 2_000),
    )


if __name__ == "__main__":
    sys.exit(main())
