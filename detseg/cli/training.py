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
    base: Annotated[
        str, typer.Option(help="Where it begins: sample, sample-segmenter, a folder or a hub name.")
    ],
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
    """Fine-tunes a detector or segmenter on a dataset version.

    Writes a folder that `--detector` or `--segmenter` takes. Learns from the split train and keeps the
    weights that are best on val; the split test it never sees. The same command goes on with a training that
    was stopped or killed.
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
    from detseg.training.plan import FIGURES

    best = done.best
    say(
        f"{done.checkpoint}: {format_count(done.steps, 'step')} in {done.seconds / 60:.1f} minutes, "
        f"best after step {best.step:,}"
    )
    rows = [("all", *(figure(one.value) for one in best.figures.values()), "")]
    rows += [
        (name, *(figure(one.figures[key].value) for key in best.figures), f"{one.n_truth:,}")
        for name, one in best.per_class.items()
    ]
    columns = (FIGURES[key] for key in best.figures)
    print_table((f"{best.learned} on {best.split}", *columns, "objects"), rows)
    say()
    say(f"registered as {name}")
    role, other = ("detector", "segmenter") if best.learned == "boxes" else ("segmenter", "detector")
    say(f"see what it finds: detseg predict IMAGES --{role} {done.checkpoint} --{other} '' --out found")
