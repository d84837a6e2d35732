"""A reviewer with a script: which region meets which fate is known, so that what is found can be checked."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from detseg.geometry.masks import bitmap_to_mask, mask_to_box
from detseg.labelstudio.codec import encode_regions
from detseg.labelstudio.session import Json
from detseg.models.predictor import Abilities
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, DecodedImage, EditKind, Instance, Mask, ModelVersion, Region, RegionId, Size

SIZE = Size(160, 120)
TAXONOMY = Taxonomy((LabelClass("bolt"), LabelClass("nut")))
VERSION = ModelVersion("scripted@00000001")
CELL = 40
COLUMNS = 4
N_REGIONS = 10
_BOXES, _BOTH = range(4), range(4, 7)
_OTHER = {"bolt": "nut", "nut": "bolt"}

Fate = tuple[EditKind, str | None]
"""What becomes of a region, and the model's id of it; None for an added one."""


@dataclass
class GridPredictor(Abilities):
    """Ten things in a grid of twelve cells: four with a box, three with both, three with a mask alone."""

    version: ModelVersion = VERSION
    taxonomy: Taxonomy = TAXONOMY
    detector: str = "grid"
    segmenter: str = "grid"
    unmapped: Counter[str] = field(default_factory=Counter)

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        return tuple(tuple(self._instance(rank) for rank in range(N_REGIONS)) for _ in batch)

    def _instance(self, rank: int) -> Instance:
        label, score = ("bolt", "nut")[rank % 2], 0.99 - rank / 100
        if rank in _BOXES:
            return Instance(label, "thing", _box(rank), None, score, "detector")
        mask = blob(rank)
        box = mask_to_box(mask) if rank in _BOTH else None
        return Instance(label, "thing", box, mask, score, "both" if box else "segmenter")


def _corner(cell: int) -> tuple[int, int]:
    return CELL * (cell % COLUMNS), CELL * (cell // COLUMNS)


def _box(cell: int) -> Box:
    x, y = _corner(cell)
    return Box(x + 6, y + 8, x + 34, y + 30)


def blob(cell: int, *, grown: int = 0) -> Mask:
    """A disc in a cell; ``grown`` by some pixels."""
    x, y = _corner(cell)
    rows, columns = np.mgrid[: SIZE.height, : SIZE.width]
    return bitmap_to_mask(np.hypot(columns - x - 20, rows - y - 20) < 12 + grown)


def review(results: Sequence[Json], seed: int) -> tuple[list[Json], Counter[Fate]]:
    """A prediction's results as a person left them, by a script of eight changes, and the regions' fates.

    Two boxes moved, one box drawn anew under another id, two masks reshaped, one label changed, one region
    deleted, one added; the three others are kept.
    """
    rng = random.Random(seed)
    by_rank = _by_rank(results)
    anew, *moved = rng.sample(_BOXES, 2)
    moved.append(rng.choice(_BOTH))
    reshaped = rng.sample([rank for rank in range(len(_BOXES), N_REGIONS) if rank not in moved], 2)
    relabeled, deleted = rng.sample(sorted(set(range(N_REGIONS)) - {anew, *moved, *reshaped}), 2)
    kinds: dict[int, EditKind] = dict.fromkeys(range(N_REGIONS), "kept")
    for rank in (anew, *moved):
        kinds[rank] = "moved"
    for rank in reshaped:
        kinds[rank] = "reshaped"
    kinds[relabeled], kinds[deleted] = "relabeled", "deleted"
    left: list[Json] = []
    for rank, parts in by_rank.items():
        if rank == anew:
            left += _drawn_anew(parts, seed)
        elif rank != deleted:
            left += [_changed(part, kinds[rank], rank, rng) for part in parts]
    left += encode_regions([_added(rng)], SIZE, TAXONOMY, where="the script")
    rng.shuffle(left)
    fates: Counter[Fate] = Counter((kinds[rank], region_of(by_rank[rank][0])) for rank in by_rank)
    fates["added", None] += 1
    return left, fates


def region_of(result: Json) -> str:
    """The id of the region that a result is (a half of)."""
    return str(result["id"]).removesuffix("-box").removesuffix("-mask")


def _by_rank(results: Sequence[Json]) -> dict[int, list[Json]]:
    """Each region's results, by its rank: the score says which it is."""
    parts: dict[int, list[Json]] = {}
    for result in copy.deepcopy(list(results)):
        parts.setdefault(round(100 * (0.99 - result["score"])), []).append(result)
    return dict(sorted(parts.items()))


def _changed(part: Json, kind: EditKind, rank: int, rng: random.Random) -> Json:
    value = part["value"]
    if kind == "moved" and part["type"] == "rectanglelabels":
        value["x"] += rng.choice((-2.5, 2.5))
    elif kind == "reshaped" and part["type"] == "brushlabels":
        grown = Region(RegionId("x"), "person", Instance("bolt", "thing", None, blob(rank, grown=3)))
        value["rle"] = encode_regions([grown], SIZE, TAXONOMY, where="the script")[0]["value"]["rle"]
    elif kind == "relabeled":
        value[part["type"]] = [_OTHER[name] for name in value[part["type"]]]
    return part


def _drawn_anew(parts: Sequence[Json], seed: int) -> list[Json]:
    (part,) = parts
    part["value"]["width"] += 2.0
    return [{**part, "id": f"anew{seed}"}]


def _added(rng: random.Random) -> Region:
    cell = rng.choice((N_REGIONS, N_REGIONS + 1))
    return Region(RegionId(f"added{cell}"), "person", Instance("nut", "thing", _box(cell)))
