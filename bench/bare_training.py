"""The bare loop of ``bench.training``: the model, batches and optimizer of ``detseg train``, and no more.

``python -m bench.bare_training VERSION BASE STEPS`` runs in a folder with a ``detseg.toml``, and prints one
JSON object: processor seconds of a step, and of reading and preparing its batch.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from detseg.config import Settings, load_settings
from detseg.datasets.store import DatasetStore
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import choose_device
from detseg.pipeline.reading import open_sources
from detseg.pipeline.training import SAMPLES, LabeledImages
from detseg.samples.checkpoints import checkpoint_path
from detseg.training.adapt import longest_side, spare_points, with_classes
from detseg.training.batches import Draws, LabelIds
from detseg.training.evaluate import Split
from detseg.training.plan import Plan
from detseg.training.pretrained import load_pretrained
from detseg.training.tables import write_table
from detseg.training.tasks import TASKS, Task
from detseg.training.train import LARGER
from detseg.training.trainer import make_optimizer


def main(name: str, base: str, n_steps: int) -> None:
    settings = load_settings(Path("detseg.toml"))
    version = DatasetStore(settings.datasets_location).version(name)
    checkpoint = load_pretrained(str(checkpoint_path(SAMPLES[base])))
    task = TASKS[type(checkpoint.model).__name__]
    classes = task.learned(version.recipe.classes)
    plan = Plan(base, version.name, version.id, classes, settings.training, weights=base, device="cpu")
    choose_device(plan.device)
    model = with_classes(checkpoint, task.labels(classes), seed=0, on_cpu=True)
    spare_points(model, checkpoint.processor)
    model.to(memory_format=torch.channels_last)
    begun = time.process_time()
    batches = _batches(settings, checkpoint, task, plan, n_steps=n_steps)
    loading = (time.process_time() - begun) / n_steps
    bare = _seconds_a_step(model, make_optimizer(model, plan), batches)
    print(json.dumps({"bare": bare, "loading": loading}))


def _batches(
    settings: Settings, checkpoint: Checkpoint, task: Task, plan: Plan, *, n_steps: int
) -> list[dict[str, Any]]:
    """The batches of the first steps, as the training draws them."""
    store = DatasetStore(settings.datasets_location)
    with open_sources(settings) as sources:
        images = LabeledImages(sources, Path("bare"))
        table = write_table(Path("bare.arrow"), images.readable(store, store.version(plan.dataset), "train"))
        draws = Draws(
            table,
            images.read,
            LabelIds({one.name: i for i, one in enumerate(task.labels(plan.classes))}),
            plan.settings,
            n_draws=n_steps * plan.settings.batch_size,
            seed=0,
            most_px=round(LARGER * longest_side(checkpoint.processor)),
            make=task.make,
        )
        collate = task.collate(checkpoint.processor, Split(table, images.read, plan.classes))
        return list(DataLoader(draws, plan.settings.batch_size, collate_fn=collate))


def _seconds_a_step(model: Any, optimizer: torch.optim.Optimizer, batches: Sequence[dict[str, Any]]) -> float:
    """Processor seconds of a step, but for the first third, which is to warm up."""
    begun, first = time.process_time(), len(batches) // 3
    for number, batch in enumerate(batches):
        if number == first:
            begun = time.process_time()
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return (time.process_time() - begun) / (len(batches) - first)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
