"""What of a prediction fits a labeling interface that somebody edited: labels renamed, tags removed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from detseg.labelstudio.shapes import (
    PARTS,
    Part,
    ShapePolicy,
    can_draw,
    parts_of,
    split_parts,
    with_parts,
)
from detseg.types import Mask, Region

_POLYGONS_ALONE = (
    "the labeling interface has polygons alone, and its mask cannot be one (holes, several pieces or too "
    "thin): add BrushLabels to it, or clean masks"
)


@dataclass(frozen=True, slots=True)
class Fitting:
    """The regions, or halves of them, that the interface offers; a line for each that it does not."""

    regions: tuple[Region, ...]
    left_out: tuple[str, ...] = ()


def fit_regions(regions: Sequence[Region], missing: Collection[str], policy: ShapePolicy) -> Fitting:
    """What the interface takes of regions. ``missing`` is what it lacks, by ``missing_labels``."""
    if not missing and policy.kinds != {"polygon"}:
        return Fitting(tuple(regions))
    kept: list[Region] = []
    left_out: list[str] = []
    for region in regions:
        instance = region.instance
        kind, parts = instance.kind, parts_of(instance)
        absent: set[Part] = {part for part in PARTS if f"{part}: {instance.label}" in missing}
        shown, lacking = split_parts(kind, parts, policy.annotate, absent)
        if instance.mask is not None and "mask" in shown and _is_too_hard(instance.mask, policy):
            left_out.append(f"region {region.id}: {_POLYGONS_ALONE}")
            shown, lacking = split_parts(kind, parts, policy.annotate, absent | {"mask"})
            lacking -= {"mask"}
        if lacking:
            words = " and no ".join(part for part in PARTS if part in lacking)
            left_out.append(
                f"region {region.id}: the labeling interface has no {words} with label {instance.label!r}"
            )
        fitting = with_parts(instance, shown)
        if fitting is not None:
            kept.append(replace(region, instance=fitting))
    return Fitting(tuple(kept), tuple(left_out))


def _is_too_hard(mask: Mask, policy: ShapePolicy) -> bool:
    return mask.area > 0 and not can_draw(mask, policy)
