"""The part of a prediction that fits a labeling interface that somebody edited: labels renamed, tags
removed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from detseg.errors import FormatError
from detseg.labelstudio.codec import EncodedTask, encode_regions, encode_task
from detseg.labelstudio.shapes import (
    PARTS,
    Part,
    ShapePolicy,
    can_draw,
    parts_of,
    split_parts,
    with_parts,
)
from detseg.taxonomy import Taxonomy
from detseg.types import Annotation, ImageRef, Mask, ModelVersion, Region, Size

_POLYGONS_ALONE = (
    "the labeling interface has polygons alone, and its mask cannot be one (holes, several pieces or too "
    "thin): add BrushLabels to it, or clean masks"
)


@dataclass(frozen=True, slots=True)
class Fitting:
    """The regions, or halves of them, that the interface offers; a line for each that it does not."""

    regions: tuple[Region, ...]
    left_out: tuple[str, ...] = ()


def encode_fitting(
    ref: ImageRef,
    prediction: Annotation,
    *,
    missing: Collection[str],
    version: ModelVersion,
    taxonomy: Taxonomy,
    policy: ShapePolicy,
) -> tuple[EncodedTask, tuple[str, ...]]:
    """Encode the task of what fits of a prediction, without the image's URL; a line for each region that
    does not.

    Raises FormatError if it is not single regions that are wrong.
    """

    def encode(regions: Sequence[Region]) -> EncodedTask:
        return encode_task(
            ref, size, regions, version=version, taxonomy=taxonomy, image_url="", policy=policy
        )

    size = prediction.size
    fitting = fit_regions(prediction.regions, missing, policy)
    try:
        return encode(fitting.regions), fitting.left_out
    except FormatError:
        sound = _sound_regions(fitting.regions, size, taxonomy)
        if not sound.left_out:
            raise
        return encode(sound.regions), (*fitting.left_out, *sound.left_out)


def fit_regions(regions: Sequence[Region], missing: Collection[str], policy: ShapePolicy) -> Fitting:
    """Choose what the interface takes of regions. ``missing`` is what it lacks, by ``missing_labels``."""
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


def _sound_regions(regions: Sequence[Region], size: Size, taxonomy: Taxonomy) -> Fitting:
    """The regions that can be encoded by themselves, and why the others cannot."""
    kept: list[Region] = []
    broken: list[str] = []
    for region in regions:
        try:
            encode_regions([region], size, taxonomy, where="left out")
        except FormatError as error:
            broken.append(str(error))
        else:
            kept.append(region)
    return Fitting(tuple(kept), tuple(broken))
