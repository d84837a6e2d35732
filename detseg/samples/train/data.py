"""The training pictures: scenes rendered once, shrunk to what the models see, and kept on disk.

A folder of shards; each holds 250 scenes as plain ``.npy`` files, which are mapped, not read. A shard is
rendered beside its place and renamed when whole, so a killed rendering goes on where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from detseg.samples.scenes import SAMPLE_CLASSES, generate_scene
from detseg.types import Size

DETECTOR_SIZE = Size(288, 224)
SEGMENTER_SIZE = Size(256, 192)

TRAIN_SEEDS_FROM = 1_000_000
HELD_OUT_SEEDS = range(1000)
PROGRESS_SEEDS = range(10_000, 10_100)

MAX_INSTANCES = 12
"""Nine parts at most, tray and belt, and one to spare."""

_SHARD = 250
_LABEL_IDS = {c.name: i for i, c in enumerate(SAMPLE_CLASSES)}
NO_LABEL = 255


@dataclass(frozen=True, slots=True, eq=False)
class Shrunk:
    """Scenes as the models see them, in one block.

    ``detector`` uint8 (N, 224, 288, 3); ``segmenter`` uint8 (N, 192, 256, 3); ``owner`` uint8
    (N, 192, 256): which instance a pixel belongs to; ``labels`` uint8 (N, 12), 255 where there is no
    instance; ``boxes`` float32 (N, 12, 4) as centre and size in [0, 1], zero for stuff.
    """

    detector: npt.NDArray[np.uint8]
    segmenter: npt.NDArray[np.uint8]
    owner: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)


_FIELDS = ("detector", "segmenter", "owner", "labels", "boxes")


def shrink(image: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """The picture at that size, the way the image processors do it (bilinear, anti-aliased)."""
    small = Image.fromarray(image).resize((size.width, size.height), Image.Resampling.BILINEAR)
    return np.asarray(small)


def render_shard(seeds: Sequence[int]) -> Shrunk:
    """The scenes of those seeds, shrunk."""
    n = len(seeds)
    block = Shrunk(
        np.empty((n, DETECTOR_SIZE.height, DETECTOR_SIZE.width, 3), np.uint8),
        np.empty((n, SEGMENTER_SIZE.height, SEGMENTER_SIZE.width, 3), np.uint8),
        np.empty((n, SEGMENTER_SIZE.height, SEGMENTER_SIZE.width), np.uint8),
        np.full((n, MAX_INSTANCES), NO_LABEL, np.uint8),
        np.zeros((n, MAX_INSTANCES, 4), np.float32),
    )
    for row, seed in enumerate(seeds):
        scene = generate_scene(seed)
        block.detector[row] = shrink(scene.image, DETECTOR_SIZE)
        block.segmenter[row] = shrink(scene.image, SEGMENTER_SIZE)
        index_of = np.zeros(max(scene.segment_ids) + 1, np.uint8)
        for i, (instance, segment_id) in enumerate(zip(scene.instances, scene.segment_ids, strict=True)):
            index_of[segment_id] = i
            block.labels[row, i] = _LABEL_IDS[instance.label]
            if instance.box is not None:
                x0, y0, x1, y1 = instance.box.xyxy
                width, height = scene.size.width, scene.size.height
                block.boxes[row, i] = (
                    (x0 + x1) / 2 / width,
                    (y0 + y1) / 2 / height,
                    (x1 - x0) / width,
                    (y1 - y0) / height,
                )
        owner = Image.fromarray(index_of[scene.panoptic])
        block.owner[row] = np.asarray(
            owner.resize((SEGMENTER_SIZE.width, SEGMENTER_SIZE.height), Image.Resampling.NEAREST)
        )
    return block


def _write_shard(folder: Path, seeds: Sequence[int]) -> None:
    place = folder / f"{seeds[0]}-{len(seeds)}"
    if place.exists():
        return
    block = render_shard(seeds)
    beside = place.with_name(f"{place.name}.part{os.getpid()}")
    beside.mkdir(parents=True, exist_ok=True)
    for name in _FIELDS:
        np.save(beside / f"{name}.npy", getattr(block, name))
    beside.rename(place)


def render(folder: Path, n_scenes: int, *, n_workers: int) -> Iterator[int]:
    """Render what is missing of the first ``n_scenes`` training scenes; yields how many are there."""
    starts = range(TRAIN_SEEDS_FROM, TRAIN_SEEDS_FROM + n_scenes, _SHARD)
    shards = [range(s, min(s + _SHARD, TRAIN_SEEDS_FROM + n_scenes)) for s in starts]
    folder.mkdir(parents=True, exist_ok=True)
    done = 0
    with ProcessPoolExecutor(n_workers) as pool:
        for seeds, _ in zip(shards, pool.map(_write_shard, [folder] * len(shards), shards), strict=True):
            done += len(seeds)
            yield done


@dataclass(frozen=True, slots=True)
class SceneStore:
    """The rendered training scenes, mapped from disk."""

    shards: tuple[Shrunk, ...]

    def __len__(self) -> int:
        return sum(len(s) for s in self.shards)

    def rows(self, indices: npt.NDArray[np.int64], fields: Sequence[str]) -> list[npt.NDArray[Any]]:
        """Those scenes' fields, each stacked to (len(indices), ...)."""
        ends = np.cumsum([len(s) for s in self.shards])
        found = [(int(np.searchsorted(ends, i, side="right")), int(i)) for i in indices]
        return [
            np.stack([getattr(self.shards[s], name)[i - (ends[s] - len(self.shards[s]))] for s, i in found])
            for name in fields
        ]


def open_store(folder: Path, n_scenes: int) -> SceneStore:
    """Map the first ``n_scenes`` training scenes, all of which ``render`` has made."""
    shards = []
    for start in range(TRAIN_SEEDS_FROM, TRAIN_SEEDS_FROM + n_scenes, _SHARD):
        n = min(_SHARD, TRAIN_SEEDS_FROM + n_scenes - start)
        place = folder / f"{start}-{n}"
        shards.append(Shrunk(*(np.load(place / f"{name}.npy", mmap_mode="r") for name in _FIELDS)))
    return SceneStore(tuple(shards))
