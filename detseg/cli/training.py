"""``detseg train``: a model that learns from a dataset version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detseg.cli import options
from detseg.plurals import format_count

if TYPE_CHECKING:
    from detseg.training.plan import Trained


def train(
    version: Annotated[str, typer.Argument(help="Name of a dataset version, or the beginning of its id.")],
    *,
    base: Annotated[str, typer.Option(help="Where it begins: sample, a folder or a hub name.")],
    out: Annotated[Path, typer.Option(help="A new folder for the checkpoint.")],
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Longest time; without it, all steps.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Most steps (training.steps).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is random.")] = 0,
    device: options.DeviceOption = None,
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Fine-tunes a detector on a dataset version.

    Writes a folder that `--detector` takes. Learns from the split train and keeps the weights that are best
    on val; the split test it never sees. The same command goes on with a training that was stopped or killed.
    """
    from detseg.cli.bars import progress_bars
    from detseg.cli.output import note, print_json
    from detseg.config import load_settings
    from detseg.pipeline.registry import register
    from detseg.pipeline.training import train_version
    from detseg.training.plan import encode_trained

    settings = load_settings(config, training__steps=steps, engine__device=device)
    with progress_bars():
        done = train_version(settings, version, base=base, out=out, minutes=minutes, seed=seed, warn=note)
    model = register(settings, done.checkpoint)
    if as_json:
        print_json({**encode_trained(done), "model": model.name})
    else:
        _show(done, model.name)


def _show(done: Trained, name: str) -> None:
    from detseg.cli.output import figure, print_table, say

    best = done.best
    say(
        f"{done.checkpoint}: {format_count(done.steps, 'step')} in {done.seconds / 60:.1f} minutes, "
        f"best after step {best.step:,}"
    )
    rows = [("all", figure(best.ap.value), figure(best.ap50.value), "")]
    rows += [
        (name, figure(one.ap.value), figure(one.ap50), f"{one.n_truth:,}")
        for name, one in best.per_class.items()
    ]
    print_table((f"boxes on {best.split}", "AP", "AP50", "objects"), rows)
    say()
    say(f"registered as {name}")
    say(f"see what it finds: detseg predict IMAGES --detector {done.checkpoint} --segmenter '' --out found")
