"""Small dataset versions to learn from: a few pictures of 60x40 pixels, each on the side it is to be on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detseg.config import Settings
from detseg.datasets.splits import SplitRule
from detseg.pipeline.datasets import Wish, create_version
from detseg.types import Region
from tests.pipeline.labeled import LabeledProject, bolt, make_project, ring

SIDES = {"train": 4, "val": 2, "test": 1}
QUICK = {
    "steps": 4,
    "batch_size": 2,
    "warmup_steps": 0,
    "evaluations": 2,
    "learning_rate": 1e-3,
    "patience": 0,
}


def settings_in(root: Path, **training: Any) -> Settings:
    """Settings of a training of a few steps, in float32 on one thread's CPU."""
    return make_project(root).settings.updated(
        engine__device="cpu",
        engine__precision="float32",
        **{f"training__{name}": value for name, value in {**QUICK, **training}.items()},
    )


def make_version(
    root: Path,
    *,
    sides: Mapping[str, int] = SIDES,
    regions: Sequence[Region] = (bolt("a"), ring("b")),
    name: str = "v1",
) -> LabeledProject:
    """A project with so many labeled images on each side, and a version of it."""
    project = make_project(root)
    number = 0
    for side, n in sides.items():
        project.add(range(number, number + n), metadata=f'{{"side": "{side}"}}')
        for one in range(number, number + n):
            project.review(one, regions)
        number += n
    create_version(project.settings, name, Wish(split=SplitRule(column="side")))
    return project
