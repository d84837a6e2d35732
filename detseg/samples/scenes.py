"""Made-up photographs of metal parts on a tray on a conveyor belt, with exact truth.

``generate_scene(seed)`` is a pure function of the seed and the size. The truth is exact by construction:
every pixel belongs to whatever was painted there last, holes show (and belong to) what lies below, and an
instance of which almost nothing is visible is never placed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detseg.geometry.masks import bitmap_to_mask
from detseg.samples.materials import paint_belt
from detseg.samples.photograph import expose, lay_tray, paint_part, random_light
from detseg.samples.placement import BELT_ID, FIRST_PART_ID, TRAY_ID, Owners, Part, place_parts
from detseg.taxonomy import LabelClass
from detseg.types import Box, Instance, Size

DEFAULT_SIZE = Size(640, 480)


SAMPLE_CLASSES = (
    LabelClass("bolt", "thing", "#e4572e"),
    LabelClass("nut", "thing", "#f3a712"),
    LabelClass("washer", "thing", "#17bebb"),
    LabelClass("gear", "thing", "#7b5ea7"),
    LabelClass("bracket", "thing", "#2e86ab"),
    LabelClass("tray", "stuff", "#8fb339"),
    LabelClass("belt", "stuff", "#5c6b73"),
)
"""In the order of the COCO category ids 1 to 7 and of the label ids 0 to 6 of the shipped checkpoints."""

THING_NAMES = tuple(c.name for c in SAMPLE_CLASSES if c.kind == "thing")
STUFF_NAMES = tuple(c.name for c in SAMPLE_CLASSES if c.kind == "stuff")


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A photograph and its truth.

    ``image`` is uint8 (H, W, 3). ``panoptic`` is int32 (H, W): every pixel holds the ``segment_ids[i]`` of
    the ``instances[i]`` that it shows. Things come first, in the order in which they lie on each other,
    then tray and belt. A thing has the tight box and the mask of its visible part, stuff has a mask only.
    """

    seed: int
    size: Size
    image: npt.NDArray[np.uint8]
    instances: tuple[Instance, ...]
    segment_ids: tuple[int, ...]
    panoptic: npt.NDArray[np.int32]


def generate_scene(seed: int, size: Size = DEFAULT_SIZE) -> Scene:
    """The scene of that seed (0 or above) and size: always the same one."""
    rng = np.random.default_rng(seed)
    scale = min(size.width / DEFAULT_SIZE.width, size.height / DEFAULT_SIZE.height)
    light = random_light(rng)
    canvas = paint_belt(size, scale, rng)  # (3, H, W)
    owners = np.full((size.height, size.width), BELT_ID, dtype=np.int32)
    floor = lay_tray(canvas, owners, scale, light=light, rng=rng)
    parts = place_parts(owners, floor, scale, rng=rng)
    for part in parts:
        paint_part(canvas, part, light=light, rng=rng)
    image = expose(canvas, scale, rng)
    return _with_truth(seed, image, owners, parts)


def _with_truth(seed: int, image: npt.NDArray[np.uint8], owners: Owners, parts: list[Part]) -> Scene:
    """The scene, with an instance for everything that is visible."""
    height, width = owners.shape
    labels = [(FIRST_PART_ID + i, part.label) for i, part in enumerate(parts)]
    by_columns = np.asfortranarray(owners)  # the order of the run lengths
    instances: list[Instance] = []
    segment_ids: list[int] = []
    for segment_id, label in [*labels, (TRAY_ID, "tray"), (BELT_ID, "belt")]:
        bitmap = by_columns == segment_id
        mask = bitmap_to_mask(bitmap)
        if mask.area == 0:  # a tiny image may be all tray
            continue
        if label in STUFF_NAMES:
            instances.append(Instance(label, "stuff", mask=mask))
        else:
            columns, rows = np.flatnonzero(bitmap.any(axis=0)), np.flatnonzero(bitmap.any(axis=1))
            box = Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
            instances.append(Instance(label, "thing", box=box, mask=mask))
        segment_ids.append(segment_id)
    return Scene(seed, Size(width, height), image, tuple(instances), tuple(segment_ids), owners)
