"""Rules about what the model and other people say against a review: sizes, objects that nobody drew, labels.

A person who saw the model's region and decided otherwise had a reason more often than not: that halves the
trust in the model. Every other person who says the same as the model halves the doubt in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from detseg.metrics.suspects.counterparts import Choice, Matrix
from detseg.metrics.suspects.options import sureness
from detseg.metrics.suspects.scene import Finding, Reference, Scene, overlaps
from detseg.metrics.suspects.usual import Observation
from detseg.types import Region

_OVERRULED = 0.5
"""The part that is left of the model's confidence where a person saw it and decided otherwise."""
_FAR_SMALLER_SURELY = 0.1


def find_other_sizes(scene: Scene) -> Iterator[Finding]:
    """Regions of which another person shows far less (oversized) or far more (partial).

    One of the two regions lies in the other, they have one label, and neither has a better match.
    """
    for reference in scene.people:
        options, shared = scene.options, reference.shared
        alone = reference.same & ~_beside(reference.same & (reference.iou >= options.same_iou))
        for i, j in np.argwhere(alone & (shared > 0)).tolist():
            own, other = float(reference.own_areas[i, j]), float(reference.areas[i, j])
            share = min(own, other) / max(own, other)
            if share >= options.far_smaller or shared[i, j] < options.inside * min(own, other):
                continue
            sure = sureness(share, even=options.far_smaller, certain=_FAR_SMALLER_SURELY)
            yield _of_other_size(scene, reference, (i, j), sure)


def find_misplaced(scene: Scene) -> Iterator[Finding | Observation]:
    """Regions that meet the model's of their object far worse than others of their class and size.

    Where one lies in the other it is oversized or partial, else misplaced. The overlap of what people left as
    the model had drawn it counts: it says that they look at the model's regions and find them right.
    """
    model, options = scene.model, scene.options
    of_own = scene.counterparts.of_own
    rows = np.flatnonzero(of_own >= 0)
    rows = rows[model.same[rows, of_own[rows]]]
    if not rows.size:
        return
    columns = of_own[rows]
    nested = model.nested(options.inside)[rows, columns].tolist()
    offsets = _offsets(scene.layer.tight[rows], model.layer.tight[columns])
    ious, areas = model.iou[rows, columns].tolist(), model.areas[rows, columns].tolist()
    for at, (i, j) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        iou, (off, off_px), octave = ious[at], offsets[at], _octave(areas[at])
        overlap = Observation("overlap", _label(scene, i), iou, octave)
        offset = Observation("offset", _label(scene, i), min(off, 1.0), octave)
        yield overlap
        yield offset
        if off_px < options.offset_px:
            continue
        trust = float(model.trust[j]) * _unseen_by_people(scene)
        for one, may_be in ((overlap, iou < options.badly_placed), (offset, off > options.offset)):
            if may_be and nested[at]:
                yield _of_other_size(scene, model, (i, j), trust, unusual=one)
            elif may_be:
                shape = scene.layer.shapes[i]
                reason = f"it overlaps with IoU {iou:.2f} with where the model sees it"
                yield Finding("misplaced", trust, reason, shape.region, shape.extent, one)


def _offsets(own: Matrix, other: Matrix) -> list[tuple[float, float]]:
    """Return how far the sides of boxes (N, 4) are from those of others (N, 4), in the root mean square.

    As shares of the other's width and height, and in pixels.
    """
    sides = np.maximum(other[:, 2:] - other[:, :2], 1.0)  # (N, 2)
    off_px = own - other
    both = np.stack((off_px / np.concatenate((sides, sides), axis=1), off_px), axis=1)  # (N, 2, 4)
    return [(share, px) for share, px in np.sqrt((both**2).mean(axis=2)).tolist()]


def _of_other_size(
    scene: Scene,
    reference: Reference,
    pair: tuple[int, int],
    sure: float,
    *,
    unusual: Observation | None = None,
) -> Finding:
    own, other = float(reference.own_areas[pair]), float(reference.areas[pair])
    shape = scene.layer.shapes[pair[0]]
    reason = f"{reference.name} draws the same {_times(other / own)} as large"
    rule = "oversized" if own > other else "partial"
    return Finding(rule, sure, reason, shape.region, shape.extent, unusual)


def find_unseen(scene: Scene) -> Iterator[Finding | Observation]:
    """Labels in whose place nobody else sees anything: not the model with any score or label, no other
    person.

    It says something where the model sees nearly all other labels of that class.
    """
    if not scene.layer.shapes:
        return
    nobody = (scene.counterparts.of_own < 0) & (_best(scene.model.iou) < scene.options.touching_iou)
    for i, shape in enumerate(scene.layer.shapes):
        label = _label(scene, i)
        unseen = bool(nobody[i]) and not _seen_elsewhere(scene, i)
        one = Observation("seen", label, 0.0 if unseen else 1.0)
        yield one
        if unseen:
            reason = f"the model sees nothing here, but most other regions of {label!r}"
            yield Finding("unseen", _unseen_by_people(scene), reason, shape.region, shape.extent, one)


def _seen_elsewhere(scene: Scene, i: int) -> bool:
    """Tell whether the model saw something in the place of a label with a low score, or another person."""
    options = scene.options
    if scene.faint.shapes and _best(overlaps(scene.layer, scene.faint))[i] >= options.touching_iou:
        return True
    return any(_best(person.iou)[i] >= options.touching_iou for person in scene.people)


def find_missed(scene: Scene) -> Iterator[Finding | Observation]:
    """Objects that the model is sure of and the review lacks: in an image with labels (missed), or in one
    that was called empty (one finding for the image, with the surest)."""
    if scene.truth.state == "empty":
        yield from _empty_though_sure(scene)
        return
    drawn = _drawn(scene)
    deleted = {one.id for one in scene.case.shown} - {one.id for one in scene.truth.regions}
    for j, shape in enumerate(scene.model.layer.shapes):
        region = shape.region
        one = Observation(
            "drawn" if drawn[j] else "undrawn", region.instance.label, float(scene.model.trust[j])
        )
        yield one
        if not drawn[j] and one.value >= scene.options.least_sure_score:
            fate = "was deleted" if region.id in deleted else "is not drawn"
            reason = f"the model is {_score(region):.0%} sure of it, and it {fate}{_agreeing(scene, j)}"
            yield Finding("missed", _trust(scene, j), reason, region, shape.extent, one)


def _empty_though_sure(scene: Scene) -> Iterator[Finding]:
    found = [(_trust(scene, j), j) for j in np.flatnonzero(_sure(scene, scene.options.sure_score)).tolist()]
    if not found:
        return
    trust, j = max(found, key=_surest)
    region = scene.model.layer.shapes[j].region
    reason = (
        f"the model is sure of {len(found)} {'object' if len(found) == 1 else 'objects'}, of a "
        f"{region.instance.label!r} with {_score(region):.0%}"
    )
    yield Finding("empty_though_sure", trust, reason, region, scene.model.layer.shapes[j].extent)


def find_wrong_label(scene: Scene) -> Iterator[Finding | Observation]:
    """Regions where the model is sure of another class, and sees none of the label's own."""
    model, options = scene.model, scene.options
    met = model.iou >= options.same_iou
    wrong = met & ~model.same & ~_beside(met & model.same)
    denied, agreed = _any(wrong, axis=0), _any(met & model.same, axis=0)
    for j in np.flatnonzero(denied | agreed).tolist():
        label = model.layer.shapes[j].region.instance.label
        yield Observation("denied" if denied[j] else "agreed", label, float(model.trust[j]))
    likely = wrong & _sure(scene, options.least_sure_score)[None, :]
    for i in np.flatnonzero(_any(likely, axis=1)).tolist():
        trust, j = max(((_trust(scene, j), j) for j in np.flatnonzero(likely[i]).tolist()), key=_surest)
        other, shape = model.layer.shapes[j].region, scene.layer.shapes[i]
        label = other.instance.label
        reason = f"the model is {_score(other):.0%} sure of a {label!r} here{_agreeing(scene, j)}"
        one = Observation("denied", label, float(model.trust[j]))
        yield Finding("wrong_label", trust, reason, shape.region, shape.extent, one)


def _surest(trust_of: tuple[float, int]) -> tuple[float, int]:
    """Sorts by trust; of equals the first one is the largest."""
    return trust_of[0], -trust_of[1]


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 10 else f"{ratio:,.0f} times"


def _sure(scene: Scene, least: float) -> Choice:
    """Choose the model's regions with at least that score, (M,)."""
    sure: Choice = scene.model.trust >= least
    return sure


def _drawn(scene: Scene) -> Choice:
    """Choose the model's regions that the review has, in one way or another, (M,).

    It has what is in the same place, whatever its label is, and what is the counterpart of one of its
    regions: how well that is placed is the matter of other rules. A region that lies in another one, or
    covers a part of it, is not drawn by that alone.
    """
    drawn: Choice = _any(scene.model.iou >= scene.options.same_iou, axis=0)
    return drawn | (scene.counterparts.of_other >= 0)


def _best(iou: Matrix) -> Matrix:
    """The best overlap of each label, (N,); 0 with nothing."""
    best: Matrix = iou.max(axis=1, initial=0.0)
    return best


def _label(scene: Scene, i: int) -> str:
    return scene.layer.shapes[i].region.instance.label


def _octave(area_px: float) -> int:
    """The size of a region in doublings of its side."""
    return round(0.5 * math.log2(max(area_px, 1.0)))


def _beside(met: Choice) -> Choice:
    """The pairs (N, M) of which one or the other has met its match."""
    beside: Choice = _any(met, axis=1)[:, None] | _any(met, axis=0)[None, :]
    return beside


def _any(choice: Choice, *, axis: int) -> Choice:
    any_of_them: Choice = np.logical_or.reduce(choice, axis=axis)
    return any_of_them


def _trust(scene: Scene, j: int) -> float:
    """Return the confidence of a rule that relies on the model's region j, in [0, 1]."""
    trust = float(scene.model.trust[j]) * _unseen_by_people(scene)
    return 1.0 - (1.0 - trust) * 0.5 ** _n_agreeing(scene, j)


def _unseen_by_people(scene: Scene) -> float:
    """Return the part of the trust in the model that is left: all, where nobody saw what it said."""
    return 1.0 if scene.case.arm == "control" else _OVERRULED


def _n_agreeing(scene: Scene, j: int) -> int:
    """Count the other people who drew the model's region j."""
    return sum(_has(person, scene, j) for person in scene.people)


def _has(person: Reference, scene: Scene, j: int) -> bool:
    """Tell whether a person drew the model's region j, with its label and kind."""
    wanted = scene.model.layer.shapes[j].region.instance
    overlap = overlaps(person.layer, scene.model.layer)[:, j]
    return any(
        iou >= scene.options.same_iou and (own.label, own.kind) == (wanted.label, wanted.kind)
        for iou, own in zip(overlap, (s.region.instance for s in person.layer.shapes), strict=True)
    )


def _agreeing(scene: Scene, j: int) -> str:
    n = _n_agreeing(scene, j)
    return f"; {n} other {'person says' if n == 1 else 'people say'} the same as the model" if n else ""


def _score(region: Region) -> float:
    return region.instance.score or 0.0
