"""Mistakes that are planted in made-up scenes: most of every kind are found, and little else is named.

A small slice of ``python -m bench.suspects``, which does the same with images that people labeled.
"""

from __future__ import annotations

import numpy as np
import pytest

from bench.noisy_detector import NoisyDetector
from bench.planted import MISTAKES
from bench.suspects import Labeled, Setting, Tallied, measure
from detseg.geometry.masks import bitmap_to_mask, mask_to_box
from detseg.taxonomy import taxonomy_of_labels
from detseg.types import Annotation, Arm, Box, ImageId, Instance, Region, RegionId, Size

SIZE = Size(240, 200)
LABELS = ("bolt", "nut", "washer")
CELLS = [(x, y) for y in (30, 80, 130, 170) for x in (30, 80, 130, 180, 215)]
STEADY = NoisyDetector(missed=0.0, made_up=0.01, confused=0.0, spread=0.02)


def made_up(*, masked: bool) -> Labeled:
    """Discs of three classes in a loose grid, as boxes or with masks."""
    rng = np.random.default_rng(7)
    images = []
    for number in range(30 if masked else 60):
        regions = []
        for at in rng.permutation(len(CELLS))[:10]:
            x, y = CELLS[at]
            label = str(rng.choice(LABELS))
            radius = rng.uniform(12, 17)
            box = Box(x - radius, y - 0.8 * radius, x + radius, y + 0.8 * radius)
            instance = _masked(label, x, y, radius) if masked else Instance(label, "thing", box)
            regions.append(Region(RegionId(f"t{number}-{at}"), "person", instance))
        images.append(Annotation(ImageId(f"sha256:{number}"), SIZE, "ann", "labeled", tuple(regions)))
    return Labeled(taxonomy_of_labels(LABELS), tuple(images))


def _masked(label: str, x: float, y: float, radius: float) -> Instance:
    rows, columns = np.mgrid[: SIZE.height, : SIZE.width]
    mask = bitmap_to_mask(np.hypot((rows - y) / 0.8, columns - x) < radius)
    return Instance(label, "thing", mask_to_box(mask), mask)


def worst(tallied: Tallied) -> tuple[float, str]:
    return min((tallied.found[kind] / n, kind) for kind, n in tallied.planted.items())


@pytest.mark.parametrize(("masked", "arm"), [(False, "control"), (False, "assisted"), (True, "control")])
def test_most_of_every_kind_are_found_and_little_else(masked: bool, arm: Arm) -> None:
    tallied = measure(made_up(masked=masked), Setting(STEADY, arm, share=0.08), range(1))
    fitting = {kind for kind in MISTAKES if tallied.planted[kind]}
    assert len(fitting) >= 13
    assert worst(tallied) >= (0.5, "")  # a few of each: the figures are the command's
    assert sum(tallied.found.values()) >= 0.9 * sum(tallied.planted.values())
    assert max(tallied.false_alarms.values(), default=0) <= 0.05 * tallied.n_clean + 1
    assert np.mean(tallied.precisions) >= 0.9


@pytest.mark.parametrize("kind", ["nothing", "shift_quarter", "half", "hole"])
def test_a_kind_that_is_the_only_one_is_found(kind: str) -> None:
    """People who make one mistake all the time do not make it usual."""
    tallied = measure(made_up(masked=kind in ("half", "hole")), Setting(STEADY, kinds=(kind,)), range(1))
    assert tallied.found[kind] >= 0.9 * tallied.planted[kind] > 0


def test_a_model_that_does_not_know_a_class_proves_nothing() -> None:
    misses = NoisyDetector(missed=0.3, made_up=0.0, confused=0.0, spread=0.02)
    tallied = measure(made_up(masked=False), Setting(misses, kinds=("nothing",)), range(1))
    assert tallied.false_alarms["unseen"] == 0
    assert tallied.named["unseen"] == 0
