"""How a figure is shown, everywhere: on every tab, in the terminal, on Prefect's page and in JSON.

The rule looks at how much was seen, never at what came out; ``intervals`` has its limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from detseg.metrics.intervals import MIN_UNITS, Estimate

Level = Literal["firm", "rough", "unknown"]
"""``firm``: to act on; ``rough``: from too little data, with its interval however wide; ``unknown``: there is
nothing to compute it from."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The figure as it is shown. ``value``, ``low`` and ``high`` are None where it is unknown."""

    level: Level
    value: float | None
    low: float | None
    high: float | None
    n: int
    """the units that it rests on"""
    n_more: int | None
    """units that are missing until it can be acted on; 0 where it can, None where that is unknown"""


def show(estimate: Estimate) -> Shown:
    """Decide how a figure is shown.

    >>> show(Estimate(0.8, 0.7, 0.9, 60, 200)).level
    'firm'
    >>> show(Estimate(None, None, None, 0, 385))
    Shown(level='unknown', value=None, low=None, high=None, n=0, n_more=None)
    """
    if estimate.value is not None:
        return Shown("firm", estimate.value, estimate.low, estimate.high, estimate.n, 0)
    rough = estimate.rough
    if rough is None or estimate.n < 2:  # one image does not tell how images differ
        return Shown("unknown", None, None, None, estimate.n, None)
    return Shown("rough", rough.value, rough.low, rough.high, estimate.n, rough.n_more)


def show_plain(value: float | None, n: int) -> Level:
    """Decide how a figure of ``n`` units is shown that has no interval."""
    if value is None:
        return "unknown"
    return "firm" if n >= MIN_UNITS else "rough"
