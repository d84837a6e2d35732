"""From seconds per round to what is said about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

GFLOP = 172.0
"""Of DETR-R50 per 640x480 photo at 800: 86 G multiply-adds, as in its paper (Carion et al., 2020)."""

Seconds = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A median over the rounds, and the lowest and the highest of them."""

    median: float
    low: float
    high: float


def over_rounds(values: Sequence[float]) -> Figure:
    return Figure(median(values), min(values), max(values))


def together(seconds: Seconds, *rows: str) -> list[float] | None:
    """Seconds of several contenders one after the other, round by round; None if one of them is missing."""
    if not all(seconds.get(row) for row in rows):
        return None
    return [sum(values) for values in zip(*(seconds[row] for row in rows), strict=False)]


def times_faster(slow: Sequence[float] | None, fast: Sequence[float] | None) -> Figure | None:
    """Compute how many photos ``fast`` does while ``slow`` does one, taken within each round."""
    if not slow or not fast:
        return None
    return over_rounds([a / b for a, b in zip(slow, fast, strict=False)])


def repays_from(compile_s: float, eager: Sequence[float], compiled: Sequence[float]) -> int | None:
    """Photos from which the time to compile is won back; None if compiled is not faster."""
    won = median(eager) - median(compiled)
    return math.ceil(compile_s / won) if won > 0 else None


def headline(results: Mapping[str, Any]) -> dict[str, Any]:
    """The medians of the ratios by name, for ``results.json``."""
    seconds = results["seconds"]
    both = {row: seconds[row] for row in seconds if row.startswith("detseg") and row.endswith("both")}
    if not both:
        return {}
    best = min(both, key=lambda row: median(both[row]))
    boxes = {row: seconds[row] for row in seconds if row.startswith("detseg") and row.endswith("detection")}
    quickest = min(boxes, key=lambda row: median(boxes[row])) if boxes else ""
    columns = together(seconds, "pixeltable, detection", "pixeltable, segmentation")
    recipe = together(seconds, "transformers, detection", "transformers, segmentation")
    exact = [row for row in both if "float32" in row]
    exact_best = min(exact, key=lambda row: median(both[row])) if exact else ""
    figures = {
        "both, float32, times pixeltable": times_faster(columns, both.get(exact_best)),
        "both, best, times pixeltable": times_faster(columns, both[best]),
        "both, best, times transformers": times_faster(recipe, both[best]),
        "detection, best, times transformers": times_faster(
            seconds.get("transformers, detection"), boxes.get(quickest)
        ),
        "both, best, share of the forward pass": times_faster(
            seconds.get(f"{best}, forward pass"), both[best]
        ),
        "both, best, times the floor": over_rounds(
            [
                s / (GFLOP / rate)
                for s, rate in zip(both[best], results["gflop_per_s"]["bfloat16"], strict=False)
            ]
        ),
    }
    return {"best": best} | {name: figure.median if figure else None for name, figure in figures.items()}
