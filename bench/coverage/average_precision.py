"""AP and AP50 of few images, also with rare classes: their truth is that of many."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from bench.coverage.class_means import KINDS
from bench.coverage.frame import Setup, Trial, trial
from detseg.metrics.coco_data import Bools, DetectionData, Objects
from detseg.metrics.detection_intervals import average_precisions, estimate_ap, halve
from detseg.types import ImageId

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

IOUS = np.linspace(0.5, 0.95, 10)

MANY = 40_000
"""Images whose AP is the truth: its own error is below 0.003."""


def setups() -> Iterator[Setup]:
    """Both figures of few and many images: with rare classes, images that fail whole, and crowded ones."""
    for at, group in enumerate(("AP", "AP50")):
        for n in (20, 60, 200):
            for name, shares in KINDS:
                for failing in (0.0, 0.05):
                    fails = f", {100 * failing:.0f} % of images fail whole" if failing else ""
                    draw = partial(_trial, n=n, shares=shares, failing=failing, figure=at)
                    yield Setup(group, f"{name}, {n} images{fails}", draw)
            draw = partial(_trial, n=n, shares=(0.9, 0.5), crowding=1.0, figure=at)
            yield Setup(group, f"crowded images are done worse, {n} images", draw)


def _trial(
    rng: np.random.Generator,
    *,
    n: int,
    shares: tuple[float, ...],
    failing: float = 0.0,
    crowding: float = 0.0,
    figure: int,
) -> Trial:
    data, right = draw_detections(rng, n, shares, failing=failing, crowding=crowding)
    aps, ious = halve(data, right, seed=int(rng.integers(1 << 30))), (slice(None), slice(1))[figure]
    value = float(np.nanmean(aps.whole[ious]))
    return trial(_truth(shares, failing, crowding)[figure], estimate_ap(value, aps, ious=ious))


@cache
def _truth(shares: tuple[float, ...], failing: float, crowding: float) -> tuple[float, float]:
    """AP and AP50, means over all classes."""
    rng = np.random.default_rng(0)
    data, right = draw_detections(rng, MANY, shares, failing=failing, crowding=crowding)
    aps = average_precisions(data, right, np.ones((1, MANY)))[:, 0].mean(axis=1)
    return float(aps.mean()), float(aps[0])


def draw_detections(
    rng: np.random.Generator, n: int, shares: tuple[float, ...], *, failing: float, crowding: float = 0.0
) -> tuple[DetectionData, Bools]:
    """Objects of n images, what was found of them, and whether each finding hits at each IoU: (10, N).

    With ``crowding``, some images have many times the objects of others, of which a smaller share is found.
    """
    k = len(shares)
    density = rng.gamma(0.5, 2.0 * 3.0, (n, 1)) if crowding else np.ones((n, 1))
    objects = np.where(rng.random((n, k)) < shares, 1 + rng.poisson(density, (n, k)), 0)
    image, label = (np.repeat(place.ravel(), objects.ravel()) for place in np.indices((n, k)))
    skill = rng.normal(0.0, 0.5, n)[image] + 0.5 + 1.5 * np.array(shares)[label] / max(shares)
    skill = skill - crowding * np.log(np.maximum(objects.sum(axis=1), 1) / 4.0)[image]
    fails = (rng.random(n) < failing)[image]
    found = (rng.random(len(image)) < 1.0 / (1.0 + np.exp(-skill))) & ~fails
    wrong = rng.poisson(0.3, (n, k))
    wrong_image, wrong_label = (np.repeat(place.ravel(), wrong.ravel()) for place in np.indices((n, k)))
    n_found, n_wrong = int(found.sum()), len(wrong_image)
    iou = np.concatenate([0.5 + 0.5 * rng.beta(3.0, 2.0, n_found), np.zeros(n_wrong)])
    score = np.concatenate([rng.beta(5.0, 2.0, n_found), rng.beta(2.0, 4.0, n_wrong)])
    data = DetectionData(
        "bbox",
        tuple(ImageId(f"{i:06}") for i in range(n)),
        tuple(f"c{i}" for i in range(k)),
        _objects(image, label, np.zeros(len(image))),
        _objects(
            np.concatenate([image[found], wrong_image]), np.concatenate([label[found], wrong_label]), score
        ),
    )
    return data, iou >= IOUS[:, None]


def _objects(image: Ints, label: Ints, score: Floats) -> Objects:
    n = len(image)
    return Objects(image, label, np.zeros((n, 4)), np.zeros(n), score, None)
