"""A trained model as a ``from_pretrained`` folder with a model card."""

from __future__ import annotations

from pathlib import Path

from detseg.samples.train.evaluate import HeldOutScore
from detseg.samples.train.loop import Training
from detseg.samples.train.models import build_processor


def export(
    training: Training, score: HeldOutScore, folder: Path, *, n_scenes: int, n_held_out: int
) -> None:
    """Write weights, configuration, image processor and card into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    training.average.save_pretrained(folder)
    build_processor(training.plan.task).save_pretrained(folder)
    (folder / "README.md").write_text(f"{score}\n")
