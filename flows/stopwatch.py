"""How long the steps of a run take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Stopwatch:
    """Measures named steps; ``seconds`` holds them in their order, and their sum as ``total``."""

    def __init__(self) -> None:
        self._steps: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self._steps[step] = self._steps.get(step, 0.0) + time.monotonic() - start

    @property
    def seconds(self) -> Mapping[str, float]:
        return {**self._steps, "total": sum(self._steps.values())}
