"""``make study``: three rounds with simulated people on real images, into ``docs/study.md``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

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
            _study(name, options)
    except (NoData, StudyFailed) as error:
        print(f"study: {error}", file=sys.stderr)
        return 1
    files = [options.work / name / "results.json" for name in PLANS]
    results = [read_json(file) for file in files if file.is_file()]
    draw_minutes(results, options.page.parent / "pictures" / _CHART)
    write_page(results, options.page, chart=f"pictures/{_CHART}")
    _say(f"wrote {options.page}")
    return 0


def _study(name: str, options: argparse.Namespace) -> None:
    """The rounds of one data set, or what is left to do of them, then what simulated people make of it."""
    plan, place = PLANS[name], Workspace(options.work / name, options.threads)
    rounds = run_rounds(plan, read_images(plan, options.data), place, data=options.data, say=_say)
    images = image_folder(plan, options.data)
    for picture in draw_rounds(plan, rounds, place.folder, images=images, out=options.work / "pictures"):
        _say(f"drew {picture}")
    _say(f"{name}: people are simulated by {options.seeds} seeds")
    found = measure_all(plan, rounds, n_seeds=options.seeds, n_expect=40, n_judged=plan.n_judged)
    write_whole(place.folder / "results.json", json.dumps(found, indent=1))
    for way, figures in found["ways"].items():
        low, high = figures["printed"]
        _say(
            f"{name}, {way}: simulated people save {figures['saving']:.1%}, printed {low:.1%} to {high:.1%}; "
            f"F1 {', '.join(f'{value:+.3f}' for value in figures['quality']['difference'])}"
        )


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
