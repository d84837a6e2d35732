"""The plan of a training as a value, and what is left to say of it when it ends. Knows no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detseg.config.training import TrainingSettings
from detseg.datasets.sample import Sample
from detseg.taxonomy import LabelClass
from detseg.types import DecodedImage

WORK = "training"
"""The folder in that of the checkpoint where a training keeps its state until it has ended."""

RESULT = "training.json"
"""What a training came to, beside the weights; the last file that is written."""

Reader = Callable[[Sample], DecodedImage]
"""The upright image of a sample. Raises TrainingError where it is gone, or has other bytes now."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a training: equal plans on equal hardware give equal weights, unless ``minutes`` end them.

    ``base`` is the checkpoint as it was named, ``weights`` its folder or its name on the hub. ``dataset`` and
    ``dataset_id`` name the version, ``classes`` are those that the model will answer. ``minutes`` is the
    longest that it may take, None for no limit; ``device`` and ``precision`` are as in ``models.engine``.
    """

    base: str
    dataset: str
    dataset_id: str
    classes: tuple[LabelClass, ...]
    settings: TrainingSettings
    weights: str
    seed: int = 0
    minutes: float | None = None
    device: str = "auto"
    precision: str = "auto"

    def to_json(self) -> dict[str, Any]:
        """The plan as an object of JSON, by which a training that is begun is known again."""
        names = [one.name for one in dataclasses.fields(self) if one.name != "weights"]
        entry = {name: getattr(self, name) for name in names}
        return {
            **entry,
            "classes": [one.to_json() for one in self.classes],
            "settings": self.settings.model_dump(mode="json"),
        }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say in what a plan differs from the one that was begun, as ``name (then, now)``.

    >>> differences({"seed": 0, "settings": {"steps": 9}}, {"seed": 1, "settings": {"steps": 9}})
    ['seed (0, now 1)']
    """
    old, new = _flat(before), _flat(now)
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return [f"{name} ({old.get(name)}, now {new.get(name)})" for name in names]


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, **entry.get("settings", {}), "settings": None}


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the curve: after so many steps the loss since the last one, and AP and AP50 in [0, 1]."""

    step: int
    seconds: float
    loss: float
    ap: float
    ap50: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure in [0, 1] with its interval of 95 %; None where there is too little to measure."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """The figures of one class, and how many objects of it they rest on."""

    ap: Figure
    ap50: float | None
    n_truth: int


@dataclass(frozen=True, slots=True)
class Best:
    """The figures of the weights that were kept, those after ``step``, on the split that chose them."""

    step: int
    ap: Figure
    ap50: Figure
    per_class: Mapping[str, ClassFigures]
    split: str = "val"


@dataclass(frozen=True, slots=True)
class Trained:
    """A training that has ended. ``seconds`` were spent in all its runs together; ``notes`` are for people.

    ``cpu_seconds`` are those of this process and the processes that load for it.
    """

    checkpoint: Path
    dataset: str
    base: str
    steps: int
    seconds: float
    cpu_seconds: float
    n_images: Mapping[str, int]
    best: Best
    curve: tuple[Point, ...]
    notes: tuple[str, ...] = ()


def encode_trained(trained: Trained) -> dict[str, Any]:
    """Put what a training came to into words for a program."""
    entry = dataclasses.asdict(trained)
    return {**entry, "checkpoint": str(trained.checkpoint), "best": _encode_best(trained.best)}


def decode_trained(entry: Mapping[str, Any], checkpoint: Path) -> Trained:
    """Return what ``encode_trained`` made the object of, wherever the folder lies now."""
    best = entry["best"]
    per_class = {
        name: ClassFigures(_decode_figure(one, "ap"), one["ap50"], one["n_truth"])
        for name, one in best["per_class"].items()
    }
    ap, ap50 = _decode_figure(best, "ap"), _decode_figure(best, "ap50")
    return Trained(
        **{
            **entry,
            "checkpoint": checkpoint,
            "best": Best(best["step"], ap, ap50, per_class, best["split"]),
            "curve": tuple(Point(**point) for point in entry["curve"]),
            "notes": tuple(entry["notes"]),
        }
    )


def _encode_best(best: Best) -> dict[str, Any]:
    per_class = {
        name: {**_encode_figure("ap", one.ap), "ap50": one.ap50, "n_truth": one.n_truth}
        for name, one in best.per_class.items()
    }
    figures = {**_encode_figure("ap", best.ap), **_encode_figure("ap50", best.ap50)}
    return {**figures, "step": best.step, "split": best.split, "per_class": per_class}


def _encode_figure(name: str, figure: Figure) -> dict[str, Any]:
    interval = None if figure.low is None else [figure.low, figure.high]
    return {name: figure.value, f"{name}_interval": interval}


def _decode_figure(entry: Mapping[str, Any], name: str) -> Figure:
    return Figure(entry[name], *(entry[f"{name}_interval"] or ()))
