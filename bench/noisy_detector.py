"""A detector that is made from the truth: it misses, sees double worlds, confuses and places badly, by seed.

It stands in for a trained model whose images nobody has annotated before. Its scores start at 0.5, the
threshold from which regions are shown; those of right regions are mostly high, those of wrong ones mostly
low.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from detseg.geometry.boxes import clip_box
from detseg.geometry.extent import extent
from detseg.geometry.masks import Bitmap, bitmap_to_mask, mask_to_bitmap, mask_to_box
from detseg.types import Box, Instance, Mask, Region, RegionId, Size

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class NoisyDetector:
    """The shares of objects that it gets wrong, each in [0, 1]."""

    missed: float
    """objects without a region"""
    made_up: float
    """regions where nothing is, per object"""
    confused: float
    """regions with the label of another class"""
    spread: float
    """standard deviation of each side of a box, as a share of that side"""
    edge_px: float = 0.5
    """and in pixels, beside it"""

    def see(self, truth: Sequence[Region], size: Size, labels: Sequence[str], rng: Rng) -> tuple[Region, ...]:
        """The regions that it finds in an image whose truth is known."""
        found = list(self._found(truth, size, labels, rng))
        return tuple(Region(RegionId(f"m{i}"), "model", one) for i, one in enumerate(found))

    def _found(
        self, truth: Sequence[Region], size: Size, labels: Sequence[str], rng: Rng
    ) -> Iterator[Instance]:
        for region in truth:
            if rng.random() < self.made_up:
                made = _elsewhere(self._place(region.instance, size, rng), size, rng)
                yield replace(made, score=0.5 + 0.5 * float(rng.beta(1, 2.5)))
            if rng.random() < self.missed:
                continue
            placed = self._place(region.instance, size, rng)
            others = [label for label in labels if label != placed.label]
            if others and rng.random() < self.confused:
                score = 0.5 + 0.5 * float(rng.beta(1, 2.5))
                yield replace(placed, label=str(rng.choice(others)), score=score)
            else:
                yield replace(placed, score=0.5 + 0.5 * float(rng.beta(4, 1)))

    def _place(self, instance: Instance, size: Size, rng: Rng) -> Instance:
        if instance.mask is not None:
            mask = self._outline(instance.mask, rng)
            return replace(instance, mask=mask, box=mask_to_box(mask) if instance.box else None)
        box = extent(instance)
        sides = np.array((box.x1 - box.x0, box.y1 - box.y0) * 2)
        off = rng.normal(0.0, 1.0, 4) * (self.spread * sides + self.edge_px)
        x0, y0, x1, y1 = np.array(box.xyxy) + off
        made = Box(min(x0, x1 - 1), min(y0, y1 - 1), max(x1, x0 + 1), max(y1, y0 + 1))
        return replace(instance, box=clip_box(made, size) or box)

    def _outline(self, mask: Mask, rng: Rng) -> Mask:
        """The mask with an outline that wanders in and out, as networks draw it."""
        box = mask_to_box(mask)
        if box is None:
            return mask
        side = float(np.sqrt(mask.area))
        by = (self.spread * side + self.edge_px) / 2
        far = 4.0 * by + 2.0
        x0, y0 = max(int(box.x0 - far), 0), max(int(box.y0 - far), 0)
        x1, y1 = min(int(box.x1 + far) + 1, mask.size.width), min(int(box.y1 + far) + 1, mask.size.height)
        bitmap = mask_to_bitmap(mask)
        part = bitmap[y0:y1, x0:x1]
        inside, outside = (ndimage.distance_transform_edt(np.pad(p, 1))[1:-1, 1:-1] for p in (part, ~part))
        waves = ndimage.gaussian_filter(rng.normal(size=part.shape), max(side / 3, 2.0), mode="wrap")
        waves -= waves.mean()
        waves *= by / max(float(waves.std()), 1e-9)
        made = np.zeros_like(bitmap)
        made[y0:y1, x0:x1] = np.where(part, inside - 0.5, 0.5 - outside) + waves > 0
        return bitmap_to_mask(_in_one_piece(made)) if made.any() else mask


def _in_one_piece(bitmap: Bitmap) -> Bitmap:
    """The largest piece, without holes: what is left of a network's mask once it is cleaned."""
    pieces, n_pieces = ndimage.label(bitmap)
    if n_pieces > 1:
        bitmap = pieces == 1 + int(np.bincount(pieces[pieces > 0] - 1).argmax())
    whole: Bitmap = ndimage.binary_fill_holes(bitmap)
    return whole


def _elsewhere(instance: Instance, size: Size, rng: Rng) -> Instance:
    """The instance anywhere in the image."""
    box = extent(instance)
    dx = int(rng.integers(0, max(int(size.width - (box.x1 - box.x0)), 0) + 1) - np.floor(box.x0))
    dy = int(rng.integers(0, max(int(size.height - (box.y1 - box.y0)), 0) + 1) - np.floor(box.y0))
    moved = clip_box(Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy), size) or box
    if instance.mask is None:
        return replace(instance, box=moved)
    bitmap = np.roll(mask_to_bitmap(instance.mask), (dy, dx), axis=(0, 1))
    mask = bitmap_to_mask(bitmap)
    return replace(instance, mask=mask, box=mask_to_box(mask) if instance.box else None)


DETECTORS = {
    "exact": NoisyDetector(missed=0.0, made_up=0.01, confused=0.002, spread=0.02),
    "good": NoisyDetector(missed=0.005, made_up=0.02, confused=0.005, spread=0.03),
    "fair": NoisyDetector(missed=0.03, made_up=0.05, confused=0.02, spread=0.05, edge_px=0.7),
}
"""From one that finds everything and places it within 2 % to one of a first round."""
