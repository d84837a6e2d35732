"""``python -m detseg.samples.train detector|segmenter``: train a sample checkpoint and measure it."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from detseg.errors import DetsegError
from detseg.samples.train.data import HELD_OUT_SEEDS, PROGRESS_SEEDS, open_store, render
from detseg.samples.train.evaluate import score_model
from detseg.samples.train.export import export
from detseg.samples.train.loop import Pauses, Plan, Training, train


def main(arguments: Sequence[str] | None = None) -> int:
    """Render, train or go on training, measure, export. The exit code."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        _run(options)
    except (DetsegError, OSError) as error:
        print(f"training failed: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m detseg.samples.train",
        description="Train a sample checkpoint on made-up scenes. Killed, it goes on where it was.",
    )
    add = parser.add_argument
    add("role", choices=("detector", "segmenter"))
    add("--out", type=Path, help="folder for the checkpoint; SCRATCH/ROLE if not given")
    add("--scratch", type=Path, default=Path("training"), help="folder for scenes and saved states")
    add("--scenes", type=int, default=12_000, help="how many scenes to render and learn from")
    add("--images", type=int, default=100_000, help="stop after so many images")
    add("--minutes", type=float, default=math.inf, help="or after so many minutes of training")
    add("--batch-size", type=int, default=16)
    add("--learning-rate", type=float, default=6e-4, help="at its highest")
    add("--seed", type=int, default=7)
    add("--workers", type=int, default=2, help="processes that render")
    add("--threads", type=int, default=1, help="threads that compute")
    add("--save-every", type=float, default=180.0, help="seconds of training between two saved states")
    add(
        "--held-out",
        type=int,
        default=len(HELD_OUT_SEEDS),
        help="scenes of the last evaluation, at most 1000",
    )
    add("--export-only", action="store_true", help="do not train: export and measure the saved state")
    return parser


def _run(options: argparse.Namespace) -> None:
    plan = Plan(
        options.role,
        options.images,
        options.minutes,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    options.scratch.mkdir(parents=True, exist_ok=True)
    state_path = options.scratch / f"{plan.role}.pt"
    training = Training(plan)
    if state_path.exists():
        training.read(state_path)
        _say(f"going on after {training.n_images} images")
    if not options.export_only:
        _train(training, options, state_path)
    _say(f"measuring on {options.held_out} held-out scenes")
    score = score_model(training.average, plan.role, HELD_OUT_SEEDS[: options.held_out])
    _say(f"held-out score {score.headline:.4f}")
    folder = options.out or options.scratch / plan.role
    export(training, score, folder, n_scenes=options.scenes)
    _say(f"wrote {folder}")


def _train(training: Training, options: argparse.Namespace, state_path: Path) -> None:
    scenes = options.scratch / "scenes"
    for n_rendered in render(scenes, options.scenes, n_workers=options.workers):
        if n_rendered % 1000 == 0 or n_rendered == options.scenes:
            _say(f"{n_rendered} of {options.scenes} scenes are rendered")
    train(
        training,
        open_store(scenes, options.scenes),
        state_path=state_path,
        report=_say,
        evaluate=lambda model: score_model(model, training.plan.role, PROGRESS_SEEDS).headline,
        pauses=Pauses(save_s=options.save_every),
    )


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S}  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
