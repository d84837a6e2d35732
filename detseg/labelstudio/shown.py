"""The part of a prediction that annotators were shown. Their work is compared with that, and with nothing
else.

What is asked for, what masks are drawn as and what the interface offers may be others tomorrow; a task that
was sent stays as it is. So this is kept with every prediction that is sent.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from detseg.files import parse_json
from detseg.geometry.boxes import box_iou
from detseg.geometry.masks import mask_iou, mask_to_box
from detseg.labelstudio.joining import BOX_SUFFIX, MASK_SUFFIX
from detseg.labelstudio.shapes import (
    PARTS,
    Annotate,
    Part,
    ShapePolicy,
    all_fit,
    asked,
    draw_masks,
    parts_of,
    split_parts,
    with_parts,
)
from detseg.labelstudio.values import decode_polygon
from detseg.types import Annotation, Box, Instance, Mask, Region, RegionId

_SUFFIXES: Mapping[Part, str] = {"box": BOX_SUFFIX, "mask": MASK_SUFFIX}
_ONE_PLACE_IOU = 0.5  # below it, a box and a mask do not speak of the same place
_SAME_MASK_IOU = 0.999
_SAME_CORNER_PX = 0.05


@dataclass(frozen=True, slots=True)
class Shown:
    """``polygons`` are regions whose masks are polygons, which follow them within ``tolerance_px``.

    ``left_out`` are boxes (``<region id>-box``) and masks (``<region id>-mask``) that were to be asked about
    and were not sent: the interface does not offer them, or they were wrong.
    """

    annotate: Annotate = "pairs"
    polygons: tuple[RegionId, ...] = ()
    tolerance_px: float = 0.0
    left_out: tuple[str, ...] = ()


def find_shown(regions: Sequence[Region], results: Iterable[Mapping[str, Any]], policy: ShapePolicy) -> Shown:
    """Find what is shown of regions by the results that were made of them under that policy."""
    types = {str(result["id"]): result["type"] for result in results}
    return Shown(
        policy.annotate,
        tuple(one.id for one in regions if types.get(f"{one.id}{MASK_SUFFIX}") == "polygonlabels"),
        policy.polygon_tolerance_px if "polygonlabels" in types.values() else 0.0,
        tuple(_not_sent(regions, policy.annotate, types)),
    )


def plan_shown(regions: Sequence[Region], policy: ShapePolicy) -> Shown:
    """Plan what would be shown of regions under a policy: the answer where it was not kept."""
    masks = [(one.id, mask) for one, mask in _asked_masks(regions, policy.annotate)]
    if all_fit([mask for _, mask in masks], policy):
        return Shown(policy.annotate)
    masks.sort(key=lambda entry: -entry[1].area)  # in the order in which they are drawn
    drawn, _ = draw_masks([mask for _, mask in masks], policy)
    polygons = {id_ for (id_, _), one in zip(masks, drawn, strict=True) if one.kind == "polygon"}
    in_order = tuple(one.id for one in regions if one.id in polygons)
    return Shown(policy.annotate, in_order, policy.polygon_tolerance_px if polygons else 0.0)


def as_shown(regions: Sequence[Region], shown: Shown) -> tuple[Region, ...]:
    """The regions as annotators see them, polygons as what they cover.

    What people leave as it is comes back like this.
    """
    return tuple(
        replace(region, instance=instance)
        for region in regions
        if (instance := _shown_instance(region, shown)) is not None
    )


def settle_parts(review: Annotation, shown: Sequence[Region]) -> Annotation:
    """The review with one statement about each thing that was shown as a box and a mask.

    The part that a person changed speaks for the thing:

    - the box was deleted and the mask is as it was: the thing was deleted (the box lies above its mask, so
      that is what a click and a key do);
    - the box was moved to where its mask is not, and the mask is as it was: the thing is its box;
    - the mask was painted elsewhere, and the box is as it was: the thing is its mask.

    Everything else stays: whoever deletes the mask alone keeps the box, and what was changed on both sides is
    what was meant.
    """
    pairs = {one.id: one.instance for one in shown if one.instance.box and one.instance.mask}
    regions = tuple(
        replace(region, instance=instance)
        for region in review.regions
        if (instance := _settled(region.instance, pairs.get(region.id))) is not None
    )
    return replace(review, regions=regions)


def in_parts(region: Region) -> bool:
    """Tell whether ``settle_parts`` may have to do with it: only a part is there, or two that do not meet."""
    box, mask = region.instance.box, region.instance.mask
    return region.origin == "model" and (box is None or (mask is not None and not _meet(box, mask)))


def encode_shown(shown: Shown) -> str:
    """As short JSON; there is one for every prediction.

    >>> encode_shown(Shown("both"))
    '{"asked":"both"}'
    """
    entry: dict[str, Any] = {"asked": shown.annotate}
    if shown.polygons:
        entry |= {"polygons": shown.polygons, "tolerance_px": shown.tolerance_px}
    if shown.left_out:
        entry["left_out"] = shown.left_out
    return json.dumps(entry, separators=(",", ":"))


def decode_shown(text: str) -> Shown:
    """Decode what ``encode_shown`` was given, or an earlier version of it, whose ``both`` was a box and a
    mask."""
    entry = parse_json(text, "what was shown")
    earlier = entry.get("annotate")
    return Shown(
        entry.get("asked") or ("pairs" if earlier == "both" else earlier),
        tuple(map(RegionId, entry.get("polygons", ()))),
        entry.get("tolerance_px", 0.0),
        tuple(entry.get("left_out", ())),
    )


def parts_left_out(region: RegionId, shown: Shown) -> frozenset[Part]:
    """The parts of a region that were not sent, though they were to be."""
    if not shown.left_out:
        return frozenset()
    return frozenset(part for part in PARTS if _part_id(region, part) in shown.left_out)


def _shown_instance(region: Region, shown: Shown) -> Instance | None:
    parts = parts_of(region.instance)
    left, _ = split_parts(
        region.instance.kind, parts, shown.annotate, left_out=parts_left_out(region.id, shown)
    )
    instance = with_parts(region.instance, left)
    if instance is not None and instance.mask is not None and region.id in shown.polygons:
        return replace(instance, mask=_as_polygon(instance.mask, shown.tolerance_px))
    return instance


def _settled(now: Instance, before: Instance | None) -> Instance | None:
    if before is None or before.box is None or before.mask is None or now.mask is None:
        return now
    mask_untouched = now.label == before.label and mask_iou(now.mask, before.mask) > _SAME_MASK_IOU
    if now.box is None:
        return None if mask_untouched else now
    if _meet(now.box, now.mask) or not _meet(before.box, before.mask):
        return now
    corners = zip(now.box.xyxy, before.box.xyxy, strict=True)
    box_untouched = all(abs(a - b) <= _SAME_CORNER_PX for a, b in corners)
    if mask_untouched and not box_untouched:
        return replace(now, mask=None)
    return replace(now, box=None) if box_untouched and not mask_untouched else now


def _meet(box: Box, mask: Mask) -> bool:
    own = mask_to_box(mask)
    return own is not None and box_iou(box, own) >= _ONE_PLACE_IOU


def _as_polygon(mask: Mask, tolerance_px: float) -> Mask:
    policy = ShapePolicy(mask_as="polygon", polygon_tolerance_px=tolerance_px)
    ((drawn,), _) = draw_masks([mask], policy)
    return decode_polygon(drawn.value, mask.size) if drawn.kind == "polygon" else mask


def _not_sent(regions: Iterable[Region], annotate: Annotate, sent: Container[str]) -> Iterator[str]:
    """The boxes and masks that were to be shown, and are not among what was sent."""
    for region in regions:
        absent = frozenset(part for part in PARTS if _part_id(region.id, part) not in sent)
        _, lacking = split_parts(region.instance.kind, parts_of(region.instance), annotate, left_out=absent)
        yield from (_part_id(region.id, part) for part in reversed(PARTS) if part in lacking)


def _part_id(region: RegionId, part: Part) -> str:
    return f"{region}{_SUFFIXES[part]}"


def _asked_masks(regions: Iterable[Region], annotate: Annotate) -> Iterator[tuple[Region, Mask]]:
    for region in regions:
        instance = asked(region.instance, annotate)
        if instance is not None and instance.mask is not None:
            yield region, instance.mask
