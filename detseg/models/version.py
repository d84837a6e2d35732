"""The model version: a hash over everything that changes an answer, and nothing that does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from detseg.models.checkpoints import Checkpoint
from detseg.models.labels import LabelMap
from detseg.models.predictor import PredictorOptions, named_version
from detseg.types import ModelVersion

POSTPROCESSING_REVISION = 5
"""Raised with every change of the code that changes an answer for the same weights and options."""

_NO_RESULT_OPTIONS = frozenset({"device", "batch_size", "strict", "engine", "precision"})
_NO_RESULT_CONFIG = frozenset(
    {
        "_name_or_path",
        "architectures",
        "dtype",
        "id2label",
        "label2id",
        "thing_labels",
        "transformers_version",
    }
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A checkpoint in its role with its digest, what its labels mean, and the precision that it runs in."""

    role: str
    digest: str
    checkpoint: Checkpoint
    labels: LabelMap
    precision: torch.dtype


def model_version(facts: Sequence[Fact], options: PredictorOptions) -> ModelVersion:
    """``name@8hex``, named after the checkpoints; the same wherever the files lie and on every machine.

    (With ``precision = "auto"`` machines may differ: the precision that was chosen is part of it.)
    """
    content = {
        "revision": POSTPROCESSING_REVISION,
        "options": {k: v for k, v in asdict(options).items() if k not in _NO_RESULT_OPTIONS},
        "checkpoints": {
            fact.role: {
                "files": fact.digest,
                "labels": _mapping(fact.labels),
                "precision": str(fact.precision),
            }
            for fact in facts
        },
    }
    name = "+".join(dict.fromkeys(fact.checkpoint.short_name for fact in facts))
    return named_version(name, hashlib.sha256(_canonical(content)).hexdigest())


def checkpoint_digest(checkpoint: Checkpoint) -> str:
    """The SHA-256 of the weights (name, type, shape and bytes of every tensor), shape and preprocessing."""
    config = {k: v for k, v in checkpoint.config.to_dict().items() if k not in _NO_RESULT_CONFIG}
    digest = hashlib.sha256(_canonical([config, checkpoint.processor.to_dict()]))
    if checkpoint.digest is not None:
        digest.update(checkpoint.digest.encode())
        return digest.hexdigest()
    for name, tensor in sorted(checkpoint.model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _mapping(labels: LabelMap) -> list[list[Any]]:
    return [
        [i, name, labels.classes[i].name, labels.classes[i].kind]
        for i, name in labels.names.items()
        if i in labels.classes
    ]


def _canonical(facts: Any) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), default=str).encode()
