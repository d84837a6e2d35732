"""What simulated people's work comes to: seconds, what help saves of them, and how good the labels are.

People are simulated again and again on the same regions of the models, which are kept; nothing is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from bench.study.hands import leave
from bench.study.people import Assumptions, Person, Work, by_hand, draw_people, with_help
from bench.study.scenes import Scene, overlaps
from detseg.geometry.matching import match_by_label
from detseg.metrics.costs import CostModel
from detseg.metrics.effort import measure_saving
from detseg.metrics.intervals import LEVEL, Estimate
from detseg.metrics.pauses import judge_times
from detseg.metrics.work_log import EDIT, REVIEW, WorkTables
from detseg.types import ImageId

Floats = npt.NDArray[np.float64]

_COSTS = CostModel()
"""The estimator knows the settings of a project that nobody changed, not what people here really take."""

IOUS = (0.5, 0.75)
"""The overlaps from which a region counts as right."""


@dataclass(frozen=True, slots=True)
class World:
    """Scenes of the rounds with help, by round, and the classes that people choose from."""

    rounds: tuple[tuple[Scene, ...], ...]
    labels: tuple[str, ...]
    n_people: int

    @property
    def scenes(self) -> list[Scene]:
        return [scene for scenes in self.rounds for scene in scenes]


@dataclass(frozen=True, slots=True)
class Both:
    """Both arms of a world, image by image in the order of its scenes: the same person did both."""

    control: tuple[Work, ...]
    assisted: tuple[Work, ...]


def simulate(world: World, assumed: Assumptions, seed: int, people: Sequence[Person] | None = None) -> Both:
    """Draw people and let them do every image twice: with help, and as if they had never seen it, by hand.

    Given ``people`` are taken as they are.
    """
    rng = np.random.default_rng([seed, 1])
    people = people or draw_people(world.n_people, assumed, np.random.default_rng([seed, 0]))
    turns = [(scene, people[place % len(people)]) for place, scene in enumerate(world.scenes)]
    return Both(
        tuple(by_hand(scene, person, assumed, labels=world.labels, rng=rng) for scene, person in turns),
        tuple(with_help(scene, person, assumed, labels=world.labels, rng=rng) for scene, person in turns),
    )


@dataclass(frozen=True, slots=True)
class Truth:
    """The mean seconds of each image in both arms, for people of these assumptions.

    ``labels_s`` are those in which they would draw by hand the regions that they left with help, which are
    more than they leave by hand: the model finds what people overlook, and some of its false regions stay.
    """

    control_s: Floats
    assisted_s: Floats
    labels_s: Floats

    @property
    def saving(self) -> float:
        """1 - seconds with help / seconds by hand for the same images, at most 1."""
        return float(1.0 - self.assisted_s.sum() / self.control_s.sum())

    @property
    def saving_for_labels(self) -> float:
        """1 - seconds with help / seconds by hand for the same labels: what ``detseg qa`` measures."""
        return float(1.0 - self.assisted_s.sum() / self.labels_s.sum())


def expect(world: World, assumed: Assumptions, *, n: int, people: Sequence[Person] | None = None) -> Truth:
    """The mean over ``n`` simulations, of these people or else of all that there may be.

    Moods have mean 1 and are left out of it, and so are the speeds of people that are drawn.
    """
    even = replace(assumed, person_spread=0.0, image_spread=0.0)
    drawn: list[list[list[float]]] = []
    for seed in range(1000, 1000 + n):
        who = people or draw_people(world.n_people, even, np.random.default_rng([seed, 0]))
        speeds = {person.name: person.speed for person in who}
        both = simulate(world, even, seed, who)
        arms = [[work.seconds for work in arm] for arm in (both.control, both.assisted)]
        labels = [
            speeds[work.person] * (even.look_s + even.draw_s * len(work.left)) for work in both.assisted
        ]
        drawn.append([*arms, labels])
    return Truth(*np.mean(drawn, axis=0))


def estimate(both: Both, world: World, *, share_by_hand: float = 1.0, seed: int = 0) -> Estimate:
    """The saving as ``detseg qa`` measures it from those reviews.

    With a ``share_by_hand`` below 1 it is measured as in a project: that share of images is done by hand,
    and the others with help.
    """
    n = len(both.control)
    rng = np.random.default_rng([seed, 2])
    is_hand = np.zeros(n, dtype=bool)
    is_hand[rng.permutation(n)[: round(share_by_hand * n)]] = True
    everything = share_by_hand >= 1.0
    hand = [i for i in range(n) if is_hand[i]]
    assisted = [i for i in range(n) if everything or not is_hand[i]]
    tables = work_tables(
        world, [(i, both.control[i], True) for i in hand] + [(i, both.assisted[i], False) for i in assisted]
    )
    return measure_saving(tables, judge_times(tables.reviews)).share


def interval_by_person(both: Both) -> tuple[float, float]:
    """The interval of 95 % of the saving that holds for people like these, not for these alone.

    People are the units: Student's interval of the logarithm of the ratio of both arms' seconds, by leaving
    out one of them at a time (the jackknife).
    """
    names = sorted({work.person for work in both.control})
    hand, assisted = (
        np.array([sum(work.seconds for work in works if work.person == name) for name in names])
        for works in (both.control, both.assisted)
    )
    value = np.log(assisted.sum() / hand.sum())
    without = np.log((assisted.sum() - assisted) / (hand.sum() - hand))
    n = len(names)
    error = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    half = float(stdtrit(n - 1, (1.0 + LEVEL) / 2.0)) * float(error)
    return float(1.0 - np.exp(value + half)), float(1.0 - np.exp(value - half))


def work_tables(world: World, works: Sequence[tuple[int, Work, bool]]) -> WorkTables:
    """The reviews as ``detseg qa`` counts them: number of the scene, work, and whether it was by hand."""
    scenes = world.scenes
    names = sorted({work.person for _, work, _ in works})
    reviews = np.zeros(len(works), REVIEW)
    for row, (number, work, is_hand) in enumerate(works):
        masked = any(one.mask is not None for one in scenes[number].truth)
        drawing_s = _COSTS.mask_by_hand_s if masked else _COSTS.box_by_hand_s
        edits = [_COSTS.kind_s(kind, masked=masked) for kind in work.edits]
        redrawn = sum(kind in ("added", "moved", "reshaped") for kind in work.edits)
        reviews[row] = (
            number,
            is_hand,
            0,
            names.index(work.person),
            0,
            work.seconds,
            drawing_s * len(work.left),
            (_COSTS.mask_price if masked else _COSTS.box_price) * len(work.left),
            sum(edits),
            drawing_s * redrawn,
        )
    images = tuple(ImageId(scene.name) for scene in scenes)
    return WorkTables(
        reviews, np.zeros(0, EDIT), images, world.labels, ("model",), tuple(names), ("2026-W01",), 0
    )


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the labels of an arm are against truth: F1 by overlap, and the mean overlap of what is
    right."""

    f1: tuple[float, ...]
    """at each of ``IOUS``, in [0, 1]"""
    mean_iou: float
    """of the pairs at the lowest of them"""


def judge(works: Sequence[Work], scenes: Sequence[Scene], assumed: Assumptions, *, seed: int) -> Quality:
    """Draw what people left, and meet it with the truth, one to one among regions of one label."""
    rng = np.random.default_rng([seed, 3])
    right, n_left, n_truth = np.zeros(len(IOUS)), 0, 0
    ious: list[float] = []
    for work, scene in zip(works, scenes, strict=True):
        regions = [leave(scene, left, assumed, rng) for left in work.left]
        iou = overlaps(regions, scene.truth)
        left_labels, labels = ([one.label for one in some] for some in (regions, scene.truth))
        for place, least in enumerate(IOUS):
            pairs = match_by_label(left_labels, labels, iou, min_iou=least)
            right[place] += len(pairs)
            if not place:
                ious += [float(iou[pair]) for pair in pairs]
        n_left, n_truth = n_left + len(regions), n_truth + len(scene.truth)
    f1 = 2.0 * right / max(n_left + n_truth, 1)
    return Quality(tuple(f1.tolist()), float(np.mean(ious)) if ious else 0.0)


@dataclass(frozen=True, slots=True)
class Held:
    """How often an interval holds the truth: in ``n_held`` of ``n`` seeds; and its mean width."""

    n: int
    n_held: int
    width: float


def count_held(ends: Sequence[tuple[float, float]], truths: Sequence[float]) -> Held:
    held = sum(low <= truth <= high for (low, high), truth in zip(ends, truths, strict=True))
    return Held(len(ends), held, float(np.mean([high - low for low, high in ends])))
