"""The simulated reviewer: does with a prediction what an annotator does, knowing the truth of the scene.

It is a stand-in for people in the demo and in the tests, and says so wherever it signs. ``review`` decides
and is pure; ``detseg.samples.simulate`` sends what it decided the way the web page does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from detseg.geometry.boxes import box_iou, clip_box
from detseg.geometry.extent import extent
from detseg.geometry.masks import bitmap_to_mask, mask_iou, mask_to_bitmap
from detseg.labelstudio.shapes import Annotate, asked
from detseg.samples.scenes import Scene
from detseg.types import Annotation, Box, ImageId, Instance, Mask, Region, RegionId, Size, State

TRUTH_AUTHOR = "truth of the sample scene"

_MATCH_IOU = 0.3  # below this, deleting and drawing anew is less work than correcting
_SAME_LABEL_BONUS = 0.5


@dataclass(frozen=True, slots=True)
class ReviewerHabits:
    """The habits of a simulated annotator: what they are asked for and accept, how often they err, how long
    they take.

    ``error_rate`` is the chance that one decision goes wrong: a false object is left, a missing one stays
    missing, a wrong label is overlooked, a correction is sloppy. Seconds are medians: a box by extreme
    clicking takes 7 s (Papadopoulos et al., ICCV 2017), a mask corrected interactively 14 s and one drawn
    where the model saw nothing 34 s (SAM data engine, 2023); looking an image through 7 s.
    """

    keep_box_iou: float = 0.85
    keep_mask_iou: float = 0.85
    error_rate: float = 0.03
    skip_rate: float = 0.01
    annotate: Annotate = "pairs"
    hand_px: float = 0.7  # standard deviation of a box corner that was drawn with care
    sloppy_px: float = 5.0  # and without
    look_s: float = 7.0
    box_s: float = 7.0
    reshape_s: float = 14.0
    mask_s: float = 34.0
    relabel_s: float = 3.0
    delete_s: float = 1.5
    spread: float = 0.35  # sigma of the lognormal noise on the whole

    def __post_init__(self) -> None:
        for name in ("keep_box_iou", "keep_mask_iou", "error_rate", "skip_rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is in [0, 1], not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class SimulatedReview:
    """A review that the simulated reviewer submits. A skipped task keeps the prediction's regions, as on the
    page."""

    state: State
    regions: tuple[Region, ...]
    lead_time_s: float


def truth_of_scene(scene: Scene, image_id: ImageId) -> Annotation:
    """The exact truth of a sample scene as the annotation of that image."""
    regions = tuple(
        Region(RegionId(f"truth-{number}"), "person", instance)
        for number, instance in enumerate(scene.instances)
    )
    state: State = "labeled" if regions else "empty"
    return Annotation(image_id, scene.size, TRUTH_AUTHOR, state, regions)


def review(
    prediction: Annotation, truth: Annotation, *, rng: np.random.Generator, habits: ReviewerHabits
) -> SimulatedReview:
    """Review the prediction of an image whose truth is known, as a simulated annotator.

    Regions that stay keep their id, place and score; what was missing follows, in the order of the truth.
    Equal inputs and an equal generator give equal answers.
    """
    if prediction.size != truth.size:
        raise ValueError(f"prediction and truth are of one image, not {prediction.size} and {truth.size}")
    hand = _Hand(rng, habits, truth.size)
    if hand.slips(habits.skip_rate):
        return SimulatedReview("skipped", prediction.regions, hand.seconds(habits.look_s / 2))
    wanted = [
        wish for region in truth.regions if (wish := asked(region.instance, habits.annotate)) is not None
    ]
    matches = _match([region.instance for region in prediction.regions], wanted)
    kept, spent = [], habits.look_s
    for number, region in enumerate(prediction.regions):
        target = matches.get(number)
        instance, cost = hand.correct(region.instance, None if target is None else wanted[target])
        spent += cost
        if instance is not None:
            kept.append(replace(region, instance=instance))
    missing = sorted(set(range(len(wanted))) - set(matches.values()))
    for number in missing:
        if not hand.slips(habits.error_rate):
            instance, cost = hand.draw(wanted[number])
            spent += cost
            kept.append(Region(RegionId(f"simulated-{rng.bytes(5).hex()}"), "person", instance))
    return SimulatedReview("labeled" if kept else "empty", tuple(kept), hand.seconds(spent))


@dataclass(frozen=True, slots=True)
class _Hand:
    """The part of the reviewer that needs chance: slips, unsteady corners, time."""

    rng: np.random.Generator
    habits: ReviewerHabits
    size: Size

    def slips(self, rate: float) -> bool:
        return bool(self.rng.random() < rate)

    def seconds(self, median_s: float) -> float:
        return round(float(median_s * self.rng.lognormal(0.0, self.habits.spread)), 3)

    def correct(self, seen: Instance, target: Instance | None) -> tuple[Instance | None, float]:
        """The instance after the review (None: deleted), and the seconds that it took."""
        if target is None:
            return (seen, 0.0) if self.slips(self.habits.error_rate) else (None, self.habits.delete_s)
        fixed, spent = seen, 0.0
        if seen.label != target.label and not self.slips(self.habits.error_rate):
            fixed, spent = replace(fixed, label=target.label), spent + self.habits.relabel_s
        if target.box is not None and not self._good_box(seen.box, target.box):
            fixed, spent = replace(fixed, box=self._box(target.box)), spent + self.habits.box_s
        if target.mask is not None and not self._good_mask(seen.mask, target.mask):
            cost = self.habits.mask_s if seen.mask is None else self.habits.reshape_s
            box = fixed.box if target.box else None
            fixed, spent = replace(fixed, box=box, mask=self._mask(target.mask)), spent + cost
        return fixed, spent

    def draw(self, target: Instance) -> tuple[Instance, float]:
        """A new instance by hand, and the seconds that it took."""
        box = None if target.box is None else self._box(target.box)
        mask = None if target.mask is None else self._mask(target.mask)
        spent = (box is not None) * self.habits.box_s + (mask is not None) * self.habits.mask_s
        return Instance(target.label, target.kind, box, mask), spent

    def _good_box(self, seen: Box | None, target: Box) -> bool:
        return seen is not None and box_iou(seen, target) >= self.habits.keep_box_iou

    def _good_mask(self, seen: Mask | None, target: Mask) -> bool:
        return seen is not None and mask_iou(seen, target) >= self.habits.keep_mask_iou

    def _box(self, target: Box) -> Box:
        sloppy = self.slips(self.habits.error_rate)
        spread = self.habits.sloppy_px if sloppy else self.habits.hand_px
        x0, y0, x1, y1 = (np.asarray(target.xyxy) + self.rng.normal(0.0, spread, 4)).tolist()
        (x0, x1), (y0, y1) = sorted((x0, x1)), sorted((y0, y1))
        return clip_box(Box(x0, y0, x1, y1), self.size) or target

    def _mask(self, target: Mask) -> Mask:
        if not self.slips(self.habits.error_rate):
            return target
        wide = ndimage.binary_dilation(mask_to_bitmap(target), iterations=round(self.habits.sloppy_px))
        return bitmap_to_mask(np.asarray(wide, dtype=bool))


def _match(seen: Sequence[Instance], wanted: Sequence[Instance]) -> dict[int, int]:
    """Match each predicted instance with the true one that it means: {index in seen: index in wanted}, one to
    one.

    Greedy by overlap, an equal label weighing more; only within a kind and from an IoU of 0.3.
    """
    candidates = []
    for i, one in enumerate(seen):
        for j, other in enumerate(wanted):
            overlap = _overlap(one, other) if one.kind == other.kind else 0.0
            if overlap >= _MATCH_IOU:
                candidates.append((overlap + _SAME_LABEL_BONUS * (one.label == other.label), i, j))
    matches: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(candidates, key=lambda c: (-c[0], c[1], c[2])):
        if i not in matches and j not in taken:
            matches[i] = j
            taken.add(j)
    return matches


def _overlap(a: Instance, b: Instance) -> float:
    if a.mask is not None and b.mask is not None and not (a.box and b.box):
        return mask_iou(a.mask, b.mask)
    return box_iou(extent(a), extent(b))
