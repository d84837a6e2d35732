"""``make study``: three rounds with simulated people on real images, into ``docs/study.md``.

What was measured is beside the page, in ``docs/study.json``: with ``--only``, the other data sets keep what
was found for them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.processes import ROOT
from bench.study.charts import draw_minutes
from bench.study.loop import StudyFailed, Workspace, run_rounds
from bench.study.page import write_page
from bench.study.pictures import draw_rounds
from bench.study.plans import DATA, PLANS, NoData, image_folder, read_images
from bench.study.results import measure_all
from detseg.files import read_json, write_whole

_PAGE = ROOT / "docs" / "study.md"
_CHART = "study-minutes.svg"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        for name in options.only or PLANS:
            _keep(name, _study(name, options), options.page)
    except (NoData, StudyFailed) as error:
        print(f"study: {error}", file=sys.stderr)
        return 1
    found = _kept(options.page)
    results = [found[name] for name in PLANS if name in found]
    draw_minutes(results, options.page.parent / "pictures" / _CHART)
    write_page(results, options.page, chart=f"pictures/{_CHART}")
    _say(f"wrote {options.page}")
    return 0


def _kept(page: Path) -> dict[str, Any]:
    """Return the figures of each data set, by its name, as they stand beside the page."""
    file = page.with_suffix(".json")
    return read_json(file) if file.is_file() else {}


def _keep(name: str, found: Mapping[str, Any], page: Path) -> None:
    write_whole(page.with_suffix(".json"), json.dumps(_kept(page) | {name: found}, indent=1) + "\n")


def _study(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Go through the rounds of one data set, or what is left of them, and measure what people make of it."""
    plan, place = PLANS[name], Workspace(options.work / name, options.threads)
    rounds = run_rounds(plan, read_images(plan, options.data), place, data=options.data, say=_say)
    images = image_folder(plan, options.data)
    for picture in draw_rounds(plan, rounds, place.folder, images=images, out=options.work / "pictures"):
        _say(f"drew {picture}")
    _say(f"{name}: people are simulated by {options.seeds} seeds")
    found = measure_all(plan, rounds, n_seeds=options.seeds, n_expect=40, n_judged=plan.n_judged)
    for way, figures in found["ways"].items():
        low, high = figures["printed"]
        _say(
            f"{name}, {way}: simulated people save {figures['saving']:.1%}, printed {low:.1%} to {high:.1%}; "
            f"F1 {', '.join(f'{value:+.3f}' for value in figures['quality']['difference'])}"
        )
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.study", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=sorted(PLANS), help="some of the data sets")
    parser.add_argument("--seeds", type=int, default=400, help="how often people are simulated")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of every command")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder with the data sets")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "study", help="where the rounds are kept"
    )
    parser.add_argument("--page", type=Path, default=_PAGE)
    return parser


if __name__ == "__main__":
    sys.exit(main())
