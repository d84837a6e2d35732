"""``python -m bench.detection``: COCO's twelve figures of boxes, beside pycocotools'.

5,000 images with 36,000 true objects of 80 classes and 500,000 detections, made from a seed: half of the
detections lie near an object, a fifth of these say another class. Ours starts from annotations, as the
catalog gives them; pycocotools from dicts that are made beforehand. Both run in one process, one after the
other, five times; the figures have to agree to 1e-6. Prints one JSON object: seconds of the clock and of
computing, and how many times faster ours is (median of the rounds, lowest, highest).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detseg.metrics.cases import Case
from detseg.metrics.detection import DetectionTally
from detseg.types import Annotation, Box, ImageId, Instance, ModelVersion, Region, RegionId, Size
from tests.metrics.found import FIGURES

N_IMAGES, N_TRUTH, N_FOUND, N_CLASSES = 5_000, 36_000, 500_000, 80
SIZE = Size(640, 480)


@dataclass(frozen=True, slots=True)
class Boxes:
    """N boxes: position of image and class (N,), corners (N, 4) in pixels, score (N,)."""

    image: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    xyxy: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds and the twelve figures."""

    clock_s: float
    computing_s: float
    figures: tuple[float, ...]


def make_boxes(seed: int, *, scale: float = 1.0) -> tuple[Boxes, Boxes]:
    """The truth and the detections, sorted by image; a ``scale`` of 0.1 makes a tenth of everything."""
    n_images, n_truth, n_found = (int(n * scale) for n in (N_IMAGES, N_TRUTH, N_FOUND))
    rng = np.random.default_rng(seed)
    image = np.sort(rng.integers(0, n_images, n_truth))
    label = rng.integers(0, N_CLASSES, n_truth)
    xyxy = _corners(rng, n_truth)
    truth = Boxes(image, label, xyxy, np.ones(n_truth))
    near = rng.integers(0, n_truth, n_found // 2)
    n_far = n_found - len(near)
    far_label = rng.integers(0, N_CLASSES, n_far)
    near_label = np.where(rng.random(len(near)) < 0.8, label[near], rng.integers(0, N_CLASSES, len(near)))
    found_image = np.concatenate([image[near], rng.integers(0, n_images, n_far)])
    moved = xyxy[near] + rng.normal(0.0, 6.0, (len(near), 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1.0)
    order = np.argsort(found_image, kind="stable")
    found = Boxes(
        found_image[order],
        np.concatenate([near_label, far_label])[order],
        np.concatenate([moved, _corners(rng, n_far)])[order],
        rng.random(n_found)[order],
    )
    return truth, found


def make_cases(truth: Boxes, found: Boxes) -> list[Case]:
    """The boxes as QA gets them."""
    n_images = int(max(truth.image.max(), found.image.max())) + 1
    true, predicted = _regions(truth, n_images, is_truth=True), _regions(found, n_images, is_truth=False)
    cases = []
    for i in range(n_images):
        image = ImageId(f"sha256:{i:064x}")
        review = Annotation(image, SIZE, "ann", "labeled" if true[i] else "empty", tuple(true[i]))
        answer = Annotation(image, SIZE, "model@0", "labeled", tuple(predicted[i]))
        cases.append(Case(image, "", i, "", "assisted", ModelVersion("model@0"), answer, (review,)))
    return cases


def make_records(truth: Boxes, found: Boxes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The boxes as pycocotools takes them."""
    n_images = int(max(truth.image.max(), found.image.max())) + 1
    images = [{"id": i + 1, "width": SIZE.width, "height": SIZE.height} for i in range(n_images)]
    categories = [{"id": k + 1, "name": f"class {k:02}"} for k in range(N_CLASSES)]
    annotations = [
        {**entry, "id": n, "iscrowd": 0, "area": entry["bbox"][2] * entry["bbox"][3]}
        for n, entry in enumerate(_entries(truth), start=1)
    ]
    results = [
        {**entry, "score": score} for entry, score in zip(_entries(found), found.score.tolist(), strict=True)
    ]
    return {"images": images, "categories": categories, "annotations": annotations}, results


def run_ours(cases: Sequence[Case]) -> Run:
    tally = DetectionTally("bbox")

    def evaluate() -> tuple[float, ...]:
        for case in cases:
            tally.add(case)
        score = tally.score()
        return tuple(-1.0 if (v := getattr(score, name)) is None else v for name in FIGURES)

    return _timed(evaluate)


def run_pycocotools(dataset: dict[str, Any], results: list[dict[str, Any]]) -> Run:
    copies = [dict(entry) for entry in results]  # loadRes writes into them

    def evaluate() -> tuple[float, ...]:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = dataset
            truth.createIndex()
            evaluated = COCOeval(truth, truth.loadRes(copies), "bbox")
            evaluated.evaluate()
            evaluated.accumulate()
            evaluated.summarize()
        return tuple(float(value) for value in evaluated.stats)

    return _timed(evaluate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    truth, found = make_boxes(options.seed, scale=options.scale)
    cases, records = make_cases(truth, found), make_records(truth, found)
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(run_ours(cases))
        theirs.append(run_pycocotools(*records))
        np.testing.assert_allclose(ours[-1].figures, theirs[-1].figures, rtol=0.0, atol=1e-6)
    figures = {
        "images": len(cases),
        "truth": len(truth.image),
        "detections": len(found.image),
        "largest_difference": max(
            abs(a - b) for a, b in zip(ours[0].figures, theirs[0].figures, strict=True)
        ),
        "seconds": {
            name: {
                "clock": statistics.median(run.clock_s for run in runs),
                "computing": statistics.median(run.computing_s for run in runs),
            }
            for name, runs in (("ours", ours), ("pycocotools", theirs))
        },
        "times_faster": _spread([b.clock_s / a.clock_s for a, b in zip(ours, theirs, strict=True)]),
        "times_less_computing": _spread(
            [b.computing_s / a.computing_s for a, b in zip(ours, theirs, strict=True)]
        ),
    }
    print(json.dumps(figures, indent=1))


def _corners(rng: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    low = rng.uniform((0.0, 0.0), (SIZE.width - 140.0, SIZE.height - 140.0), (n, 2))
    return np.concatenate([low, low + rng.uniform(4.0, 140.0, (n, 2))], axis=1)


def _regions(boxes: Boxes, n_images: int, *, is_truth: bool) -> list[list[Region]]:
    regions: list[list[Region]] = [[] for _ in range(n_images)]
    columns = (column.tolist() for column in (boxes.image, boxes.label, boxes.xyxy, boxes.score))
    for n, (image, label, xyxy, score) in enumerate(zip(*columns, strict=True)):
        instance = Instance(f"class {label:02}", "thing", Box(*xyxy), score=None if is_truth else score)
        regions[image].append(Region(RegionId(str(n)), "person" if is_truth else "model", instance))
    return regions


def _entries(boxes: Boxes) -> list[dict[str, Any]]:
    xywh = np.concatenate([boxes.xyxy[:, :2], boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]], axis=1)
    return [
        {"image_id": image + 1, "category_id": label + 1, "bbox": box}
        for image, label, box in zip(boxes.image.tolist(), boxes.label.tolist(), xywh.tolist(), strict=True)
    ]


def _timed(evaluate: Callable[[], tuple[float, ...]]) -> Run:
    clock, computing = time.perf_counter(), time.process_time()
    figures = evaluate()
    return Run(time.perf_counter() - clock, time.process_time() - computing, figures)


def _spread(ratios: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


if __name__ == "__main__":
    main()
