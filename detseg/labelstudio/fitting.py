"""What of a prediction fits a labeling interface that somebody edited: labels renamed, tags removed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from detseg.labelstudio.label_config import BOXES, mask_control
from detseg.labelstudio.shapes import ShapePolicy, asked
from detseg.types import Region


@dataclass(frozen=True, slots=True)
class Fitting:
    """The regions, or halves of them, that the interface offers; a line for each that it does not."""

    regions: tuple[Region, ...]
    left_out: tuple[str, ...] = ()


def fit_regions(regions: Sequence[Region], missing: Collection[str], policy: ShapePolicy) -> Fitting:
    """What the interface takes of regions. ``missing`` is what it lacks, by ``missing_labels``."""
    if not missing:
        return Fitting(tuple(regions))
    kept: list[Region] = []
    left_out: list[str] = []
    for region in regions:
        instance = asked(region.instance, policy.annotate)
        if instance is None:
            continue
        label = instance.label
        lacking = [
            control
            for control, shape in ((BOXES, instance.box), (mask_control(policy), instance.mask))
            if shape is not None and f"{control.name}: {label}" in missing
        ]
        if lacking:
            tags = " and ".join(f"{control.tag} {control.name!r}" for control in lacking)
            left_out.append(f"region {region.id}: the labeling interface has no label {label!r} in {tags}")
        box = None if BOXES in lacking else instance.box
        mask = None if mask_control(policy) in lacking else instance.mask
        if box is not None or mask is not None:
            kept.append(replace(region, instance=replace(instance, box=box, mask=mask)))
    return Fitting(tuple(kept), tuple(left_out))
