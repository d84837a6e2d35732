"""Folders as trainings leave them, without their weights."""

from __future__ import annotations

import json
from pathlib import Path


def make_trained(
    folder: Path,
    *,
    base: str = "sample",
    seed: int = 0,
    dataset: str = "v1",
    dataset_id: str = "ab" * 32,
    architecture: str = "RTDetrForObjectDetection",
    label: str = "bolt",
) -> Path:
    """A folder with what ``detseg train`` says of itself; the weights are no weights."""
    folder.mkdir(parents=True)
    plan = {"base": base, "dataset": dataset, "dataset_id": dataset_id, "seed": seed}
    figure = {"ap": 0.5, "ap_interval": [0.4, 0.6], "ap50": 0.8, "ap50_interval": [0.7, 0.9]}
    best = {**figure, "step": 40, "split": "val", "per_class": {}}
    trained = {
        "checkpoint": str(folder),
        "dataset": dataset,
        "base": base,
        "steps": 40,
        "seconds": 12.5,
        "cpu_seconds": 20.0,
        "n_images": {"train": 4, "val": 2},
        "best": best,
        "curve": [],
        "notes": [],
    }
    (folder / "training.json").write_text(
        json.dumps({"plan": plan, "trained": {**trained, "checkpoint": ""}})
    )
    (folder / "config.json").write_text(
        json.dumps({"architectures": [architecture], "id2label": {"0": label}})
    )
    (folder / "preprocessor_config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder
