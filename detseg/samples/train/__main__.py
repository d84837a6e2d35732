"""``python -m detseg.samples.train detector|segmenter``: train a sample checkpoint and measure it."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

from detseg.samples.train.data import HELD_OUT_SEEDS, PROGRESS_SEEDS, open_store, render
from detseg.samples.train.evaluate import score_model
from detseg.samples.train.export import export
from detseg.samples.train.loop import Plan, Training, train


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S}  {line}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m detseg.samples.train", description=__doc__)
    parser.add_argument("task", choices=("detector", "segmenter"))
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--scratch", type=Path, default=Path("training"), help="folder for scenes and state")
    parser.add_argument("--scenes", type=int, default=12_000, help="how many scenes to render and learn from")
    parser.add_argument("--images", type=int, default=100_000, help="stop after so many images")
    parser.add_argument("--minutes", type=float, default=1e9, help="or after so many minutes of training")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=6e-4)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    parser.add_argument("--threads", type=int, default=1, help="threads that compute")
    parser.add_argument("--held-out", type=int, default=len(HELD_OUT_SEEDS), help="scenes of the last evaluation")
    parser.add_argument("--export-only", action="store_true", help="write the checkpoint of the state as it is")
    return parser.parse_args()


def main() -> None:
    """Render, train (or go on training), export and evaluate."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    scratch = arguments.scratch
    scratch.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        arguments.task,
        arguments.images,
        arguments.minutes,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
    )
    training = Training(plan)
    state_path = scratch / f"{plan.task}.pt"
    if state_path.exists():
        training.read(state_path)
        _say(f"going on at image {training.progress.step * plan.batch_size}")
    if not arguments.export_only:
        for done in render(scratch / "scenes", arguments.scenes, n_workers=arguments.workers):
            if done % 1000 == 0:
                _say(f"{done} of {arguments.scenes} scenes rendered")
        store = open_store(scratch / "scenes", arguments.scenes)
        train(
            training,
            store,
            state_path=state_path,
            report=_say,
            evaluate=lambda model: score_model(model, plan.task, PROGRESS_SEEDS).headline,
        )
    _say(f"evaluating on {arguments.held_out} held-out scenes")
    score = score_model(training.average, plan.task, HELD_OUT_SEEDS[: arguments.held_out])
    _say(f"held-out score {score.headline:.4f}")
    export(training, score, arguments.out, n_scenes=arguments.scenes, n_held_out=arguments.held_out)
    _say(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
