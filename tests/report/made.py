"""Made-up cases of QA: sample scenes, a model with known habits, simulated reviewers over some weeks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np

from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap, mask_to_box
from detseg.metrics.cases import Case
from detseg.metrics.expected_edits import ShownRegion
from detseg.metrics.waiting import WaitingImage
from detseg.samples.reviewer import ReviewerHabits, review, truth_of_scene
from detseg.samples.scenes import SAMPLE_CLASSES, THING_NAMES, Scene, generate_scene
from detseg.taxonomy import Taxonomy
from detseg.types import (
    Annotation,
    Arm,
    Box,
    DecodedImage,
    Decoy,
    ImageId,
    ImageRef,
    Instance,
    ModelVersion,
    Region,
    RegionId,
    Size,
)

TAXONOMY = Taxonomy(SAMPLE_CLASSES)
SIZE = Size(320, 240)
FIRST_DAY = datetime(2026, 9, 7, 8, tzinfo=UTC)
N_WEEKS = 10
VERSIONS = (ModelVersion("parts@3f9a01c2"), ModelVersion("parts@b7740e5d"))
HABITS = {
    "annotator-1": ReviewerHabits(error_rate=0.02),
    "annotator-2": ReviewerHabits(error_rate=0.05, look_s=9.0),
    "annotator-3": ReviewerHabits(error_rate=0.12, look_s=4.0),
}


@cache
def made_cases(n_images: int) -> tuple[Case, ...]:
    """Cases 0 to n: a fifth control images, some gold, some with a decoy, every sixth seen by two people."""
    return tuple(_case(seed, week=seed * N_WEEKS // n_images) for seed in range(n_images))


@cache
def made_waiting(n_images: int) -> tuple[WaitingImage, ...]:
    """Images that nobody has reviewed, after those of 1,000 cases."""
    return tuple(_waiting(seed) for seed in range(1_000, 1_000 + n_images))


def _waiting(seed: int) -> WaitingImage:
    regions = _predict(generate_scene(seed, SIZE), np.random.default_rng(seed), skill=0.9)
    return WaitingImage(
        image=image_of(seed),
        task_id=seed + 1,
        task_url=f"http://127.0.0.1:8080/projects/1/data?task={seed + 1}",
        uri=f"file:///scenes/scene-{seed}.png",
        model_version=VERSIONS[1],
        regions=tuple(
            ShownRegion(one.instance.label, one.instance.mask is not None, one.instance.score)
            for one in regions
        ),
    )


def image_of(seed: int) -> ImageId:
    return ImageId(f"sha256:{seed:064x}")


def read_scene(uri: str) -> DecodedImage:
    """The picture of a made case."""
    seed = int(uri.rpartition("-")[2].removesuffix(".png"))
    scene = _scene(seed)
    return DecodedImage(ImageRef(image_of(seed), uri), scene.size, np.ascontiguousarray(scene.image))


@cache
def _scene(seed: int) -> Scene:
    return generate_scene(seed, SIZE)


def _case(seed: int, *, week: int) -> Case:
    rng, scene = np.random.default_rng(seed), _scene(seed)
    truth = truth_of_scene(scene, image_of(seed))
    better = week >= 6
    prediction = Annotation(
        truth.image,
        SIZE,
        VERSIONS[better],
        "labeled",
        tuple(_predict(scene, rng, skill=0.95 if better else 0.8)),
    )
    draw = rng.random()
    arm: Arm = "control" if draw < 0.2 else "gold" if draw < 0.3 else "decoy" if draw < 0.38 else "assisted"
    decoys = (_decoy(rng),) if arm == "decoy" else ()
    shown = () if arm == "control" else (*prediction.regions, *(decoy.region for decoy in decoys))
    authors = sorted(HABITS)[seed % 3 :][: 2 if seed % 6 == 0 else 1]
    moment = FIRST_DAY + timedelta(weeks=week, hours=seed % 40)
    reviews = []
    for author in authors:
        said = review(replace(prediction, regions=shown), truth, rng=rng, habits=HABITS[author])
        by = replace(truth, author=author, state=said.state, regions=said.regions)
        reviews.append(replace(by, lead_time_s=said.lead_time_s, updated_at=moment))
    return Case(
        image=truth.image,
        uri=f"file:///scenes/scene-{seed}.png",
        task_id=seed + 1,
        task_url=f"http://127.0.0.1:8080/projects/1/data?task={seed + 1}",
        arm=arm,
        model_version=VERSIONS[better],
        prediction=prediction,
        reviews=tuple(reviews),
        decoys=decoys,
        gold=truth if arm == "gold" else None,
        simulated=True,
    )


def _predict(scene: Scene, rng: np.random.Generator, *, skill: float) -> list[Region]:
    """What the model says: sometimes nothing, the wrong name, a badly placed box or mask, or a false one."""
    said: list[Instance] = []
    for instance in scene.instances:
        if instance.kind == "stuff":
            said.append(replace(instance, score=0.99, seen_by="segmenter"))
            continue
        slip = rng.random()
        if slip < 0.4 * (1 - skill):
            continue
        sure = round(float(np.clip(rng.normal(0.62 + 0.3 * skill, 0.1), 0.05, 0.99)), 3)
        if slip < 1 - skill:
            said.append(_spoil(instance, rng, score=round(sure * 0.75, 3)))
        else:
            said.append(replace(instance, score=sure, seen_by="both" if rng.random() > 0.06 else "detector"))
    if rng.random() < 2 * (1 - skill):
        said.append(_false(rng, score=round(float(rng.uniform(0.1, 0.55)), 3)))
    said.sort(key=lambda one: -(one.score or 0.0))
    return [Region(RegionId(f"{scene.seed}-{n}"), "model", one) for n, one in enumerate(said)]


def _spoil(instance: Instance, rng: np.random.Generator, *, score: float) -> Instance:
    assert instance.box is not None  # a thing of a scene has one
    if rng.random() < 0.3:
        others = [name for name in THING_NAMES if name != instance.label]
        return replace(instance, label=others[int(rng.integers(len(others)))], score=score, seen_by="both")
    if rng.random() < 0.4:
        box = instance.box
        wrong = Box(box.x0 / 2, box.y0, min(box.x1 + 9, SIZE.width), box.y1)
        return replace(instance, box=wrong, score=score, seen_by="both")
    dx, dy = (int(d) for d in rng.integers(4, 12, size=2) * rng.choice([-1, 1], size=2))
    mask = None if instance.mask is None else bitmap_to_mask(_shift(mask_to_bitmap(instance.mask), dx, dy))
    if mask is None or mask.area == 0:
        return replace(instance, score=score)
    return replace(instance, box=mask_to_box(mask), mask=mask, score=score, seen_by="both")


def _shift(bitmap: np.ndarray, dx: int, dy: int) -> np.ndarray:
    moved = np.roll(bitmap, (dy, dx), axis=(0, 1))
    moved[: max(dy, 0)], moved[:, : max(dx, 0)] = False, False
    if dy < 0:
        moved[dy:] = False
    if dx < 0:
        moved[:, dx:] = False
    return moved


def _false(rng: np.random.Generator, *, score: float) -> Instance:
    x, y = float(rng.integers(0, SIZE.width - 40)), float(rng.integers(0, SIZE.height - 40))
    label = THING_NAMES[int(rng.integers(len(THING_NAMES)))]
    return Instance(label, "thing", Box(x, y, x + 30, y + 26), score=score, seen_by="detector")


def _decoy(rng: np.random.Generator) -> Decoy:
    return Decoy("nothing", Region(RegionId("decoy"), "model", _false(rng, score=0.7)))


def by_image(cases: Sequence[Case]) -> dict[ImageId, Case]:
    return {case.image: case for case in cases}
