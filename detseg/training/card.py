"""The model card of a training: what learned from what, by which command, how long, and how good it is."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import detseg
from detseg.models.checkpoints import architecture_of
from detseg.training.plan import FIGURES, Best, Figure, Plan, Trained
from detseg.training.torchvision_models import TorchvisionLearner, without_loss

_CARD = """\
---
library_name: {library}
pipeline_tag: {tag}
tags: [detseg]
---

# {title}

Fine-tuned from `{base}` on the dataset version `{dataset}`. It finds {classes}.

| | |
|---|---|
| architecture | {architecture}, {parameters:.2f} M parameters |
| dataset version | {dataset} (`{dataset_id}`) |
| learned from | split `train`, {n_train:,} images |
| chosen by | split `val`, {n_val:,} images |
| steps | {steps:,} of {batch} images; the weights are those after step {best_step:,} |
| time | {minutes:.1f} minutes, {cpu_minutes:.1f} of one processor |
| seed | {seed} |
| command | `{command}` |
| made by | detseg {version} |

## On the split `val`

The weights were chosen by these images, so on others they are likely to be a little worse. Intervals are of
95 %, over images; n/a where there are too few.

{figures}

## The curve

{curve}
{notes}"""


def model_card(plan: Plan, trained: Trained, model: Any) -> str:
    """Write the card, in Markdown as the Hugging Face hub shows it."""
    best = trained.best
    notes = "".join(f"\n- {note}" for note in trained.notes)
    return _CARD.format(
        tag="object-detection" if best.chosen_by == "ap" else "image-segmentation",
        title=trained.checkpoint.absolute().name,
        base=plan.base,
        dataset=plan.dataset,
        dataset_id=plan.dataset_id,
        classes=", ".join(cls.name for cls in plan.classes),
        architecture=architecture_of(without_loss(model)),
        library="torchvision" if isinstance(model, TorchvisionLearner) else "transformers",
        parameters=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        n_train=trained.n_images["train"],
        n_val=trained.n_images["val"],
        steps=trained.steps,
        batch=plan.settings.batch_size * plan.settings.accumulate,
        best_step=best.step,
        minutes=trained.seconds / 60,
        cpu_minutes=trained.cpu_seconds / 60,
        seed=plan.seed,
        command=command_of(plan, trained),
        version=detseg.__version__,
        figures=figures_table(trained.best),
        curve=_table(
            ("step", "minutes", "loss", *(FIGURES[name] for name in best.figures)),
            [
                (
                    *(f"{one.step:,}", f"{one.seconds / 60:.1f}", f"{one.loss:.3f}"),
                    *(_number(one.figures.get(name)) for name in best.figures),
                )
                for one in trained.curve
            ],
        ),
        notes=f"\n## Notes\n{notes}\n" if notes else "",
    )


def command_of(plan: Plan, trained: Trained) -> str:
    """The command that repeats the training; settings that are not the usual ones are named as variables."""
    usual = type(plan.settings)()
    changed = [
        f"DETSEG_TRAINING__{name.upper()}={value}"
        for name, value in plan.settings.model_dump().items()
        if value != getattr(usual, name)
    ]
    minutes = [] if plan.minutes is None else ["--minutes", f"{plan.minutes:g}"]
    words = ["detseg", "train", plan.dataset, "--base", plan.base, "--out", trained.checkpoint.name]
    return shlex.join([*changed, *words, *minutes, "--seed", str(plan.seed)])


def figures_table(best: Best) -> str:
    """The figures of all classes together and of each, with their intervals, as a table in Markdown."""
    rows = [("all", *map(_figure, best.figures.values()), "")]
    rows += [
        (name, *(_figure(one.figures[key]) for key in best.figures), f"{one.n_truth:,}")
        for name, one in best.per_class.items()
    ]
    return _table((best.learned, *(FIGURES[name] for name in best.figures), "objects"), rows)


def _figure(figure: Figure) -> str:
    interval = "" if figure.low is None else f" ({figure.low:.3f} to {figure.high:.3f})"
    return _number(figure.value) + interval


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)
