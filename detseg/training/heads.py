"""A checkpoint made ready for other classes: what it knows of those that stay is kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from detseg.models.checkpoints import Checkpoint
from detseg.taxonomy import LabelClass, Taxonomy

State = Mapping[str, torch.Tensor]


def with_classes(base: Checkpoint, classes: Sequence[LabelClass], *, seed: int, on_cpu: bool) -> Any:
    """The base's model for these classes, in training mode, all weights free.

    A class that the base knows by its name, by an alias or in another letter case keeps its rows of every
    layer that has one for each class; other classes begin at random, by the seed.
    """
    names = [cls.name for cls in classes]
    rows = matching_rows(base.labels, Taxonomy(tuple(classes)))
    config = _relabeled(base.config, names)
    torch.manual_seed(seed)
    # PyTorch's fused attention is several times slower than the plain one for so few queries on a CPU.
    model = _build(type(base.model), config, **({"attn_implementation": "eager"} if on_cpu else {}))
    heads = class_heads(type(base.model), config, n_classes=len(names))
    state, old = model.state_dict(), base.model.state_dict()
    for key in state:
        if key in heads:
            keep_rows(state[key], old[key], rows, n_classes=(len(names), len(base.labels)))
        else:
            state[key].copy_(old[key])
    return model.train().requires_grad_(True)


def matching_rows(labels: Mapping[int, str], taxonomy: Taxonomy) -> dict[int, int]:
    """The row of the new head for each row of the old one that stays.

    >>> classes = (LabelClass("nut"), LabelClass("bolt", aliases=("screw",)))
    >>> matching_rows({0: "Screw", 1: "gear", 2: "nut"}, Taxonomy(classes))
    {0: 1, 2: 0}
    """
    places = {name: i for i, name in enumerate(taxonomy.names)}
    rows: dict[int, int] = {}
    for old, name in labels.items():
        cls = taxonomy.find(name) if name.strip() else None
        if cls is not None and places[cls.name] not in rows.values():
            rows[old] = places[cls.name]
    return rows


def class_heads(model: type[Any], config: Any, *, n_classes: int) -> frozenset[str]:
    """The names of the weights that have a row for each class: those that change with their number."""
    with torch.device("meta"):
        here = _build(model, config).state_dict()
        more = _build(model, _relabeled(config, [str(i) for i in range(n_classes + 1)])).state_dict()
    return frozenset(key for key, value in here.items() if value.shape != more[key].shape)


def keep_rows(
    new: torch.Tensor, old: torch.Tensor, rows: Mapping[int, int], *, n_classes: tuple[int, int]
) -> None:
    """Copy rows into a head, and those behind the classes, which stand for "nothing" or for padding."""
    n_new, n_old = n_classes
    for there, here in rows.items():
        if there < len(old):
            new[here] = old[there]
    n_behind = min(len(new) - n_new, len(old) - n_old)
    if n_behind > 0:
        new[-n_behind:] = old[-n_behind:]


def _relabeled(config: Any, names: Sequence[str]) -> Any:
    changed = copy.deepcopy(config)
    changed.id2label = dict(enumerate(names))
    changed.label2id = {name: i for i, name in enumerate(names)}
    return changed


def _build(model: type[Any], config: Any, **options: Any) -> Any:
    build: Any = model._from_config
    return build(copy.deepcopy(config), **options)
