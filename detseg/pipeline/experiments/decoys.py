"""Wrong regions that look like the model's own: in their shapes, scores and ids.

A decoy is a copy of one of the image's regions: with another class's label; beside its place, so that it fits
nothing; or where the model sees nothing at all. Nobody knows that nothing is there, and a model is wrong now
and then: a few decoys are right by chance, and people who leave those as they are do well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from detseg.geometry.boxes import box_iou_matrix, boxes_to_array
from detseg.geometry.extent import extent
from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap
from detseg.labelstudio.results import region_id
from detseg.taxonomy import Taxonomy
from detseg.types import DECOY_KINDS, Annotation, Box, Decoy, DecoyKind, Instance, Mask, ModelVersion, Region

_SHIFT = (0.45, 0.7)
"""A shifted copy lies this share of its side beside its place: the IoU of the two is 0.18 to 0.38."""

_TOO_CLOSE_IOU = 0.4
"""A decoy that overlaps a region of its label more than this might be right."""

_JITTER = 0.02
"""A relabeled copy's corners differ by up to this share of its sides."""

_N_PLACES = 50
_SCORE_ROOM = 0.02


def make_decoy(prediction: Annotation, taxonomy: Taxonomy, lot: float) -> Decoy | None:
    """The decoy of an image; None where the model sees nothing that it could be made of.

    ``lot`` in [0, 1) decides, and nothing else does.
    """
    rng = np.random.default_rng(int(lot * 2**56))
    maker = _Maker(prediction, taxonomy, rng)
    for kind in rng.permutation(np.array(DECOY_KINDS)).tolist():
        instance = next(maker.instances(kind), None)
        if instance is not None:
            identity = region_id(prediction.image, ModelVersion(f"decoy {lot}"), 0)
            return Decoy(kind, Region(identity, "model", replace(instance, score=maker.score())))
    return None


def plant(regions: Sequence[Region], decoys: Sequence[Decoy]) -> tuple[Region, ...]:
    """The regions with the decoys among them, where their scores would put them; both keep their order."""
    planted = list(regions)
    for decoy in decoys:
        score = decoy.region.instance.score or 0.0
        place = next(
            (i for i, one in enumerate(planted) if (one.instance.score or 0.0) < score), len(planted)
        )
        planted.insert(place, decoy.region)
    return tuple(planted)


class _Maker:
    """A maker of decoys for one image."""

    def __init__(self, prediction: Annotation, taxonomy: Taxonomy, rng: np.random.Generator) -> None:
        self._size = prediction.size
        self._instances = [region.instance for region in prediction.regions]
        self._taxonomy = taxonomy
        self._rng = rng

    def instances(self, kind: DecoyKind) -> Iterator[Instance]:
        """Candidates of that kind, by lot; often none."""
        make: Callable[[Instance], Iterator[Instance]] = {
            "label": self._relabeled,
            "shift": self._shifted,
            "nothing": self._elsewhere,
        }[kind]
        for i in self._rng.permutation(len(self._instances)):
            yield from make(self._instances[int(i)])

    def score(self) -> float | None:
        """A score like those of the image's regions, with as many digits."""
        scores = [one.score for one in self._instances if one.score is not None]
        if not scores:
            return None
        score = self._rng.uniform(min(scores), min(1.0, max(scores) + _SCORE_ROOM))
        digits = max(len(repr(one).partition(".")[2]) for one in scores)
        return round(score, digits) if digits < 8 else float(np.float32(score))

    def _relabeled(self, original: Instance) -> Iterator[Instance]:
        others = [cls.name for cls in self._taxonomy.of_kind(original.kind) if cls.name != original.label]
        for i in self._rng.permutation(len(others)):
            copy = replace(original, label=others[int(i)], box=self._jittered(original.box))
            if self._is_wrong(copy):
                yield copy

    def _shifted(self, original: Instance) -> Iterator[Instance]:
        place = extent(original)
        if original.kind == "stuff":
            return
        for direction in self._rng.permutation(4).tolist():
            step = self._rng.uniform(*_SHIFT) * (1 if direction % 2 else -1)
            dx = round(step * (place.x1 - place.x0)) if direction < 2 else 0
            dy = round(step * (place.y1 - place.y0)) if direction >= 2 else 0
            copy = self._moved(original, dx, dy)
            if copy is not None and (dx or dy) and self._is_wrong(copy):
                yield copy

    def _elsewhere(self, original: Instance) -> Iterator[Instance]:
        place = extent(original)
        room_x = self._size.width - (place.x1 - place.x0)
        room_y = self._size.height - (place.y1 - place.y0)
        if original.kind == "stuff" or room_x < 0 or room_y < 0:
            return
        for _ in range(_N_PLACES):
            dx = round(self._rng.uniform(0, room_x) - place.x0)
            dy = round(self._rng.uniform(0, room_y) - place.y0)
            copy = self._moved(original, dx, dy)
            if copy is not None and self._touches_no_thing(copy):
                yield copy

    def _moved(self, original: Instance, dx: int, dy: int) -> Instance | None:
        """The instance so many pixels away; None if it does not lie in the image as a whole."""
        place = extent(original)
        if place.x0 + dx < 0 or place.y0 + dy < 0:
            return None
        if place.x1 + dx > self._size.width or place.y1 + dy > self._size.height:
            return None
        box = original.box and Box(
            original.box.x0 + dx, original.box.y0 + dy, original.box.x1 + dx, original.box.y1 + dy
        )
        mask = original.mask and _moved_mask(original.mask, dx, dy)
        if mask is not None and mask.area == 0:
            return None
        return replace(original, box=box, mask=mask)

    def _jittered(self, box: Box | None) -> Box | None:
        if box is None:
            return None
        most_x, most_y = int(_JITTER * (box.x1 - box.x0)), int(_JITTER * (box.y1 - box.y0))
        x0, x1 = (float(v + self._rng.integers(-most_x, most_x + 1)) for v in (box.x0, box.x1))
        y0, y1 = (float(v + self._rng.integers(-most_y, most_y + 1)) for v in (box.y0, box.y1))
        width, height = float(self._size.width), float(self._size.height)
        return Box(max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height))

    def _is_wrong(self, copy: Instance) -> bool:
        """Check that the copy is not nearly right: no region of its label is too close to it."""
        alike = [one for one in self._instances if one.label == copy.label]
        return self._overlap(copy, alike) <= _TOO_CLOSE_IOU

    def _touches_no_thing(self, copy: Instance) -> bool:
        return self._overlap(copy, [one for one in self._instances if one.kind == "thing"]) == 0.0

    @staticmethod
    def _overlap(copy: Instance, others: Sequence[Instance]) -> float:
        places = boxes_to_array([extent(one) for one in others])
        return float(box_iou_matrix(boxes_to_array([extent(copy)]), places).max(initial=0.0))


def _moved_mask(mask: Mask, dx: int, dy: int) -> Mask:
    """The mask so many pixels away; what leaves the image is cut off."""
    bitmap = mask_to_bitmap(mask)
    height, width = bitmap.shape
    moved = np.zeros_like(bitmap)
    moved[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = bitmap[
        max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)
    ]
    return bitmap_to_mask(moved)
