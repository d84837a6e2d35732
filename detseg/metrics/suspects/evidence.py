"""Rules about what the model and other people say against a review: sizes, objects that nobody drew, labels.

A person who saw the model's region and decided otherwise had a reason more often than not: that halves the
trust in the model. Every other person who says the same as the model halves the doubt in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detseg.metrics.suspects.options import sureness
from detseg.metrics.suspects.scene import Choice, Finding, Matrix, Reference, Scene, overlaps
from detseg.types import Region

_OVERRULED = 0.5
"""The part that is left of the model's confidence where a person saw it and decided otherwise."""
_FAR_SMALLER_SURELY = 0.1


def find_other_sizes(scene: Scene) -> Iterator[Finding]:
    """Regions of which the model or another person shows far less (oversized) or far more (partial).

    One of the two regions lies in the other, they have one label, and neither has a better match.
    """
    for reference in scene.references:
        options, shared = scene.options, reference.shared
        alone = reference.same & ~_beside(reference.same & (reference.iou >= options.same_iou))
        for i, j in np.argwhere(alone & (shared > 0)).tolist():
            own, other = float(reference.own_areas[i, j]), float(reference.areas[i, j])
            share = min(own, other) / max(own, other)
            if share >= options.far_smaller or shared[i, j] < options.inside * min(own, other):
                continue
            sure = sureness(share, even=options.far_smaller, certain=_FAR_SMALLER_SURELY)
            yield Finding(
                "oversized" if own > other else "partial",
                sure * float(reference.trust[j]),
                f"{reference.name} draws the same {_times(other / own)} as large",
                scene.layer.shapes[i].region,
                scene.layer.shapes[i].extent,
            )


def find_missed(scene: Scene) -> Iterator[Finding]:
    """Objects that the model is sure of and the review lacks: in an image with labels (missed), or in one
    that was called empty (one finding for the image, with the surest)."""
    sure = np.flatnonzero(_sure(scene) & ~_drawn(scene)).tolist()
    if not sure:
        return
    found = [(_trust(scene, j), j) for j in sure]
    if scene.truth.state != "empty":
        for trust, j in found:
            region = scene.model.layer.shapes[j].region
            reason = f"the model is {_score(region):.0%} sure of it, and it is not drawn{_agreeing(scene, j)}"
            yield Finding("missed", trust, reason, region, scene.model.layer.shapes[j].extent)
        return
    trust, j = max(found, key=lambda one: (one[0], -one[1]))
    region = scene.model.layer.shapes[j].region
    reason = (
        f"the model is sure of {len(sure)} {'object' if len(sure) == 1 else 'objects'}, of a "
        f"{region.instance.label!r} with {_score(region):.0%}"
    )
    yield Finding("empty_though_sure", trust, reason, region, scene.model.layer.shapes[j].extent)


def find_wrong_label(scene: Scene) -> Iterator[Finding]:
    """Regions where the model is sure of another class, and sees none of the label's own."""
    model, options = scene.model, scene.options
    met = model.iou >= options.same_iou
    wrong = met & ~model.same & ~_beside(met & model.same) & _sure(scene)[None, :]
    if not wrong.any():
        return
    for i, shape in enumerate(scene.layer.shapes):
        found = [(_trust(scene, j), j) for j in np.flatnonzero(wrong[i]).tolist()]
        if found:
            trust, j = max(found, key=lambda one: (one[0], -one[1]))
            other = model.layer.shapes[j].region
            label = other.instance.label
            reason = f"the model is {_score(other):.0%} sure of a {label!r} here{_agreeing(scene, j)}"
            yield Finding("wrong_label", trust, reason, shape.region, shape.extent)


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 10 else f"{ratio:,.0f} times"


def _sure(scene: Scene) -> Choice:
    """Choose the model's regions of which it is sure, (M,)."""
    sure: Choice = scene.model.trust >= scene.options.sure_score
    return sure


def _drawn(scene: Scene) -> Choice:
    """Choose the model's regions that the review has, in one way or another, (M,).

    It has what is in the same place, whatever its label is, and what lies in a region of its label or around
    one: how large that should be is the matter of other rules.
    """
    model, options = scene.model, scene.options
    smaller = np.minimum(model.own_areas, model.areas)
    around: Matrix = np.divide(model.shared, smaller, out=np.zeros_like(smaller), where=smaller > 0)
    drawn = (model.iou >= options.same_iou) | (model.same & (around >= options.same_iou))
    return _any(drawn, axis=0)


def _beside(met: Choice) -> Choice:
    """The pairs (N, M) of which one or the other has met its match."""
    beside: Choice = _any(met, axis=1)[:, None] | _any(met, axis=0)[None, :]
    return beside


def _any(choice: Choice, *, axis: int) -> Choice:
    any_of_them: Choice = np.logical_or.reduce(choice, axis=axis)
    return any_of_them


def _trust(scene: Scene, j: int) -> float:
    """Return the confidence of a rule that relies on the model's region j, in [0, 1]."""
    trust = float(scene.model.trust[j]) * (1.0 if scene.case.arm == "blind" else _OVERRULED)
    return 1.0 - (1.0 - trust) * 0.5 ** _n_agreeing(scene, j)


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
