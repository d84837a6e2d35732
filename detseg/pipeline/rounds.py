"""Rounds of retraining as the catalog keeps them: the one that has not ended, and the last one that has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from detseg.files import parse_json

if TYPE_CHECKING:
    from detseg.catalog import Catalog

ROUND = "retrain"
"""Rounds are called ``retrain-1``, ``retrain-2``, ...; it is also the name of their lock."""

MODELS = "the registered models"
"""The name of the lock that is held while a model is removed, and while a round chooses where it begins."""


@dataclass(frozen=True, slots=True)
class Round:
    """A round as it was begun. ``name`` is that of its dataset version, its folder and its model.

    ``base`` is where its training begins, ``seed`` the number of the round, from 1.
    """

    name: str
    base: str
    seed: int
    begun: str


def open_round(catalog: Catalog) -> Round | None:
    """The round that was begun and has not ended."""
    entry = _state(catalog).get("open")
    return Round(**entry) if entry else None


def begin_round(catalog: Catalog, begun: Round) -> None:
    """Record a round that has begun, in place of one that has not ended."""
    _keep(catalog, {**_state(catalog), "open": asdict(begun)})


def end_round(catalog: Catalog, begun: Round, dataset_id: str) -> None:
    """Record that a round has ended, and the version that it made."""
    _keep(catalog, {"open": None, "last": {"name": begun.name, "dataset_id": dataset_id}})


def last_version_id(catalog: Catalog) -> str | None:
    """The id of the version of the last round that has ended."""
    last = _state(catalog).get("last")
    return last["dataset_id"] if last else None


def _state(catalog: Catalog) -> dict[str, Any]:
    stored = catalog.cursors.get(ROUND)
    state: dict[str, Any] = parse_json(stored, "the state of the rounds") if stored else {}
    return state


def _keep(catalog: Catalog, state: Mapping[str, Any]) -> None:
    catalog.cursors.set(ROUND, json.dumps(state, ensure_ascii=False))
