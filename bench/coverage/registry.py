"""All set-ups. A new module of set-ups has a function ``setups()``, and a line here."""

from __future__ import annotations

from collections.abc import Iterator

from bench.coverage import (
    average_precision,
    class_means,
    control,
    drift,
    effort,
    promotions,
    shares,
    thresholds,
)
from bench.coverage.frame import Setup


def all_setups() -> Iterator[Setup]:
    """Every set-up, in the order of the table."""
    yield from shares.setups()
    yield from average_precision.setups()
    yield from class_means.setups()
    yield from effort.setups()
    yield from control.setups()
    yield from drift.setups()
    yield from thresholds.setups()
    yield from promotions.setups()
