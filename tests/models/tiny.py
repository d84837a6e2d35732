"""Checkpoints of a few thousand random weights, built from real configurations and saved as users save them.

The rows of ``tiny_families.py`` say what is special about each family; ``save`` builds one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.utils import logging

from tests.models.tiny_families import ROWS


def save(kind: str, folder: Path, *, labels: Sequence[str] = (), **changes: Any) -> Path:
    """Save the checkpoint of that kind with other labels and settings, if they are given; the folder."""
    if kind == "sam3_video":
        return _save_sam3_video(folder)
    row = ROWS[kind]
    settings = {**row.settings, **changes}
    if labels or row.labels:
        settings["id2label"] = dict(enumerate(labels or row.labels))
    torch.manual_seed(row.seed)
    architecture = getattr(transformers, row.model)
    model, processor = architecture(architecture.config_class(**settings)), row.processor()
    row.enliven(model, processor)
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _save_sam3_video(folder: Path) -> Path:
    """As the hub has SAM 3: its model for images is the detector of the one for videos."""
    save("sam3", folder)
    config = json.loads((folder / "config.json").read_text())
    config = {"architectures": ["Sam3VideoModel"], "model_type": "sam3_video", "detector_config": config}
    (folder / "config.json").write_text(json.dumps(config))
    file = folder / "model.safetensors"
    save_file({f"detector_model.{key}": value for key, value in load_file(file).items()}, file)
    return folder
