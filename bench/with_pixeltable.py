"""pixeltable's two columns, ``detr_for_object_detection`` and ``detr_for_segmentation``, image by image.

Runs in an environment of its own. One image per insert: the columns' fixed batch of 4 needs more memory for
the segmentation than most machines have.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
import tempfile
from typing import Any

from bench.worker import seconds_each, serve

THRESHOLD = 0.5


class Columns:
    """One table per column, so that the time of each is its own."""

    def __init__(self, detector: str, segmenter: str) -> None:
        # No types here: it is not there when types are checked. It reads PIXELTABLE_HOME when it is imported.
        pixeltable: Any = importlib.import_module("pixeltable")
        huggingface: Any = importlib.import_module("pixeltable.functions.huggingface")
        self._pixeltable = pixeltable
        self._columns = {
            "detection": (huggingface.detr_for_object_detection, detector),
            "segmentation": (huggingface.detr_for_segmentation, segmenter),
        }
        self._tables: dict[str, Any] = {}

    def warm_up(self, column: str, photo: str) -> dict[str, Any]:
        function, model = self._columns[column]
        table = self._pixeltable.create_table(column, {"image": self._pixeltable.Image})
        found = function(table.image, model_id=model, threshold=THRESHOLD)
        # The map of segments is an array of the image's size; what is stored is what is said about them.
        table.add_computed_column(found=found.segments_info if column == "segmentation" else found)
        self._tables[column] = table
        self._insert(column, photo)
        row = table.select(table.found).collect()[0]["found"]
        return {"n": len(row if column == "segmentation" else row["scores"])}

    def run(self, column: str, photos: list[str]) -> dict[str, Any]:
        return {"s": seconds_each(lambda photo: self._insert(column, photo), photos)}

    def _insert(self, column: str, photo: str) -> None:
        self._tables[column].insert([{"image": photo}])


def main(detector: str, segmenter: str) -> None:
    with tempfile.TemporaryDirectory(prefix="pixeltable-", ignore_cleanup_errors=True) as home:
        os.environ["PIXELTABLE_HOME"] = home
        columns = Columns(detector, segmenter)
        versions = {
            name: importlib.metadata.version(name) for name in ("pixeltable", "torch", "transformers")
        }
        serve(
            {
                "warm_up": columns.warm_up,
                "run": columns.run,
                "versions": lambda: versions,
            }
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
