"""The data of the study, and how it is dealt out to rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.processes import ROOT
from bench.study.people import BOXES_7, BOXES_35, MASKS, Assumptions
from detseg.formats import ImageLabels
from detseg.formats.coco_files import read_coco_files

DATA = ROOT.parent / "shared" / "data"


class NoData(Exception):
    """The real data is not where it is expected."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One data set: which images come in which round, and how long the model of each learns.

    ``sizes`` are images per round: those of the first are labeled by hand in both arms, for there is no model
    yet. ``steps`` are the steps of training after each round but the last, each on all labels so far.
    """

    name: str
    flag: str
    """the option of ``detseg predict`` that takes the model"""
    classes: tuple[str, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...]
    assumed: Mapping[str, Assumptions]
    """by the way of drawing; the first is the people's whose labels the models learn from"""
    threshold: float = 0.4
    """the score from which people are shown what a model finds"""
    base: str = "sample"
    """what the first model begins from; each other one begins from the one before"""
    training: Mapping[str, float | str] = field(default_factory=dict)
    """settings of ``[training]`` that fit the images"""
    val_share: float = 0.15
    """of the labeled images, those that the best weights are chosen by"""
    n_judged: int = 20
    """seeds of people whose labels are drawn and judged"""
    n_people: int = 8
    seed: int = 1
    remark: str = ""
    """for the page: what to know of these images and this base"""

    @property
    def n_images(self) -> int:
        return sum(self.sizes)


BCCD = Plan(
    "bccd",
    "--detector",
    ("Platelets", "RBC", "WBC"),
    sizes=(30, 40, 40, 40),
    steps=(800, 400, 400),
    assumed={"35 s a box": BOXES_35, "7 s a box": BOXES_7},
)
NUCLEI = Plan(
    "nuclei",
    "--segmenter",
    ("nucleus",),
    sizes=(20, 20, 20, 20),
    steps=(600, 500, 500),
    assumed={"80 s a mask": MASKS},
    base="sample-segmenter",
    training={"head": "upernet", "image_size": 448, "flip_vertical": 0.5, "rotate": 90, "zoom": 0.5},
    n_judged=5,
    remark=(
        "Nuclei are of two stains, 46 on an image and up to 369, and many are a few pixels wide as the model "
        "sees them. Nuclei that touch are one region to a model that gives every pixel a class; these have "
        "to be drawn. The images of the rounds differ: those of round 1 have fewer nuclei. With its own "
        "head, which looks for one object after another, the segmenter saved 24 %, and labels were worse "
        "for it, by 0.027 in F1 at IoU 0.5."
    ),
)
PLANS = {plan.name: plan for plan in (BCCD, NUCLEI)}


def read_images(plan: Plan, data: Path = DATA) -> tuple[tuple[ImageLabels, ...], ...]:
    """The images of each round with their truth, dealt out by the plan's seed.

    Raises NoData where they are not, or too few.
    """
    file = data / plan.name / "instances.json"
    if not file.is_file():
        raise NoData(f"{file} is missing: the study needs the images of {plan.name} and their truth")
    images = list(read_coco_files(file).images())
    if len(images) < plan.n_images:
        raise NoData(f"{file} has {len(images)} images, and the study takes {plan.n_images}")
    order = iter(np.random.default_rng(plan.seed).permutation(len(images)).tolist())
    return tuple(tuple(images[next(order)] for _ in range(size)) for size in plan.sizes)


def image_folder(plan: Plan, data: Path = DATA) -> Path:
    return data / plan.name / "images"
