"""Simulated people: what they decide about an image, with help and by hand, and the seconds that it takes.

They stand in for annotators, and every page that quotes them says so. What they decide and what it costs is
here, and pure; ``hands`` draws the shapes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from bench.study.scenes import Scene
from detseg.types import EditKind

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is assumed of people. Seconds are means; chances are for one decision."""

    draw_s: float
    """to draw a region by hand"""
    correct_s: float
    """to nudge a box, or to repair a mask"""
    check_s: float
    """to look at a shown region and decide that it stays"""
    delete_s: float = 1.5
    relabel_s: float = 3.0
    look_s: float = 7.0
    """to look an image through for what is missing, in both arms"""
    person_spread: float = 0.35
    """standard deviation of the logarithm of people's speeds"""
    image_spread: float = 0.35
    """the same of one person's times for equal work"""
    missed: float = 0.03
    """by hand: a true object stays undrawn"""
    missed_with_help: float = 0.1
    """with help: an object that the model did not find stays undrawn, for the image looks finished"""
    mislabeled: float = 0.01
    """a drawn region gets the label of another class"""
    waved_through: float = 0.05
    """with help: a false region, or a wrong label, stays"""
    accept_iou: float = 0.8
    """a shown region that overlaps this much with the object looks right to a person of mean care"""
    care_spread: float = 0.03
    """standard deviation of that from one person to the next"""
    look_spread: float = 0.05
    """standard deviation of the overlap that a person sees, from look to look"""
    hand_iou: float = 0.88
    """the mean overlap of a drawn region with the object"""

    def varied(self, name: str, factor: float) -> Assumptions:
        """The same with one of them so many times as large. Of IoUs, the distance to 1 is."""
        value = getattr(self, name)
        changed = 1.0 - factor * (1.0 - value) if name.endswith("_iou") else factor * value
        return replace(self, **{name: changed})


NAMES = tuple(one.name for one in fields(Assumptions))

BOXES_35 = Assumptions(draw_s=35.0, correct_s=17.5, check_s=2.0)
BOXES_7 = Assumptions(draw_s=7.0, correct_s=3.5, check_s=2.0)
MASKS = Assumptions(draw_s=80.0, correct_s=27.0, check_s=3.0)


@dataclass(frozen=True, slots=True)
class Person:
    """One of the people: ``speed`` multiplies all seconds, ``accept_iou`` is this person's own."""

    name: str
    speed: float
    accept_iou: float


@dataclass(frozen=True, slots=True)
class Left:
    """A region that a person leaves. ``target`` is the object that is meant, None where there is none;
    ``shown`` the region whose shape was taken as it is, None where the shape was drawn."""

    label: str
    target: int | None
    shown: int | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """A person's work on an image: the regions left, the seconds, and the edits that make them of what was
    shown (none by hand)."""

    image: str
    person: str
    seconds: float
    left: tuple[Left, ...]
    edits: tuple[EditKind, ...]


def draw_people(n: int, assumed: Assumptions, rng: Rng) -> tuple[Person, ...]:
    """``n`` people with speeds of mean 1."""
    spread = assumed.person_spread
    return tuple(
        Person(
            f"simulated person {number + 1}",
            float(rng.lognormal(-(spread**2) / 2.0, spread)),
            float(rng.normal(assumed.accept_iou, assumed.care_spread)),
        )
        for number in range(n)
    )


def by_hand(scene: Scene, person: Person, assumed: Assumptions, *, labels: Sequence[str], rng: Rng) -> Work:
    """Draw everything."""
    drawn = [number for number in range(len(scene.truth)) if rng.random() >= assumed.missed]
    left = tuple(_draw(scene, number, assumed, labels=labels, rng=rng) for number in drawn)
    seconds = assumed.look_s + assumed.draw_s * len(left)
    return Work(scene.name, person.name, _taken(seconds, person, assumed, rng), left, ())


def with_help(scene: Scene, person: Person, assumed: Assumptions, *, labels: Sequence[str], rng: Rng) -> Work:
    """Check and correct what is shown, and draw what is missing.

    Whoever is shown a region that is nearly right takes it as it is: its shape, not a shape of their own.
    """
    left: list[Left] = []
    edits: list[EditKind] = []
    seconds = assumed.look_s + assumed.check_s * len(scene.shown)
    means = scene.means or {}
    for number, region in enumerate(scene.shown):
        if number not in means:
            if rng.random() < assumed.waved_through:
                left.append(Left(region.label, None, number))
                edits.append("kept")
            else:
                seconds += assumed.delete_s
                edits.append("deleted")
            continue
        target, iou = means[number]
        label = region.label
        edit: EditKind = "kept"
        if label != scene.truth[target].label and rng.random() >= assumed.waved_through:
            label, edit = scene.truth[target].label, "relabeled"
            seconds += assumed.relabel_s
        looks_right = iou >= rng.normal(person.accept_iou, assumed.look_spread)
        if not looks_right:
            seconds += assumed.correct_s
            if edit == "kept":
                edit = "moved" if region.mask is None else "reshaped"
        left.append(Left(label, target, number if looks_right else None))
        edits.append(edit)
    met = {target for target, _ in means.values()}
    for target in range(len(scene.truth)):
        if target not in met and rng.random() >= assumed.missed_with_help:
            left.append(_draw(scene, target, assumed, labels=labels, rng=rng))
            edits.append("added")
            seconds += assumed.draw_s
    return Work(scene.name, person.name, _taken(seconds, person, assumed, rng), tuple(left), tuple(edits))


def _draw(scene: Scene, target: int, assumed: Assumptions, *, labels: Sequence[str], rng: Rng) -> Left:
    label = scene.truth[target].label
    others = [other for other in labels if other != label]
    if others and rng.random() < assumed.mislabeled:
        label = others[int(rng.integers(len(others)))]
    return Left(label, target)


def _taken(seconds: float, person: Person, assumed: Assumptions, rng: Rng) -> float:
    """The seconds of this person today; the mean over all people and days is what was given."""
    spread = assumed.image_spread
    return float(seconds * person.speed * math.exp(rng.normal(-(spread**2) / 2.0, spread)))
