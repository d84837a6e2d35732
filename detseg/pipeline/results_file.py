"""A JSON file of many images, written one by one, that is either whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any


class ResultsFile:
    """``{"model": ..., "images": [...], "failed": [...]}``, under its name only when it is complete."""

    def __init__(self, path: Path, *, model: Mapping[str, Any]) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        self._model = model
        self._n_images = 0

    def __enter__(self) -> ResultsFile:
        self._file = self._partial.open("w", encoding="utf-8")
        self._file.write(f'{{"model": {_dumps(self._model)},\n "images": [')
        return self

    def write(self, image: str) -> None:
        """Adds one image, given as JSON text without line breaks."""
        self._file.write(f"{',' if self._n_images else ''}\n  {image}")
        self._n_images += 1

    def close(self, failed: Sequence[Mapping[str, Any]]) -> None:
        """Ends the file and gives it its name."""
        self._file.write(f'\n ],\n "failed": {_dumps(list(failed))}}}\n')
        self._file.close()
        self._partial.replace(self._path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
