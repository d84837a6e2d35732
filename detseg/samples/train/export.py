"""A trained model as a ``from_pretrained`` folder with a model card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from detseg.metrics.detection import DetectionScore
from detseg.metrics.panoptic import PanopticQuality, PanopticScore
from detseg.samples.train.data import HELD_OUT_SEEDS, TRAIN_SEEDS_FROM
from detseg.samples.train.evaluate import HeldOutScore
from detseg.samples.train.loop import Training
from detseg.samples.train.models import build_processor

_CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: {tag}
---

# {title}

Trained from scratch on made-up photographs of metal parts, for demonstrations and tests of detseg. In the
scenes of `detseg.samples.scenes` it finds {classes}.
It knows nothing else: don't expect it to find a part on a real photograph.

| | |
|---|---|
| architecture | {architecture}, {parameters:.2f} M parameters, random initialization |
| input | {width}x{height} pixels, any picture is resized to it |
| data | scenes of the seeds {first_seed} to {last_seed} at 640x480, flipped and recoloured |
| images seen | {n_images} in batches of {batch_size} |
| time | {minutes:.0f} minutes on one core of a shared machine, without an accelerator |
| seed | {seed} |
| command | `{command}` |

## On held-out scenes

{n_held_out} scenes of 640x480, seeds {held_out_from} to {held_out_to}, none of which was seen in training.

{figures}
"""


def export(training: Training, score: HeldOutScore, folder: Path, *, n_scenes: int) -> None:
    """Write weights, configuration, image processor and model card into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    training.average.save_pretrained(folder)
    build_processor(training.plan.role).save_pretrained(folder)
    (folder / "README.md").write_text(model_card(training, score, n_scenes=n_scenes), encoding="utf-8")


def model_card(training: Training, score: HeldOutScore, *, n_scenes: int) -> str:
    """Write the model card: what was trained on what, by which command, for how long, and how good it is."""
    plan = training.plan
    detector = plan.role == "detector"
    size = build_processor(plan.role).size
    return _CARD.format(
        tag="object-detection" if detector else "image-segmentation",
        title="The sample detector" if detector else "The sample segmenter",
        classes=", ".join(training.average.config.id2label.values()),
        architecture="RT-DETRv2" if detector else "Mask2Former",
        parameters=sum(p.numel() for p in training.average.parameters()) / 1e6,
        width=size["width"],
        height=size["height"],
        first_seed=TRAIN_SEEDS_FROM,
        last_seed=TRAIN_SEEDS_FROM + n_scenes - 1,
        n_images=training.n_images,
        batch_size=plan.batch_size,
        minutes=training.progress.seconds / 60,
        seed=plan.seed,
        command=_command(training, n_scenes),
        n_held_out=score.n_scenes,
        held_out_from=HELD_OUT_SEEDS[0],
        held_out_to=HELD_OUT_SEEDS[0] + score.n_scenes - 1,
        figures=_figures(score),
    )


def _command(training: Training, n_scenes: int) -> str:
    """The command that repeats the training; one that was stopped by the clock is repeated by the clock."""
    plan = training.plan
    limit = f"--images {plan.n_images}" if math.isinf(plan.minutes) else f"--minutes {plan.minutes:g}"
    return (
        f"python -m detseg.samples.train {plan.role} --scenes {n_scenes} {limit} "
        f"--batch-size {plan.batch_size} --learning-rate {plan.learning_rate:g} --seed {plan.seed}"
    )


def _figures(score: HeldOutScore) -> str:
    if score.detection is not None:
        return _detection_figures(score.detection)
    return _panoptic_figures(score.panoptic) if score.panoptic is not None else ""


def _detection_figures(score: DetectionScore) -> str:
    rows = {"all": (score.ap, score.ap50, score.ap75)}
    rows |= {name: (c.ap, c.ap50, c.ap75) for name, c in score.per_class.items()}
    return _table(("boxes", "AP", "AP50", "AP75"), rows)


def _panoptic_figures(score: PanopticQuality) -> str:
    groups: dict[str, PanopticScore] = {"all": score.all, "things": score.things, "stuff": score.stuff}
    rows = {name: (s.pq, s.sq, s.rq) for name, s in {**groups, **score.per_class}.items()}
    return _table(("segments", "PQ", "SQ", "RQ"), rows)


def _table(header: tuple[str, ...], rows: Mapping[str, tuple[float | None, ...]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name, figures in rows.items():
        cells = ("n/a" if figure is None else f"{figure:.3f}" for figure in figures)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
