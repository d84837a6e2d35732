"""The plan of a training, and its result, as values. Knows no torch."""

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
"""The file with the result of a training, beside the weights; the last one that is written."""

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
    """List the differences between a plan and the one that was begun, as ``name (then, now)``.

    >>> differences({"seed": 0, "settings": {"steps": 9}}, {"seed": 1, "settings": {"steps": 9}})
    ['seed (0, now 1)']
    """
    old, new = _flat(before), _flat(now)
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return [f"{name} ({old.get(name)}, now {new.get(name)})" for name in names]


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A plan with its settings beside the rest; of an earlier detseg, those that it had not are the usual."""
    usual = TrainingSettings().model_dump(mode="json")
    return {**entry, **usual, **entry.get("settings", {}), "settings": None}


FIGURES: Mapping[str, str] = {
    "ap": "AP",
    "ap50": "AP50",
    "pq": "PQ",
    "miou": "mIoU",
    "boundary_iou": "boundary IoU",
}
"""The figures of trainings by their keys, as people write them."""

_LEARNED = {"ap": "boxes", "pq": "masks", "miou": "pixels"}


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the curve: after so many steps the loss since the last one, and the figures in [0, 1]."""

    step: int
    seconds: float
    loss: float
    figures: Mapping[str, float | None]

    def to_json(self) -> dict[str, Any]:
        """The point as an object of JSON, with the figures beside the rest."""
        return {"step": self.step, "seconds": self.seconds, "loss": self.loss, **self.figures}


def decode_point(entry: Mapping[str, Any]) -> Point:
    """Return the point that ``Point.to_json`` made the object of."""
    figures = {name: value for name, value in entry.items() if name in FIGURES}
    return Point(entry["step"], entry["seconds"], entry["loss"], figures)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure in [0, 1] with its interval of 95 %; None where there is too little to measure."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """The figures of one class, by their keys in ``FIGURES``, and how many objects of it they rest on."""

    figures: Mapping[str, Figure]
    n_truth: int


@dataclass(frozen=True, slots=True)
class Best:
    """The figures of the weights that were kept, those after ``step``, on the split that chose them.

    The first of ``figures`` is the one that they were chosen by.
    """

    step: int
    figures: Mapping[str, Figure]
    per_class: Mapping[str, ClassFigures]
    split: str = "val"

    @property
    def chosen_by(self) -> str:
        """The key of the figure that decided: "ap" of boxes, "pq", or "miou"."""
        return next(iter(self.figures))

    @property
    def learned(self) -> str:
        """What was learned: boxes, masks, or the classes of pixels."""
        return _LEARNED[self.chosen_by]


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
    """Encode the result of a training as an object of JSON."""
    entry = dataclasses.asdict(trained)
    return {
        **entry,
        "checkpoint": str(trained.checkpoint),
        "best": _encode_best(trained.best),
        "curve": [point.to_json() for point in trained.curve],
    }


def decode_trained(entry: Mapping[str, Any], checkpoint: Path) -> Trained:
    """Return what ``encode_trained`` made the object of, wherever the folder lies now."""
    best = entry["best"]
    per_class = {name: ClassFigures(_figures(one), one["n_truth"]) for name, one in best["per_class"].items()}
    return Trained(
        **{
            **entry,
            "checkpoint": checkpoint,
            "best": Best(best["step"], _figures(best), per_class, best["split"]),
            "curve": tuple(decode_point(point) for point in entry["curve"]),
            "notes": tuple(entry["notes"]),
        }
    )


def _encode_best(best: Best) -> dict[str, Any]:
    per_class = {
        name: {**_encode_figures(one.figures), "n_truth": one.n_truth} for name, one in best.per_class.items()
    }
    shown = {"step": best.step, "split": best.split, "per_class": per_class}
    return {**_encode_figures(best.figures), **shown}


def _encode_figures(figures: Mapping[str, Figure]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for name, figure in figures.items():
        entry[name] = figure.value
        entry[f"{name}_interval"] = None if figure.low is None else [figure.low, figure.high]
    return entry


def _figures(entry: Mapping[str, Any]) -> dict[str, Figure]:
    return {
        name: Figure(value, *(entry[f"{name}_interval"] or ()))
        for name, value in entry.items()
        if name in FIGURES
    }
