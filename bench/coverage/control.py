"""The model's headline where reviewers redraw only what is badly placed: box AP on control images.

The truth is that of real or made-up scenes, the model's errors are known, and the people are detseg's
simulated reviewers. ``python -m bench.coverage.control`` prints how far their agreement with the model is off
the truth.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Literal

import numpy as np

from bench.coverage.frame import Setup, Trial, trial
from detseg.geometry.boxes import clip_box
from detseg.metrics.cases import Case
from detseg.metrics.detection import DetectionTally
from detseg.metrics.intervals import Estimate
from detseg.metrics.model_quality import ModelQuality, ModelTally
from detseg.samples.reviewer import ReviewerHabits, review, truth_of_scene
from detseg.samples.scenes import generate_scene
from detseg.types import Annotation, Arm, Box, ImageId, Instance, ModelVersion, Region, RegionId, Size
from tests.metrics.suspects.test_real_labels import read_reviews
from tests.shared_data import SHARED_DATA

World = Literal["BCCD", "made scenes"]

BCCD = SHARED_DATA / "bccd" / "instances.json"
MODEL = ModelVersion("made@00000000")
ALONE = ReviewerHabits(error_rate=0.0, skip_rate=0.0, annotate="boxes", hand_px=0.0)
"""People who draw exactly: a hand that is off by 0.7 px takes 0.01 of the AP of the small objects of made
scenes, which is the people's error and not the interval's."""
REDRAW_BELOW = 0.7
ASSISTED = replace(ALONE, keep_box_iou=REDRAW_BELOW)
N_SCENES, N_TRUTH = 150, 3_000
MISSED, INVENTED, MISNAMED = 0.08, 0.06, 0.03
"""Shares of objects that the model misses, sees twice or where nothing is, and names wrongly."""
OFF = 0.065
"""The standard deviation of a predicted corner, in sides of the object."""


def setups() -> Iterator[Setup]:
    """Few and many control images, and the anchoring that they and gold images show."""
    for world in worlds():
        for n in (20, 60, 200):
            name = f"{world}: AP, {n} control images, reviewers redraw below IoU {REDRAW_BELOW}"
            yield Setup("Headline", name, partial(_headline, world=world, n=n), n_trials=500)
        for n in (20, 60):
            name = f"{world}: anchoring, {n} control and 120 assisted images"
            yield Setup("Headline", name, partial(_anchoring, world=world, arm="control", n=n), n_trials=500)
        for n in (20, 60):
            name = f"{world}: anchoring on {n} gold images"
            yield Setup("Headline", name, partial(_anchoring, world=world, arm="gold", n=n), n_trials=500)


def worlds() -> Iterator[World]:
    """The made scenes, and BCCD's labels where they lie beside the repository."""
    if BCCD.exists():
        yield "BCCD"
    yield "made scenes"


def _headline(rng: np.random.Generator, *, world: World, n: int) -> Trial:
    return trial(true_ap(world), _headline_of(measure(rng, world, control=n)))


def _headline_of(quality: ModelQuality) -> Estimate:
    assert quality.best is not None
    return quality.best.boxes.ap


def _anchoring(rng: np.random.Generator, *, world: World, arm: Arm, n: int) -> Trial:
    quality = (
        measure(rng, world, control=n, assisted=120) if arm == "control" else measure(rng, world, gold=n)
    )
    assert quality.anchoring is not None
    return trial(agreement(world) - true_ap(world), quality.anchoring.box_ap)


def measure(rng: np.random.Generator, world: World, **n_images: int) -> ModelQuality:
    """The model's quality on so many images of each arm."""
    tally = ModelTally()
    for arm, n in n_images.items():
        for case in cases(rng, world, arm, n):  # type: ignore[arg-type]
            tally.add(case)
    return tally.result()


def cases(rng: np.random.Generator, world: World, arm: Arm, n: int) -> Iterator[Case]:
    """Images drawn from the world, each with an answer of the model's and a review."""
    scenes = truths(world)
    for number in range(n):
        truth = scenes[int(rng.integers(len(scenes)))]
        truth = replace(truth, image=ImageId(f"sha256:{arm}{number:06}"))
        prediction = predict(rng, truth)
        shown = replace(prediction, regions=()) if arm == "control" else prediction
        said = review(shown, truth, rng=rng, habits=ALONE if arm == "control" else ASSISTED)
        reviewed = replace(truth, author="a", state=said.state, regions=said.regions)
        yield Case(
            image=truth.image,
            uri="",
            task_id=number,
            task_url="",
            arm=arm,
            model_version=MODEL,
            prediction=prediction,
            reviews=(reviewed,),
            gold=truth if arm == "gold" else None,
        )


@cache
def truths(world: World) -> tuple[Annotation, ...]:
    """The true boxes of the world's scenes."""
    if world == "BCCD":
        return tuple(map(_boxes_only, read_reviews(BCCD)[1]))
    scenes = (generate_scene(seed, Size(320, 240)) for seed in range(N_SCENES))
    return tuple(_boxes_only(truth_of_scene(scene, ImageId(f"sha256:{n}"))) for n, scene in enumerate(scenes))


def _boxes_only(truth: Annotation) -> Annotation:
    regions = (
        replace(one, instance=replace(one.instance, mask=None))
        for one in truth.regions
        if one.instance.kind == "thing" and one.instance.box is not None
    )
    return replace(truth, regions=tuple(regions))


def predict(rng: np.random.Generator, truth: Annotation) -> Annotation:
    """The model's answer: some objects missed, some invented, some misnamed, all a bit beside their place."""
    labels = sorted({one.instance.label for one in truth.regions})
    said: list[Instance] = []
    for region in truth.regions:
        box = region.instance.box
        if box is None or rng.random() < MISSED:
            continue
        label = str(rng.choice(labels)) if rng.random() < MISNAMED else region.instance.label
        for offset in (OFF, 4 * OFF)[: 2 if rng.random() < INVENTED else 1]:
            placed = _beside(rng, box, truth.size, offset)
            if placed is not None:
                score = float(np.clip(rng.normal(0.85 if offset == OFF else 0.6, 0.1), 0.05, 1.0))
                said.append(Instance(label, "thing", placed, score=score))
    regions = tuple(Region(RegionId(f"r{n}"), "model", one) for n, one in enumerate(said))
    return replace(truth, author=MODEL, state="labeled", regions=regions)


def _beside(rng: np.random.Generator, box: Box, size: Size, offset: float) -> Box | None:
    width, height = box.x1 - box.x0, box.y1 - box.y0
    moved = np.array(box.xyxy) + rng.normal(0.0, offset, 4) * np.array([width, height, width, height])
    x0, y0, x1, y1 = moved.tolist()
    return clip_box(Box(x0, y0, x1, y1), size) if x0 < x1 and y0 < y1 else None


@cache
def true_ap(world: World) -> float:
    """The model's AP against the truth, on so many images that its own error does not count."""
    return _large_ap(world, "gold")


@cache
def agreement(world: World) -> float:
    """The AP against assisted reviews, on as many images."""
    return _large_ap(world, "assisted")


def _large_ap(world: World, arm: Arm) -> float:
    tally = DetectionTally("bbox")
    for case in cases(np.random.default_rng(7), world, arm, N_TRUTH):
        tally.add(replace(case, reviews=(case.gold,)) if case.gold is not None else case)
    ap = tally.score().ap
    assert ap is not None
    return ap


def main(_: Sequence[str] | None = None) -> int:
    for world in worlds():
        quality = measure(np.random.default_rng(1), world, control=60, assisted=120)
        figures = {
            "truth": round(true_ap(world), 3),
            "agreement with reviewers who saw the model": round(agreement(world), 3),
            "AP on 60 control images": _headline_of(quality),
            "agreement on 120 assisted images": quality.assisted.boxes.ap,
            "anchoring": quality.anchoring.box_ap if quality.anchoring else None,
        }
        print(json.dumps({world: figures}, default=str, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
