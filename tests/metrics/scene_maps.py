"""Small made-up scenes that cover every pixel, as arrays, annotations and COCO panoptic files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from detseg.geometry.masks import bitmap_to_mask
from detseg.types import Annotation, Kind, Size
from tests.metrics.made import annotation, masked

Numbers = npt.NDArray[np.int64]
SceneMap = tuple[Numbers, list[str]]
"""Which segment owns each pixel, and the label of each segment."""

KINDS: dict[str, Kind] = {"belt": "stuff", "bolt": "thing", "nut": "thing", "tray": "stuff"}
NUMBERS = {"belt": 1, "bolt": 2, "nut": 3, "tray": 4}
FIRST_ID = 250
"""Ids reach beyond one byte, so that the colour has to be decoded."""


def make_scene(rng: np.random.Generator, shift: int) -> SceneMap:
    """Things on two surfaces, moved to the right; from the fourth on they differ by the shift."""
    owners = np.zeros((60, 80), dtype=np.int64)
    owners[:, 60 + shift :] = 1
    labels = ["belt", "tray"]
    for n in range(6):
        y, x = rng.integers(0, 40, 2)
        label = ["bolt", "nut"][int(rng.integers(0, 2))]
        owners[y : y + 15, x + shift : x + shift + 15] = len(labels)
        labels.append(label)
        if n == 3:
            rng.integers(0, 2, shift + 1)  # from here on the two scenes of a pair differ
    return owners, labels


def pairs_of_scenes() -> list[tuple[SceneMap, SceneMap]]:
    """Truth and prediction of twelve images."""
    return [
        (
            make_scene(np.random.default_rng(seed), 0),
            make_scene(np.random.default_rng(seed), 1 + seed % 3),
        )
        for seed in range(12)
    ]


def as_annotation(scene: SceneMap, *, image: str, score: float | None) -> Annotation:
    """A region for each segment that owns a pixel."""
    owners, labels = scene
    regions = [
        masked(f"{image}-{n}", label, bitmap_to_mask(owners == n), score=score, kind=KINDS[label])
        for n, label in enumerate(labels)
        if (owners == n).any()
    ]
    return annotation(regions, image=image, size=Size(owners.shape[1], owners.shape[0]))


def write_panoptic(folder: Path, name: str, scenes: Sequence[SceneMap]) -> Path:
    """``name.json`` and the folder ``name`` of PNGs; the path of the JSON file."""
    (folder / name).mkdir()
    annotations = []
    for n, (owners, labels) in enumerate(scenes):
        ids = owners + FIRST_ID
        png = np.stack([ids % 256, ids // 256, np.zeros_like(ids)], axis=-1).astype(np.uint8)
        Image.fromarray(png).save(folder / name / f"{n}.png")
        segments = [
            {"id": int(i) + FIRST_ID, "category_id": NUMBERS[labels[i]], "iscrowd": 0, "area": 1}
            for i in np.unique(owners)
        ]
        annotations.append({"image_id": n, "file_name": f"{n}.png", "segments_info": segments})
    height, width = scenes[0][0].shape
    data = {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "width": width, "height": height} for n in range(len(scenes))
        ],
        "categories": [
            {"id": number, "name": label, "isthing": int(KINDS[label] == "thing")}
            for label, number in NUMBERS.items()
        ],
        "annotations": annotations,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(data))
    return path


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Changes what a JSON file holds, in place."""
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
