"""Everything that the study says of one data set, as an object of JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from bench.study.loop import Round, scenes_of
from bench.study.measure import (
    Both,
    Truth,
    World,
    count_held,
    estimate,
    expect,
    interval_by_person,
    judge,
    simulate,
)
from bench.study.people import NAMES, Assumptions, draw_people
from bench.study.plans import Plan
from detseg.metrics.detection import DetectionTally
from detseg.types import Annotation, ImageId, Instance, Region, RegionId

_SHAPE = ("missed", "missed_with_help", "waved_through", "accept_iou", "look_spread", "hand_iou")
"""The assumptions that decide about labels, besides seconds."""


def measure_all(
    plan: Plan, rounds: Sequence[Round], *, n_seeds: int, n_expect: int, n_judged: int
) -> dict[str, Any]:
    """Simulate people by ``n_seeds`` seeds on what the models of a plan found, and sum it up."""
    assisted = rounds[1:]
    scenes = [tuple(scenes_of(one, threshold=plan.threshold)) for one in assisted]
    world = World(tuple(scenes), plan.classes, plan.n_people)
    first = World((tuple(scenes_of(rounds[0], threshold=1.0)),), plan.classes, plan.n_people)
    return {
        "name": plan.name,
        "remark": plan.remark,
        "sizes": list(plan.sizes),
        "n_people": plan.n_people,
        "threshold": plan.threshold,
        "models": [_model(plan, one) for one in assisted],
        "ways": {
            way: _way(world, first, assumed, n_seeds=n_seeds, n_expect=n_expect, n_judged=n_judged)
            for way, assumed in plan.assumed.items()
        },
    }


def _model(plan: Plan, one: Round) -> dict[str, Any]:
    """How the model of a round was made, and how good it is on the round's images, which it never saw."""
    assert one.training is not None
    tally = DetectionTally("segm" if plan.flag == "--segmenter" else "bbox")
    for image in one.images:
        truth, found = image.instances, one.found.get(image.name, ())
        tally.add_pair(_annotation(image.name, image.size, truth), _annotation(image.name, image.size, found))
    score = tally.score()
    training = one.training
    return {
        "ap": score.ap,
        "ap50": score.ap50,
        "steps": training["steps"],
        "seconds": training["seconds"],
        "cpu_seconds": training["cpu_seconds"],
        "n_images": training["n_images"],
    }


def _annotation(name: str, size: Any, instances: Sequence[Instance]) -> Annotation:
    regions = tuple(Region(RegionId(str(i)), "model", one) for i, one in enumerate(instances))
    return Annotation(ImageId(name), size, "study", "labeled" if regions else "empty", regions)


def _way(
    world: World, first: World, assumed: Assumptions, *, n_seeds: int, n_expect: int, n_judged: int
) -> dict[str, Any]:
    truth = expect(world, assumed, n=n_expect)
    before_s = float(expect(first, assumed, n=n_expect).control_s.sum())
    sides = np.cumsum([0, *map(len, world.rounds)])
    minutes = [
        [float(arm[a:b].mean() / 60.0) for a, b in pairwise(sides.tolist())]
        for arm in (truth.control_s, truth.assisted_s)
    ]
    everyone = [simulate(world, assumed, seed) for seed in range(1, n_seeds + 1)]
    return {
        "assumed": asdict(assumed),
        "saving": truth.saving,
        "saving_for_labels": truth.saving_for_labels,
        "saving_with_first_round": float(
            1.0 - (before_s + truth.assisted_s.sum()) / (before_s + truth.control_s.sum())
        ),
        "minutes_first_round": before_s / 60.0 / len(first.scenes),
        "minutes_by_hand": minutes[0],
        "minutes_with_help": minutes[1],
        "printed": list(interval_by_person(everyone[0])),
        "estimator": _ends(estimate(everyone[0], world)),
        "held": _held(world, assumed, everyone, truth=truth),
        "quality": _quality(world, assumed, everyone[:n_judged]),
        "edits": _edits(everyone[0], world),
        "sensitivity": _sensitivity(world, assumed, n_expect=max(5, n_expect // 4)),
    }


def _ends(found: Any) -> list[float]:
    return [found.low, found.high]


def _held(world: World, assumed: Assumptions, everyone: Sequence[Both], *, truth: Truth) -> dict[str, Any]:
    """Count how often each interval holds its truth: that of all people, or that of the people of each seed;
    for the same images (printed), or for the same labels (the estimator)."""
    own = []
    for seed in range(1, len(everyone) + 1):
        people = draw_people(world.n_people, assumed, np.random.default_rng([seed, 0]))
        own.append(expect(world, assumed, n=4, people=people).saving_for_labels)
    by_person = [interval_by_person(one) for one in everyone]
    measured, fifth = (
        [estimate(one, world, share_by_hand=share, seed=seed) for seed, one in enumerate(everyone, 1)]
        for share in (1.0, 0.2)
    )
    ends = [[(one.low or 0.0, one.high or 0.0) for one in some] for some in (measured, fifth)]
    return {
        "people": asdict(count_held(by_person, [truth.saving] * len(everyone))),
        "estimator, these people": asdict(count_held(ends[0], own)),
        "estimator, all people": asdict(count_held(ends[0], [truth.saving_for_labels] * len(everyone))),
        "estimator, one in five by hand, these people": asdict(count_held(ends[1], own)),
    }


def _quality(world: World, assumed: Assumptions, everyone: Sequence[Both]) -> dict[str, Any]:
    """F1 of both arms at each overlap, and of their difference the mean and the least over seeds."""
    judged = [
        [judge(works, world.scenes, assumed, seed=seed) for works in (one.control, one.assisted)]
        for seed, one in enumerate(everyone, 1)
    ]
    f1 = np.array([[arm.f1 for arm in pair] for pair in judged])  # (seeds, arms, overlaps)
    iou = np.array([[arm.mean_iou for arm in pair] for pair in judged])
    return {
        "f1_by_hand": f1[:, 0].mean(axis=0).tolist(),
        "f1_with_help": f1[:, 1].mean(axis=0).tolist(),
        "difference": (f1[:, 1] - f1[:, 0]).mean(axis=0).tolist(),
        "least_difference": (f1[:, 1] - f1[:, 0]).min(axis=0).tolist(),
        "iou_by_hand": float(iou[:, 0].mean()),
        "iou_with_help": float(iou[:, 1].mean()),
        "n_seeds": len(everyone),
    }


def _edits(both: Both, world: World) -> Mapping[str, Any]:
    """What people of one seed did with what they were shown, per image, and how good is what they took."""
    kinds = [kind for work in both.assisted for kind in work.edits]
    n = len(both.assisted)
    taken = [
        scene.means[left.shown][1]
        for work, scene in zip(both.assisted, world.scenes, strict=True)
        for left in work.left
        if left.shown is not None and left.target is not None and scene.means is not None
    ]
    n_left = sum(len(work.left) for work in both.assisted)
    return {
        "per_image": {kind: kinds.count(kind) / n for kind in sorted(set(kinds))},
        "share_taken": len(taken) / max(n_left, 1),
        "taken_iou": float(np.mean(taken)) if taken else None,
        "taken_below_75": float(np.mean(np.array(taken) < 0.75)) if taken else None,
    }


def _sensitivity(world: World, assumed: Assumptions, *, n_expect: int) -> dict[str, Any]:
    """The true saving, and the difference of F1 at the higher overlap, with each assumption halved and
    doubled."""
    rows: dict[str, Any] = {}
    for name in NAMES:
        rows[name] = [
            {
                "value": getattr(varied, name),
                "saving": expect(world, varied, n=n_expect).saving,
                "difference": _difference(world, varied) if name in _SHAPE else None,
            }
            for varied in (assumed.varied(name, 0.5), assumed.varied(name, 2.0))
        ]
    return rows


def _difference(world: World, assumed: Assumptions) -> float:
    both = simulate(world, assumed, 1)
    hand, assisted = (judge(works, world.scenes, assumed, seed=1) for works in (both.control, both.assisted))
    return assisted.f1[-1] - hand.f1[-1]
