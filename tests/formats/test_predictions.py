"""What ``detseg predict`` writes is read again as it was."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detseg.errors import FormatError
from detseg.formats import ImageLabels
from detseg.formats.predictions import (
    PredictionsFile,
    encode_line,
    encode_prediction,
    is_predictions,
    read_predictions,
)
from detseg.geometry.masks import bitmap_to_mask
from detseg.types import Box, DecodedImage, ImageId, ImageRef, Instance, Size

MASK = bitmap_to_mask(np.eye(6, 8, dtype=bool))
INSTANCES = (
    Instance("bolt 🔩", "thing", Box(0, 0.5, 7, 6), MASK, 0.25, "both"),
    Instance("nut", "thing", Box(1, 1, 2, 2), score=1.0),
    Instance("belt", "stuff", mask=MASK, score=0.5, seen_by="segmenter"),
)
ENTRY: dict[str, Any] = {
    "label": "nut", "kind": "thing", "score": 0.5, "seen_by": None, "box": [1, 1, 2, 2], "mask": None
}  # fmt: skip


def write(*images: tuple[str, tuple[Instance, ...]]) -> Any:
    text = io.StringIO()
    file = PredictionsFile(text, model={"version": "m@1"})
    for name, instances in images:
        ref = ImageRef(ImageId(f"sha256:{name}"), name)
        image = DecodedImage(ref, Size(8, 6), np.zeros((6, 8, 3), dtype=np.uint8))
        file.write(encode_line(encode_prediction(image, instances, None)))
    file.close([{"path": "c.png", "reason": "is empty (0 bytes)"}])
    return json.loads(text.getvalue())


def test_what_is_written_is_read() -> None:
    data = write(("a\n.png", INSTANCES), ("b.png", ()))
    assert is_predictions(data)
    assert data["images"][0]["counts"] == {"belt": 1, "bolt 🔩": 1, "nut": 1}
    assert data["images"][0]["coverage"] == {"belt": 0.125, "bolt 🔩": 0.125}  # a nut has a box alone
    assert list(read_predictions(data, Path("p.json"))) == [
        ImageLabels("a\n.png", Size(8, 6), INSTANCES),
        ImageLabels("b.png", Size(8, 6)),
    ]
    assert list(read_predictions(write(), Path("p.json"))) == []


@pytest.mark.parametrize(
    "change",
    [
        {"label": 7},
        {"kind": "other"},
        {"score": 1.5},
        {"box": [10**400, 1, 2, 2]},
        {"box": [3, 1, 2, 2]},
        {"box": None},
        {"mask": {"size": [6, 8], "counts": "~"}},
        {"mask": {"size": [6, 8], "counts": [47]}},
        {"mask": {"size": [0, 8], "counts": []}},
    ],
    ids=str,
)
def test_other_entries_are_refused_with_their_place(change: dict[str, Any]) -> None:
    entries = [
        {"path": "a.png", "width": 8, "height": 6, "instances": [one]} for one in (ENTRY, ENTRY | change)
    ]
    images = read_predictions({"images": entries}, Path("p.json"))
    assert next(images).instances == (Instance("nut", "thing", Box(1, 1, 2, 2), score=0.5),)
    with pytest.raises(FormatError, match=r"p\.json, images 1: "):
        next(images)
