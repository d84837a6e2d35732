"""``python -m detseg.samples.train detector|segmenter``: train a sample checkpoint and measure it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from detseg.config.training import TrainingSettings
from detseg.errors import DetsegError
from detseg.models.checkpoints import Checkpoint, architecture_of, quiet_library
from detseg.models.engine import Engine
from detseg.samples.checkpoints import checkpoint_path
from detseg.samples.scenes import SAMPLE_CLASSES
from detseg.samples.train.architectures import build_model, build_processor
from detseg.samples.train.card import sample_card
from detseg.samples.train.rendering import (
    HELD_OUT_SEEDS,
    PROGRESS_SEEDS,
    TRAIN_SEEDS_FROM,
    read_scene,
    render,
)
from detseg.training.evaluate import Split
from detseg.training.plan import RESULT, Best, Plan
from detseg.training.tables import SampleTable
from detseg.training.tasks import TASKS
from detseg.training.train import Splits, train
from detseg.training.work import find_trained, working

SHIPPED = "the shipped weights"
RANDOM = "random weights"


def main(arguments: Sequence[str] | None = None) -> int:
    """Render, train or go on training, measure. The exit code."""
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
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("role", choices=("detector", "segmenter"))
    add("--out", type=Path, required=True, help="folder for the checkpoint")
    add("--from-scratch", action="store_true", help="begin with random weights, not with the shipped ones")
    add("--scratch", type=Path, default=Path("training"), help="folder for the scenes")
    add("--scenes", type=int, default=12_000, help="how many scenes to render and learn from")
    add("--first-seed", type=int, default=TRAIN_SEEDS_FROM, help="seed of the first of them")
    add("--steps", type=int, default=5000, help="stop after so many steps")
    add("--minutes", type=float, help="or after so many minutes of training")
    add("--batch-size", type=int, default=16, help="images in a step")
    add("--learning-rate", type=float, default=6e-4, help="at its highest")
    add("--seed", type=int, default=7, help="of the order of the scenes and what is changed in them")
    add("--workers", type=int, default=2, help="processes that render")
    add("--threads", type=int, default=1, help="threads that compute")
    add("--evaluations", type=int, default=10, help="how often the weights are measured, to keep the best")
    add("--progress", type=int, default=len(PROGRESS_SEEDS), help="scenes that they are measured on")
    add("--held-out", type=int, default=len(HELD_OUT_SEEDS), help="scenes of the last evaluation")
    return parser


def _run(options: argparse.Namespace) -> None:
    if options.first_seed < TRAIN_SEEDS_FROM:
        raise DetsegError(f"--first-seed is at least {TRAIN_SEEDS_FROM}: the others are for measuring")
    base, plan = _begin_with(options), _plan(options)
    if (trained := find_trained(options.out, plan)) is None:
        scenes = range(options.first_seed, options.first_seed + options.scenes)
        progress = PROGRESS_SEEDS[: options.progress]
        splits = Splits(_render(options, scenes), _render(options, progress), read_scene)
        with working(options.out, plan):
            trained = train(plan, base, options.out, splits=splits, report=_Progress(), warn=_say)
    held_out = HELD_OUT_SEEDS[: options.held_out]
    split = Split(_render(options, held_out), read_scene, plan.classes)
    _say(f"measuring on {len(held_out)} held-out scenes")
    with quiet_library():
        model = type(base.model).from_pretrained(options.out).eval()
    best = measure(Checkpoint(plan.base, model, build_processor(options.role)), split)
    _say(", ".join(f"{name} {figure.value or 0:.4f}" for name, figure in best.figures.items()))
    card = sample_card(options.role, plan, trained, best=best, held_out=held_out, command=_command(options))
    (options.out / "README.md").write_text(card, encoding="utf-8")
    (options.out / RESULT).unlink()  # the last: until then the same command writes the card
    _say(f"wrote {options.out}")


def _plan(options: argparse.Namespace) -> Plan:
    """Scenes are mirrored and recoloured, not zoomed: the camera of the scenes hangs still."""
    masks = options.role == "segmenter"
    return Plan(
        base=RANDOM if options.from_scratch else SHIPPED,
        weights="",
        dataset="scenes",
        dataset_id=f"seeds {options.first_seed} to {options.first_seed + options.scenes - 1}",
        classes=tuple(one for one in SAMPLE_CLASSES if masks or one.kind == "thing"),
        settings=TrainingSettings(
            steps=options.steps,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            warmup_steps=300,
            average=0.999,
            evaluations=options.evaluations,
            patience=0,
            flip=0.5,
            flip_vertical=0.5,
            zoom=0.0,
            shift=0.0,
        ),
        seed=options.seed,
        minutes=options.minutes,
        device="cpu",
    )


def _begin_with(options: argparse.Namespace) -> Checkpoint:
    """The model to begin with."""
    torch.manual_seed(options.seed)
    model = build_model(options.role)
    if not options.from_scratch:
        with quiet_library():
            model = type(model).from_pretrained(checkpoint_path(options.role), config=model.config)
    return Checkpoint(f"sample {options.role}", model.eval(), build_processor(options.role))


def measure(checkpoint: Checkpoint, split: Split) -> Best:
    """The figures of a model in evaluation mode, as ``detseg train`` measures them."""
    task = TASKS[architecture_of(checkpoint.model)]
    with quiet_library():
        return task.tally(checkpoint, split, Engine(torch.device("cpu"))).best(step=0)


def _render(options: argparse.Namespace, seeds: range) -> SampleTable:
    def report(n_rendered: int) -> None:
        if n_rendered % 1000 == 0 or n_rendered == len(seeds):
            _say(f"{n_rendered} of {len(seeds)} scenes are rendered")

    return render(options.scratch / "scenes", seeds, n_workers=options.workers, report=report)


class _Progress:
    """Says how far the training is, in whole percents."""

    def __init__(self) -> None:
        self._said = 0

    def __call__(self, share_done: float) -> None:
        if int(100 * share_done) > self._said:
            self._said = int(100 * share_done)
            _say(f"{self._said:>3} % of the training is done")


def _command(options: argparse.Namespace) -> str:
    """The command that repeats the training; one that was stopped by the clock is repeated by the clock."""
    words = ["python -m detseg.samples.train", options.role]
    if options.from_scratch:
        words.append("--from-scratch")
    names = ["first_seed", "scenes", "steps", "minutes", "batch_size", "learning_rate", "seed"]
    values = {name: getattr(options, name) for name in names}
    words += [f"--{name.replace('_', '-')} {value}" for name, value in values.items() if value is not None]
    return " ".join(words)


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S}  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
