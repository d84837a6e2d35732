"""Rules about the outline of a mask: pieces beside it, holes in it, too rough, too smooth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from detseg.geometry.masks import Bitmap
from detseg.geometry.outlines import Outline, roughness
from detseg.geometry.runs import crop_to_box
from detseg.metrics.suspects.options import SuspectOptions, sureness
from detseg.metrics.suspects.scene import Finding, Reference, Scene, Shape
from detseg.metrics.suspects.usual import Observation
from detseg.types import Box, Region

_EIGHT = np.ones((3, 3), dtype=bool)
_BESIDE_PX = 2
"""Between two regions that touch, people leave so much."""

_SURELY_SMOOTH = 1.05
"""Windings up to which an outline cannot be rough: every pixel that stands out makes it longer."""


def find_contours(scene: Scene) -> Iterator[Finding | Observation]:
    """Specks, holes and roughness of every mask: what needs its pixels, looked at only where its runs ask."""
    for shape in scene.layer.shapes:
        region, outline, mask = shape.region, shape.outline, shape.region.instance.mask
        if mask is None or outline is None:
            continue
        label = region.instance.label
        if not outline.n_holes:
            yield Observation("holed", label, 0.0)
        if outline.n_pieces == 1 and outline.n_holes == 0 and outline.windings <= _SURELY_SMOOTH:
            yield Observation("roughness", label, 0.0)
            continue
        bitmap = crop_to_box(mask, outline.box)
        if outline.n_pieces > 1:
            yield from _specks(shape, outline, bitmap, scene)
        if outline.n_holes:
            yield from _holes(region, outline, bitmap, scene)
        yield from _jagged(region, outline, bitmap, scene.options)


def find_over_smoothed(scene: Scene) -> Iterator[Finding | Observation]:
    """Masks with a much shorter outline than the model's or another person's for the same object.

    A smooth outline alone proves nothing: objects are smooth. So another mask has to show what was cut off,
    and the masks of a model whose outlines are all longer than those of people show nothing.
    """
    for reference in scene.references:
        met = reference.same & (reference.iou >= scene.options.same_iou)
        for i, j in np.argwhere(met).tolist():
            yield from _smoother(scene.layer.shapes[i], reference, j, scene.options)


def _smoother(
    shape: Shape, reference: Reference, j: int, options: SuspectOptions
) -> Iterator[Finding | Observation]:
    """Find a mask that is much smoother than the reference's mask j, which is not just jagged itself."""
    other, shown = reference.layer.shapes[j].region.instance.mask, reference.layer.shapes[j].outline
    if other is None or shown is None or shape.outline is None:
        return
    share = shape.outline.length_px / shown.length_px
    one = Observation("smoothness", shape.region.instance.label, min(share, 1.0))
    yield one
    if share >= options.smoothed or roughness(crop_to_box(other, shown.box)) > options.rough:
        return
    reason = f"its outline is {share:.0%} as long as that of {reference.name}"
    trust = float(reference.trust[j])
    yield Finding("over_smoothed", trust, reason, shape.region, shape.outline.box, one)


def _specks(shape: Shape, outline: Outline, bitmap: Bitmap, scene: Scene) -> Iterator[Finding]:
    """Small pieces, but for those that another region cuts off or lets through: they lie beside it."""
    pieces, n_pieces = ndimage.label(np.pad(bitmap, _BESIDE_PX), structure=_EIGHT)
    areas = np.bincount(pieces.reshape(-1), minlength=n_pieces + 1)
    limit = _stray_px(scene.options.speck_px, outline, scene.options)
    small = [number for number in range(1, n_pieces + 1) if areas[number] <= limit]
    if not small:
        return
    window = _grown(outline.box, _BESIDE_PX)
    others, places = _other_pixels(shape, window, scene), ndimage.find_objects(pieces)
    stray = [n for n in small if not _is_cut_off(pieces, n, places[n - 1], others=others)]
    if stray:
        n_specks, largest = len(stray), max(areas[n] for n in stray)
        reason = f"{n_specks} {'piece' if n_specks == 1 else 'pieces'} of up to {largest} px beside it"
        sure = sureness(n_specks, even=1, certain=5)
        yield Finding("specks", sure, reason, shape.region, _place(places[stray[0] - 1], window))


def _is_cut_off(
    pieces: npt.NDArray[np.int32], number: int, where: tuple[slice, slice], *, others: Bitmap
) -> bool:
    """Tell whether a piece lies beside the pixels of other regions, and on none of them."""
    around = tuple(slice(max(0, side.start - _BESIDE_PX), side.stop + _BESIDE_PX) for side in where)
    piece, other = pieces[around] == number, others[around]
    if not other.any() or (piece & other).any():
        return False
    return bool((ndimage.binary_dilation(piece, _EIGHT, iterations=_BESIDE_PX) & other).any())


def _other_pixels(shape: Shape, window: Box, scene: Scene) -> Bitmap:
    """Draw the masks of the other regions in a window, which may reach over the image's edge: (H, W)."""
    x0, y0, x1, y1 = (int(edge) for edge in window.xyxy)
    found = np.zeros((y1 - y0, x1 - x0), dtype=bool)
    for other in scene.layer.shapes:
        mask, outline = other.region.instance.mask, other.outline
        if other is shape or mask is None or outline is None:
            continue
        left, top, right, bottom = (int(edge) for edge in outline.box.xyxy)
        a, b, c, d = max(left, x0), max(top, y0), min(right, x1), min(bottom, y1)
        if a < c and b < d:
            part = crop_to_box(mask, outline.box)[b - top : d - top, a - left : c - left]
            found[b - y0 : d - y0, a - x0 : c - x0] |= part
    return found


def _holes(region: Region, outline: Outline, bitmap: Bitmap, scene: Scene) -> Iterator[Finding | Observation]:
    """Holes that hold no other region: a nut on the belt is a hole of the belt that belongs there.

    Small ones are what a brush leaves; large ones belong to the object where others of its class have some.
    """
    pieces, n_pieces = ndimage.label(~np.pad(bitmap, 1))
    areas = np.bincount(pieces.reshape(-1), minlength=n_pieces + 1)
    padded = _grown(outline.box, 1)
    found = [
        (int(areas[number]), _place(where, padded))
        for number, where in enumerate(ndimage.find_objects(pieces), start=1)
        if number != pieces[0, 0]
    ]
    others = [shape.extent for shape in scene.layer.shapes if shape.region is not region]
    holes = [(area, box) for area, box in found if not any(_holds(other, box) for other in others)]
    limit = _stray_px(scene.options.hole_px, outline, scene.options)
    small, large = [hole for hole in holes if hole[0] <= limit], [hole for hole in holes if hole[0] > limit]
    one = Observation("holed", region.instance.label, 1.0 if large else 0.0)
    yield one
    if small:
        reason, box = _largest(small)
        yield Finding("holes", sureness(len(small), even=1, certain=5), reason, region, box)
    if large:
        reason, box = _largest(large)
        yield Finding("holes", 1.0, f"{reason}, as few others of its class have", region, box, one)


def _largest(holes: Sequence[tuple[int, Box]]) -> tuple[str, Box]:
    area, box = max(holes, key=lambda hole: hole[0])
    return f"{len(holes)} {'hole' if len(holes) == 1 else 'holes'} of up to {area} px in it", box


def _jagged(
    region: Region, outline: Outline, bitmap: Bitmap, options: SuspectOptions
) -> Iterator[Finding | Observation]:
    width_px = 2 * outline.area_px / outline.length_px
    if outline.area_px < options.rough_from_px or width_px < options.thin_px:
        return
    rough = roughness(bitmap)
    one = Observation("roughness", region.instance.label, rough)
    yield one
    if rough > options.rough:
        reason = f"{rough:.0%} of its outline's pixels stand alone against their neighbours"
        yield Finding("jagged", 1.0, reason, region, outline.box, one)


def _stray_px(limit_px: int, outline: Outline, options: SuspectOptions) -> float:
    return min(limit_px, options.stray_share * outline.area_px)


def _grown(box: Box, by_px: int) -> Box:
    return Box(box.x0 - by_px, box.y0 - by_px, box.x1 + by_px, box.y1 + by_px)


def _place(where: tuple[slice, slice], crop: Box) -> Box:
    """A crop's rows and columns as a box of the image."""
    rows, columns = where
    return Box(crop.x0 + columns.start, crop.y0 + rows.start, crop.x0 + columns.stop, crop.y0 + rows.stop)


def _holds(outer: Box, inner: Box) -> bool:
    """Tell whether the middle of one box lies in the other."""
    x, y = (inner.x0 + inner.x1) / 2, (inner.y0 + inner.y1) / 2
    return outer.x0 <= x <= outer.x1 and outer.y0 <= y <= outer.y1
