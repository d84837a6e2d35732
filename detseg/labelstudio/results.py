"""Regions to the ``result`` list of a prediction or an annotation; ``detseg.labelstudio.regions`` reads them.

A thing with a box and a mask is one region of ours and two results there, see ``detseg.labelstudio.joining``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from detseg.errors import FormatError
from detseg.labelstudio.interface import IMAGE_NAME
from detseg.labelstudio.joining import BOX_SUFFIX, MASK_SUFFIX
from detseg.labelstudio.label_config import BOXES, MASKS, Control
from detseg.labelstudio.shapes import (
    DEFAULT_POLICY,
    DrawnMask,
    ShapePolicy,
    ShapeReport,
    asked,
    draw_masks,
)
from detseg.labelstudio.values import encode_box
from detseg.taxonomy import Taxonomy
from detseg.types import ImageId, ModelVersion, Region, RegionId, Size

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EncodedRegions:
    """The results of one task's regions, and what was chosen for them."""

    results: list[Json]
    report: ShapeReport


def region_id(image: ImageId, version: ModelVersion, rank: int) -> RegionId:
    """The id of a model's region: the same for the same image, model version and rank, for ever."""
    digest = hashlib.sha256(f"{image}\n{version}\n{rank}".encode()).hexdigest()
    return RegionId(f"detseg-{digest[:16]}")


def encode_regions(regions: Sequence[Region], size: Size, taxonomy: Taxonomy, *, where: str) -> list[Json]:
    """The results of regions by the default policy: boxes and masks, see ``encode_asked``."""
    return encode_asked(regions, size, taxonomy, policy=DEFAULT_POLICY, where=where).results


def encode_asked(
    regions: Sequence[Region], size: Size, taxonomy: Taxonomy, *, policy: ShapePolicy, where: str
) -> EncodedRegions:
    """The results of what annotators are asked about regions.

    Masks come before boxes and large before small, so that small boxes are drawn on top.
    Raises FormatError, naming the place and the region, for a label or shape that the labeling interface
    does not offer, a box without area in the image, an empty mask, a mask of another size, an id twice.
    """
    if len({region.id for region in regions}) != len(regions):
        raise FormatError(f"{where}: two regions have one id, Label Studio would merge them")
    for region in regions:
        _check(region, size, taxonomy, f"{where}, region {region.id} ({region.instance.label})")
    shown = _asked(regions, policy)
    with_masks = [(region, mask) for region in shown if (mask := region.instance.mask) is not None]
    with_masks.sort(key=lambda entry: -entry[1].area)
    with_boxes = [(region, box) for region in shown if (box := region.instance.box) is not None]
    with_boxes.sort(key=lambda entry: -entry[1].area)
    drawn, report = draw_masks([mask for _, mask in with_masks], policy)
    results = [_mask_result(region, one, size) for (region, _), one in zip(with_masks, drawn, strict=True)]
    results += [_result(region, BOXES, encode_box(box, size), size) for region, box in with_boxes]
    n_unasked = 0
    if policy.annotate in ("boxes", "masks"):  # otherwise a box that is not drawn is its mask's
        n_unasked = max(sum(_n_halves(region) for region in regions) - len(results), 0)
    return EncodedRegions(results, replace(report, n_boxes=len(with_boxes), n_unasked=n_unasked))


def _asked(regions: Sequence[Region], policy: ShapePolicy) -> tuple[Region, ...]:
    return tuple(
        replace(region, instance=instance)
        for region in regions
        if (instance := asked(region.instance, policy.annotate)) is not None
    )


def _check(region: Region, size: Size, taxonomy: Taxonomy, place: str) -> None:
    """Raises FormatError for what the server would take although it is wrong."""
    instance = region.instance
    cls = taxonomy.find(instance.label)
    if cls is None or cls.name != instance.label:
        raise FormatError(f"{place}: the label is no class of the project: {', '.join(taxonomy.names)}")
    if instance.box is not None:
        if cls.kind == "stuff":
            raise FormatError(f"{place}: stuff has a mask and no box")
        try:
            encode_box(instance.box, size)
        except FormatError as error:
            raise FormatError(f"{place}: {error}") from error
    if instance.mask is not None:
        if instance.mask.size != size:
            raise FormatError(f"{place}: the mask is {instance.mask.size}, the image {size}")
        if instance.mask.area == 0:
            raise FormatError(f"{place}: the mask is empty")


def _mask_result(region: Region, drawn: DrawnMask, size: Size) -> Json:
    result = _result(region, MASKS[drawn.kind], drawn.value, size)
    if region.instance.box is not None:
        result["parentID"] = f"{region.id}{BOX_SUFFIX}"
    return result


def _result(region: Region, control: Control, value: Json, size: Size) -> Json:
    """One half. What a person drew alone, as the page does, keeps its id; everything else says which half."""
    suffix = BOX_SUFFIX if control is BOXES else MASK_SUFFIX
    if region.origin == "person" and _n_halves(region) == 1:
        suffix = ""
    result: Json = {
        "id": f"{region.id}{suffix}",
        "type": control.type,
        "from_name": control.name,
        "to_name": IMAGE_NAME,
        "original_width": size.width,
        "original_height": size.height,
        "image_rotation": 0,
        "value": {**value, control.type: [region.instance.label]},
    }
    if region.instance.score is not None:
        result["score"] = region.instance.score
    return result


def _n_halves(region: Region) -> int:
    return (region.instance.box is not None) + (region.instance.mask is not None)
