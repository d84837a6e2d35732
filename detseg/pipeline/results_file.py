"""The JSON file of ``detseg predict``, written image by image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import IO, Any

from detseg.escaping import escape_json


class ResultsFile:
    """``{"model": ..., "images": [...], "failed": [...]}``, written to an open file."""

    def __init__(self, file: IO[str], *, model: Mapping[str, Any]) -> None:
        self._file = file
        self._n_images = 0
        file.write(f'{{"model": {encode_line(model)},\n "images": [')

    def write(self, image: str) -> None:
        """Adds one image, given as ``encode_line`` made it."""
        self._file.write(f"{',' if self._n_images else ''}\n  {image}")
        self._n_images += 1

    def close(self, failed: Sequence[Mapping[str, Any]]) -> None:
        """Writes the end; the file has to be closed yet."""
        self._file.write(f'\n ],\n "failed": {encode_line(failed)}}}\n')


def encode_line(value: Any) -> str:
    """JSON without line breaks."""
    return escape_json(json.dumps(value, ensure_ascii=False))
