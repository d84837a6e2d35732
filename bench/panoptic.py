"""``python -m bench.panoptic``: panoptic quality of 500 images of 640x480, beside torchmetrics'.

The maps are made up and seeded: two surfaces with twelve ragged things, each found a little beside its place
or not at all. Torchmetrics' ``PanopticQuality`` takes them as tensors; ours takes regions with run lengths,
as the catalog has them, or makes those from the same arrays first. Prints one JSON object: CPU seconds of one
thread (median, least and most of five rounds), how many times faster, and the largest difference of a figure.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.detection import PanopticQuality as TorchmetricsQuality

from detseg.geometry.label_maps import segments_to_masks
from detseg.metrics.panoptic import PanopticQuality, panoptic_quality
from detseg.types import Annotation, ImageId, Instance, Region, RegionId, Size

WIDTH, HEIGHT = 640, 480
ROUNDS = 5
STUFF, THINGS = ("belt", "tray"), ("bolt", "gear", "nut", "washer")
CLASSES = (*STUFF, *THINGS)
N_THINGS = 12

Array = npt.NDArray[np.uint8]
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """The owner of each pixel, (H, W), and the place in CLASSES of each segment."""

    owners: Array
    classes: Array


def make_image(seed: int) -> tuple[Side, Side]:
    """Truth and prediction."""
    rng = np.random.default_rng(seed)
    sides = [np.zeros((HEIGHT, WIDTH), dtype=np.uint8) for _ in range(2)]
    edge = int(rng.integers(200, 440))
    for side, shift in zip(sides, (0, int(rng.integers(-9, 9))), strict=True):
        side[:, edge + shift :] = 1
    classes = [0, 1]
    for number in range(2, 2 + N_THINGS):
        classes.append(int(rng.integers(len(STUFF), len(CLASSES))))
        x, y, radius = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(15, 70)
        phase, moved = rng.uniform(0, 6), rng.normal(0, radius / 8, 2)
        sides[0][_blob(x, y, radius, phase)] = number
        if rng.random() < 0.85:
            sides[1][_blob(x + moved[0], y + moved[1], radius, phase)] = number
    return Side(sides[0], np.array(classes, dtype=np.uint8)), Side(
        sides[1], np.array(classes, dtype=np.uint8)
    )


def _blob(x: float, y: float, radius: float, phase: float) -> npt.NDArray[np.bool_]:
    dx, dy = COLUMNS - x, ROWS - y
    inside: npt.NDArray[np.bool_] = np.hypot(dx, dy) < radius * (
        1 + 0.15 * np.sin(5 * np.arctan2(dy, dx) + phase)
    )
    return inside


def to_annotation(side: Side, image: int, score: float | None) -> Annotation:
    """The regions of an array."""
    numbers = np.flatnonzero(np.bincount(side.owners.ravel(), minlength=len(side.classes)))
    regions = []
    for number, mask in zip(numbers, segments_to_masks(side.owners, numbers.tolist()), strict=True):
        label = CLASSES[side.classes[number]]
        kind = "stuff" if label in STUFF else "thing"
        instance = Instance(label, kind, mask=mask, score=score)  # type: ignore[arg-type]
        regions.append(Region(RegionId(str(number)), "person", instance))
    size = Size(WIDTH, HEIGHT)
    return Annotation(ImageId(f"sha256:{image:06d}"), size, "made", "labeled", tuple(regions))


def to_tensor(side: Side) -> torch.Tensor:
    """(1, H, W, 2): class and segment."""
    return torch.tensor(np.stack([side.classes[side.owners], side.owners], axis=-1).astype(np.int64))[None]


def torchmetrics_quality() -> TorchmetricsQuality:
    return TorchmetricsQuality(
        things=set(range(len(STUFF), len(CLASSES))),
        stuffs=set(range(len(STUFF))),
        return_sq_and_rq=True,
        return_per_class=True,
    )


@dataclass(slots=True)
class Round:
    """CPU seconds of each way, and what came out."""

    seconds: dict[str, float]
    ours: PanopticQuality
    from_arrays: PanopticQuality
    theirs: list[list[float]]
    """PQ, SQ and RQ of each class, in the order of CLASSES"""


def measure(images: Sequence[tuple[Side, Side]]) -> Round:
    """All images once: one by one by torchmetrics, so that its tensors need not all be in memory."""
    seconds = {"torchmetrics": 0.0}
    quality = torchmetrics_quality()
    for true, found in images:
        tensors = to_tensor(found), to_tensor(true)
        begun = time.process_time()
        quality.update(*tensors)
        seconds["torchmetrics"] += time.process_time() - begun
    theirs: list[list[float]] = quality.compute().tolist()  # things first
    pairs = _annotations(images)
    begun = time.process_time()
    ours = panoptic_quality(*pairs)
    seconds["run_lengths"] = time.process_time() - begun
    begun = time.process_time()
    from_arrays = panoptic_quality(*_annotations(images))
    seconds["arrays"] = time.process_time() - begun
    return Round(seconds, ours, from_arrays, [*theirs[len(THINGS) :], *theirs[: len(THINGS)]])


def _annotations(images: Sequence[tuple[Side, Side]]) -> tuple[list[Annotation], list[Annotation]]:
    truth = [to_annotation(true, n, None) for n, (true, _) in enumerate(images)]
    return truth, [to_annotation(found, n, 0.5) for n, (_, found) in enumerate(images)]


def largest_difference(done: Round) -> float:
    """Of PQ, SQ and RQ of any class."""
    scores = [done.ours.per_class[label] for label in CLASSES]
    ours = np.array([(score.pq, score.sq, score.rq) for score in scores])
    return float(np.abs(ours - np.array(done.theirs)).max())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.panoptic", description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    n_images = parser.parse_args().images
    torch.set_num_threads(1)
    images = [make_image(seed) for seed in range(n_images)]
    rounds = [measure(images) for _ in range(ROUNDS)]
    times = {name: [done.seconds[name] for done in rounds] for name in rounds[0].seconds}
    medians = {name: statistics.median(values) for name, values in times.items()}
    figures = {
        "images": n_images,
        "cpu_s": {
            name: {"median": medians[name], "least": min(values), "most": max(values)}
            for name, values in times.items()
        },
        "times_faster": {name: medians["torchmetrics"] / medians[name] for name in ("run_lengths", "arrays")},
        "pq": rounds[0].ours.all.pq,
        "largest_difference": max(map(largest_difference, rounds)),
        "arrays_give_the_same": all(done.from_arrays == done.ours for done in rounds),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
